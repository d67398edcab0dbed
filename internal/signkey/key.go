package signkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"

	"github.com/go-jose/go-jose/v4"
)

// useSignature is the "use" of keys that verify signatures.
const useSignature = "sig"

// Key is a key that signs.
type Key struct {
	private *ecdsa.PrivateKey
	public  jose.JSONWebKey
	stored  StoredKey
}

// KID returns the key's id, which its signatures name.
func (k *Key) KID() string { return k.stored.KID }

// Sign returns a JSON Web Signature of a payload: ES256, with the key's id and what the
// options add in its header. The same payload always gets the same signature.
func (k *Key) Sign(payload []byte, opts *jose.SignerOptions) (*jose.JSONWebSignature, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: opaqueKey{k}}, opts)
	if err != nil {
		return nil, err
	}
	return signer.Sign(payload)
}

// publicKey returns what is published of a key. Its id is its thumbprint.
func publicKey(private *ecdsa.PrivateKey) (jose.JSONWebKey, error) {
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.ES256), Use: useSignature}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return public, fmt.Errorf("name the key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return public, nil
}

// opaqueKey signs without randomness, as RFC 6979 says, so that replicas that share a key
// make the same signature.
type opaqueKey struct{ key *Key }

var _ jose.OpaqueSigner = opaqueKey{}

// Public returns the public key.
func (o opaqueKey) Public() *jose.JSONWebKey { return &o.key.public }

// Algs returns the algorithm.
func (opaqueKey) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.ES256} }

// SignPayload returns the two numbers of a signature as RFC 7518 writes them.
func (o opaqueKey) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	digest := sha256.Sum256(payload)
	var none io.Reader // makes it deterministic
	der, err := o.key.private.Sign(none, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	const size = 32 // of the curve's order
	raw := make([]byte, 2*size)
	numbers.R.FillBytes(raw[:size])
	numbers.S.FillBytes(raw[size:])
	return raw, nil
}

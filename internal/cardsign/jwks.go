package cardsign

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// The bounds of a key set.
const (
	maxJWKSBytes = 64 << 10
	maxJWKSKeys  = 64
	// RSA keys of fewer bits can be broken, those of more take long to verify.
	minRSABits = 2048
	maxRSABits = 8192
)

// errJWKS is what errors about key sets begin with.
var errJWKS = errors.New("not a usable JSON Web Key Set")

// verifyKey is a key of a set, and the algorithms that it may be used with.
type verifyKey struct {
	jose.JSONWebKey
	algorithms []jose.SignatureAlgorithm
}

// CheckJWKS tells whether a key set can be used to verify cards. It must have public
// keys alone, each with an id of its own: EC of the curves P-256, P-384 and P-521, RSA of
// 2048 to 8192 bits, or Ed25519. Keys for encryption are allowed and ignored.
func CheckJWKS(jwks []byte) error {
	_, err := parseJWKS(jwks)
	return err
}

// parseJWKS returns the keys by their ids.
func parseJWKS(jwks []byte) (map[string]verifyKey, error) {
	if len(jwks) > maxJWKSBytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errJWKS, maxJWKSBytes)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, fmt.Errorf("%w: %w", errJWKS, err)
	}
	switch {
	case set.Keys == nil:
		return nil, fmt.Errorf(`%w: it has no "keys"`, errJWKS)
	case len(set.Keys) > maxJWKSKeys:
		return nil, fmt.Errorf("%w: it has more than %d keys", errJWKS, maxJWKSKeys)
	}
	keys := map[string]verifyKey{}
	for i, raw := range set.Keys {
		key, forSignatures, err := parseJWK(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: key %d: %w", errJWKS, i+1, err)
		}
		if !forSignatures {
			continue
		}
		if _, twice := keys[key.KeyID]; twice {
			return nil, fmt.Errorf("%w: key %d: another key has its kid too", errJWKS, i+1)
		}
		keys[key.KeyID] = key
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: it has no key that verifies signatures", errJWKS)
	}
	return keys, nil
}

// privateMembers are the members that only private and symmetric keys have.
var privateMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseJWK returns false for a key that is not for signatures.
func parseJWK(raw []byte) (verifyKey, bool, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return verifyKey{}, false, errors.New("it is no object of JSON")
	}
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return verifyKey{}, false, fmt.Errorf("it has the private member %q; give the public key, and consider the private one lost", name)
		}
	}
	var kind struct {
		Type       string   `json:"kty"`
		Use        string   `json:"use"`
		Operations []string `json:"key_ops"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return verifyKey{}, false, fmt.Errorf("read it: %w", err)
	}
	if kind.Type == "oct" {
		return verifyKey{}, false, errors.New("a symmetric key proves nothing to those who do not have it, and those who have it can sign")
	}
	if (kind.Use != "" && kind.Use != useSignature) || (kind.Operations != nil && !slices.Contains(kind.Operations, "verify")) {
		return verifyKey{}, false, nil
	}
	var key verifyKey
	if err := json.Unmarshal(raw, &key.JSONWebKey); err != nil {
		return verifyKey{}, false, err
	}
	if key.KeyID == "" {
		return verifyKey{}, false, errors.New("it has no kid, by which signatures name their key")
	}
	var err error
	if key.algorithms, err = algorithmsOf(key.JSONWebKey); err != nil {
		return verifyKey{}, false, fmt.Errorf("kid %q: %w", key.KeyID, err)
	}
	return key, true, nil
}

// algorithms are all that signatures may have: no HMAC, and not "none".
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	}
}

// algorithmsOf returns what a key may be used with.
func algorithmsOf(key jose.JSONWebKey) ([]jose.SignatureAlgorithm, error) {
	var fit []jose.SignatureAlgorithm
	switch public := key.Key.(type) {
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			fit = []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			fit = []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			fit = []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		fit = []jose.SignatureAlgorithm{jose.EdDSA}
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits; it must have %d to %d", bits, minRSABits, maxRSABits)
		}
		fit = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	}
	if fit == nil {
		return nil, errors.New("keys of this kind are not supported")
	}
	// RFC 9864 gives the one use of EdDSA with such a key a name of its own.
	if alg := jose.SignatureAlgorithm(key.Algorithm); alg != "" && (alg != "Ed25519" || fit[0] != jose.EdDSA) {
		if !slices.Contains(fit, alg) {
			return nil, fmt.Errorf("its alg %q does not fit the key", alg)
		}
		fit = []jose.SignatureAlgorithm{alg}
	}
	return fit, nil
}

package cardsign

import (
	"container/list"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// useSignature is the "use" of keys that verify signatures.
const useSignature = "sig"

// SignerConfig says with what a Signer signs.
type SignerConfig struct {
	// Keys is required.
	Keys *Keys
	// CacheSize is how many signed cards are kept; 0 means 1024.
	CacheSize int
}

// Signer signs the agent cards that the gateway serves. It is safe for concurrent use.
type Signer struct {
	keys  *Keys
	cache *cache
}

// NewSigner returns a Signer.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Keys == nil {
		return nil, errors.New("cardsign: SignerConfig.Keys is required")
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = 1024
	}
	return &Signer{keys: cfg.Keys, cache: newCache(cfg.CacheSize)}, nil
}

// Sign returns the card with the gateway's signatures in the place of those that it had:
// one for each of its canonical forms, since verifiers differ in which they read. jku is
// the address of the gateway's key set; "" leaves it out.
//
// Every replica gives the same bytes for the same card and key. The caller must not
// change what is returned.
func (s *Signer) Sign(card []byte, jku string) ([]byte, error) {
	key := s.keys.signing()
	hash := cacheKey(key.stored.KID, jku, card)
	if signed, ok := s.cache.get(hash); ok {
		return signed, nil
	}
	read, err := a2a.ParseCard(card)
	if err != nil {
		return nil, fmt.Errorf("sign agent card: %w", err)
	}
	forms, err := a2a.CanonicalForms(card, read.Shape)
	if err != nil {
		return nil, fmt.Errorf("sign agent card: %w", err)
	}
	signatures := make([]a2a.Signature, len(forms))
	for i, form := range forms {
		if signatures[i], err = key.sign(form, jku); err != nil {
			return nil, fmt.Errorf("sign agent card: %w", err)
		}
	}
	return s.cache.put(hash, a2a.SetSignatures(card, signatures)), nil
}

// sign makes a signature over a payload that is not part of it.
func (k *signingKey) sign(payload []byte, jku string) (a2a.Signature, error) {
	opts := new(jose.SignerOptions).WithType("JOSE")
	if jku != "" {
		opts = opts.WithHeader("jku", jku)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: opaqueKey{k}}, opts)
	if err != nil {
		return a2a.Signature{}, err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return a2a.Signature{}, err
	}
	text, err := jws.DetachedCompactSerialize()
	if err != nil {
		return a2a.Signature{}, err
	}
	protected, signature, _ := strings.Cut(text, "..")
	return a2a.Signature{Protected: protected, Signature: signature}, nil
}

// opaqueKey signs without randomness, as RFC 6979 says, so that replicas that share a key
// make the same signature.
type opaqueKey struct{ key *signingKey }

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

// cache keeps the signed cards that were asked for last. Its lock is not held while
// anything is signed: who signs the same card at the same time does it twice.
type cache struct {
	size int

	mu      sync.Mutex
	entries map[[sha256.Size]byte]*list.Element
	recent  list.List // of cached, the one used last first
}

type cached struct {
	hash   [sha256.Size]byte
	signed []byte
}

func newCache(size int) *cache {
	return &cache{size: size, entries: map[[sha256.Size]byte]*list.Element{}}
}

// cacheKey tells apart whatever the signed card depends on.
func cacheKey(kid, jku string, card []byte) [sha256.Size]byte {
	h := sha256.New()
	// Neither has a NUL: one is base64url, the other a URL.
	_, _ = io.WriteString(h, kid+"\x00"+jku+"\x00")
	_, _ = h.Write(card)
	return [sha256.Size]byte(h.Sum(nil))
}

func (c *cache) get(hash [sha256.Size]byte) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[hash]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(cached).signed, true
}

// put keeps a signed card and returns what is kept.
func (c *cache) put(hash [sha256.Size]byte, signed []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[hash]; ok {
		return e.Value.(cached).signed
	}
	c.entries[hash] = c.recent.PushFront(cached{hash, signed})
	if c.recent.Len() > c.size {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.entries, oldest.Value.(cached).hash)
	}
	return signed
}

package cardsign

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/signalbox-dev/signalbox/internal/lru"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// useSignature is the "use" of keys that verify signatures.
const useSignature = "sig"

// errClaims is for cards that would be tokens when the gateway signs them.
var errClaims = errors.New("the card has members that are claims of a JSON Web Token, so its signature would make it one")

// SignerConfig says with what a Signer signs.
type SignerConfig struct {
	// Keys is required; they are of the purpose [Keys].
	Keys *signkey.Keys
	// CacheSize is how many signed cards are kept; 0 means 1024.
	CacheSize int
}

// Signer signs the agent cards that the gateway serves. It is safe for concurrent use.
type Signer struct {
	keys *signkey.Keys
	// cache has the signed cards. Who signs the same card at the same time does it twice.
	cache *lru.Cache[[sha256.Size]byte, []byte]
}

// NewSigner returns a Signer.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Keys == nil {
		return nil, errors.New("cardsign: SignerConfig.Keys is required")
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = 1024
	}
	return &Signer{keys: cfg.Keys, cache: lru.New[[sha256.Size]byte, []byte](cfg.CacheSize)}, nil
}

// Sign returns the card with the gateway's signatures in the place of those that it had:
// one for each of its canonical forms, since verifiers differ in which they read. jku is
// the address of the gateway's key set; "" leaves it out.
//
// Every replica gives the same bytes for the same card and key. The caller must not
// change what is returned.
func (s *Signer) Sign(card []byte, jku string) ([]byte, error) {
	key := s.keys.Signing()
	hash := cacheKey(key.KID(), jku, card)
	if signed, ok := s.cache.Get(hash); ok {
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
	if forms = slices.DeleteFunc(forms, hasClaims); len(forms) == 0 {
		return nil, fmt.Errorf("sign agent card: %w", errClaims)
	}
	signatures := make([]a2a.Signature, len(forms))
	for i, form := range forms {
		if signatures[i], err = sign(key, form, jku); err != nil {
			return nil, fmt.Errorf("sign agent card: %w", err)
		}
	}
	return s.cache.GetOrPut(hash, a2a.SetSignatures(card, signatures)), nil
}

// hasClaims tells whether a text that is signed would be believed as a token. The keys for
// tokens are published beside those for cards, and a card of 0.3 is signed with all that
// its owner put into it. Readers differ in how they take upper case, so none is allowed.
func hasClaims(form []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(form, &members) != nil {
		return true
	}
	for name := range members {
		if slices.ContainsFunc([]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}, func(claim string) bool { return strings.EqualFold(claim, name) }) {
			return true
		}
	}
	return false
}

// sign makes a signature over a payload that is not part of it.
func sign(key *signkey.Key, payload []byte, jku string) (a2a.Signature, error) {
	opts := new(jose.SignerOptions).WithType("JOSE")
	if jku != "" {
		opts = opts.WithHeader("jku", jku)
	}
	jws, err := key.Sign(payload, opts)
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

// cacheKey tells apart whatever the signed card depends on.
func cacheKey(kid, jku string, card []byte) [sha256.Size]byte {
	h := sha256.New()
	// Neither has a NUL: one is base64url, the other a URL.
	_, _ = io.WriteString(h, kid+"\x00"+jku+"\x00")
	_, _ = h.Write(card)
	return [sha256.Size]byte(h.Sum(nil))
}

package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json/jsontext"
)

// maxKeySet is the number of keys of a set that is given, not fetched.
const maxKeySet = 100

// checkKeySet says why a JSON Web Key Set (RFC 7517) cannot be an issuer's. It is stricter
// than what is made of sets that issuers publish: whoever gives one can correct it, and a
// private key among them would have to be replaced, not passed over.
func checkKeySet(text string) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	// Members that repeat would mean one thing to one reader and another to the next.
	if err := json.Unmarshal([]byte(text), &set); err != nil || !jsontext.Value(text).IsValid() {
		return errors.New("is no JSON Web Key Set")
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxKeySet {
		return fmt.Errorf(`must have 1 to %d "keys"`, maxKeySet)
	}
	for n, raw := range set.Keys {
		if err := checkPublicKey(raw); err != nil {
			return fmt.Errorf("key %d %w", n+1, err)
		}
	}
	return nil
}

func checkPublicKey(raw json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return errors.New("is no object")
	}
	for _, secret := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, ok := members[secret]; ok {
			return errors.New("has a private or shared part: give the public key alone, and replace this one, which was shown")
		}
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(raw); err != nil {
		return errors.New("is no key of a known type")
	}
	if key.Use != "" && key.Use != "sig" {
		return errors.New(`is not for signatures: its "use" says so`)
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < 2048 || bits > 4096 {
			return fmt.Errorf("has %d bits; RSA keys have 2048 to 4096", bits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey: // of the curves that have an algorithm; no other is read
	default:
		return errors.New("is no public key")
	}
	return nil
}

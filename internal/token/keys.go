package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	// maxKeys is how many keys a set may have.
	maxKeys = 100
	// minRSA and maxRSA are how many bits an RSA key may have: with fewer it can be
	// broken, with more every signature costs too much. go-jose reads no longer ones.
	minRSA, maxRSA = 2048, 4096
)

// keySet is the keys of an issuer at one time. It never changes; a nil one means that
// there were never any.
type keySet struct {
	keys []key
	// digest differs between sets of different keys, in whatever order.
	digest [sha256.Size]byte
}

// key is a public key that signatures can be checked with.
type key struct {
	id     string
	alg    string // empty: any that its type allows
	public any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// CheckKeySet says what is wrong with a JSON Web Key Set that somebody configures.
func CheckKeySet(document string) error {
	_, err := parseKeySet([]byte(document))
	return err
}

// check says why no key of the set signed the token, if so; and whether another key that
// the issuer may have by now could have.
func (s *keySet) check(t *parsed) (missing bool, err error) {
	if s == nil {
		return true, identity.ErrIssuerUnavailable
	}
	var fitting []key
	for _, k := range s.keys {
		if (t.kid == "" || k.id == t.kid) && k.fits(t.alg) {
			fitting = append(fitting, k)
		}
	}
	switch {
	case len(fitting) == 0:
		return true, invalid("its issuer has no such key for this algorithm")
	case t.kid == "" && len(fitting) > 1:
		return false, invalid("it does not name its key, and the issuer has several")
	}
	for _, k := range fitting {
		if t.method.Verify(t.signed, t.sig, k.public) == nil {
			return false, nil
		}
	}
	// A key without a name may have been replaced by another one without a name.
	return t.kid == "", invalid("its signature is wrong")
}

// fits tells whether the key may have made signatures of an algorithm.
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS")
	case *ecdsa.PublicKey:
		switch alg {
		case "ES256":
			return public.Curve.Params().BitSize == 256
		case "ES384":
			return public.Curve.Params().BitSize == 384
		case "ES512":
			return public.Curve.Params().BitSize == 521
		}
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// parseKeySet reads a JSON Web Key Set (RFC 7517). Keys that cannot be used, such as
// those for encryption, are passed over; a set of which none is left is a fault.
func parseKeySet(document []byte) (*keySet, error) {
	members, err := readObject(document)
	if err != nil {
		return nil, fmt.Errorf("the key set %w", err)
	}
	list, ok := members["keys"].([]any)
	if !ok {
		return nil, errors.New(`the key set has no list "keys"`)
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, more than %d", len(list), maxKeys)
	}
	set := &keySet{}
	var prints []string
	why := errors.New("it is empty")
	for i, element := range list {
		k, fingerprint, err := parseKey(element)
		if err != nil {
			why = fmt.Errorf("key %d: %w", i+1, err)
			continue
		}
		// A key that is there twice would be two that fit.
		if !slices.Contains(prints, fingerprint) {
			set.keys = append(set.keys, k)
			prints = append(prints, fingerprint)
		}
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("the key set has no key that can be used: %w", why)
	}
	slices.Sort(prints)
	set.digest = sha256.Sum256([]byte(strings.Join(prints, "\n")))
	return set, nil
}

// parseKey reads a key, and returns a text that only it has.
func parseKey(element any) (key, string, error) {
	members, ok := element.(map[string]any)
	if !ok {
		return key{}, "", errors.New("it is not an object")
	}
	// What a private or shared key has beside a public one: whoever publishes it has
	// no secret any more.
	for _, name := range []string{"d", "k", "p", "q"} {
		if _, secret := members[name]; secret {
			return key{}, "", errors.New("it is a secret key")
		}
	}
	if use, given := members["use"]; given && use != "sig" {
		return key{}, "", errors.New("it is not for signatures")
	}
	if ops, given := members["key_ops"]; given {
		if list, ok := texts(ops); !ok || !slices.Contains(list, "verify") {
			return key{}, "", errors.New("it is not for signatures")
		}
	}
	// Only these are passed on: certificates are not looked at.
	only := map[string]string{}
	for _, name := range []string{"kty", "kid", "alg", "crv", "n", "e", "x", "y"} {
		value, given := members[name]
		if !given {
			continue
		}
		text, ok := value.(string)
		if !ok || name == "kid" && len(text) > maxKeyID {
			return key{}, "", fmt.Errorf("its %q is not a text, or too long", name)
		}
		only[name] = text
	}
	if modulus, err := decode(only["n"]); err != nil || len(modulus) > maxRSA/8 {
		return key{}, "", fmt.Errorf("its modulus is not in base64url, or has more than %d bits", maxRSA)
	}
	b, err := json.Marshal(only)
	if err != nil {
		return key{}, "", err
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(b); err != nil {
		return key{}, "", errors.New("it is not a public key of a known type")
	}
	switch public := jwk.Key.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSA {
			return key{}, "", fmt.Errorf("it has %d bits, fewer than %d", bits, minRSA)
		}
		if public.E < 3 || public.E > 1<<31-1 || public.E%2 == 0 || public.N.Bit(0) == 0 {
			return key{}, "", errors.New("its exponent or modulus cannot be one of RSA")
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return key{}, "", errors.New("it is not a public key of a known type")
	}
	der, err := x509.MarshalPKIXPublicKey(jwk.Key)
	if err != nil {
		return key{}, "", errors.New("it is not a public key of a known type")
	}
	k := key{id: only["kid"], alg: only["alg"], public: jwk.Key}
	return k, fmt.Sprintf("%q %q %x", k.id, k.alg, der), nil
}

package cardsign

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// maxSignatures is the number of signatures that a card may have.
const maxSignatures = 16

// The reasons why a card is not verified.
var (
	// ErrUnsigned means that the card has no signature.
	ErrUnsigned = errors.New("the agent card is not signed")
	// ErrNoKey means that none of the signatures was made by a known key.
	ErrNoKey = errors.New("the agent card is not signed by a known key")
	// ErrInvalid means that a signature by a known key does not fit the card, or that
	// the card cannot be read.
	ErrInvalid = errors.New("the agent card's signature is not valid")
)

// Verify returns the id of the key whose signature fits the card; one is enough. Only the
// keys of jwks count, whatever keys and addresses the card names. An error that wraps none
// of the Err… of this package is about jwks.
//
// A signature vouches for what its canonical form has (see [a2a.CanonicalForms]): not for
// members that the protocol does not define, and with the SDKs' own forms not for what is
// empty, nor, in one of them, for the security schemes. Of a card with the members of both
// versions it is those of 1.0; those of 0.3 in it are not vouched for.
func Verify(card, jwks []byte) (kid string, err error) {
	keys, err := parseJWKS(jwks)
	if err != nil {
		return "", err
	}
	read, err := a2a.ParseCard(card)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	signatures, err := a2a.CardSignatures(card)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch n := len(signatures); {
	case n == 0:
		return "", ErrUnsigned
	case n > maxSignatures:
		return "", fmt.Errorf("%w: there are %d, more than %d", ErrInvalid, n, maxSignatures)
	}
	shape := read.Shape
	if shape == a2a.ShapeUnion {
		// A signature over the members of 0.3 alone would let anybody change those of 1.0,
		// which readers prefer.
		shape = a2a.Shape10
	}
	forms, err := a2a.CanonicalForms(card, shape)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var faults []error
	for i, s := range signatures {
		kid, err := verifyOne(s, keys, forms)
		switch {
		case err == nil:
			return kid, nil
		case !errors.Is(err, ErrNoKey):
			faults = append(faults, fmt.Errorf("signature %d: %w", i+1, err))
		}
	}
	if faults == nil {
		return "", ErrNoKey
	}
	return "", fmt.Errorf("%w: %w", ErrInvalid, errors.Join(faults...))
}

// verifyOne returns ErrNoKey for a signature that does not say that a known key made it.
func verifyOne(s a2a.Signature, keys map[string]verifyKey, forms [][]byte) (string, error) {
	// The unprotected header is left out: nobody vouches for it.
	text, err := json.Marshal(struct {
		Payload   string `json:"payload"`
		Protected string `json:"protected"`
		Signature string `json:"signature"`
	}{Protected: s.Protected, Signature: s.Signature})
	if err != nil {
		return "", err
	}
	jws, err := jose.ParseSignedJSON(string(text), algorithms())
	if err != nil {
		if _, known := keys[claimedKey(s.Protected)]; !known {
			return "", ErrNoKey
		}
		return "", err
	}
	header := jws.Signatures[0].Protected
	key, known := keys[header.KeyID]
	if !known {
		return "", ErrNoKey
	}
	if !slices.Contains(key.algorithms, jose.SignatureAlgorithm(header.Algorithm)) {
		return "", fmt.Errorf("the algorithm %q does not fit key %q", header.Algorithm, header.KeyID)
	}
	for _, form := range forms {
		if err = jws.DetachedVerify(form, key.JSONWebKey); err == nil {
			return header.KeyID, nil
		}
	}
	return "", fmt.Errorf("key %q did not sign this card as it is", header.KeyID)
}

// claimedKey reads the key id of a header that is not usable otherwise, only to tell
// whose signature is broken.
func claimedKey(protected string) string {
	text, err := base64.RawURLEncoding.DecodeString(protected)
	if err != nil {
		return ""
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	_ = json.Unmarshal(text, &header) // "" for what cannot be read
	return header.KeyID
}

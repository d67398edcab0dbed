package registry

import (
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// MaxCardKeys is the number of bytes that the keys for an agent's card may have.
const MaxCardKeys = 64 << 10

// checkKeys refuses keys that no card could be verified with.
func (s *Service) checkKeys(keys string) error {
	const field = "agent.card_keys"
	switch {
	case keys == "":
		return nil
	case len(keys) > MaxCardKeys:
		return &InvalidError{Field: field, Problem: fmt.Sprintf("has %d bytes; at most %d are kept", len(keys), MaxCardKeys)}
	}
	if err := s.verifier.CheckKeys([]byte(keys)); err != nil {
		return &InvalidError{Field: field, Problem: "is no JWKS to verify cards with: " + err.Error()}
	}
	return nil
}

// verifyCard notes what is known of the signature of an agent's card. It refuses a
// signed card that does not verify with the keys that its owner gave.
func (s *Service) verifyCard(a *Agent) error {
	a.CardVerification = CardVerification{}
	if len(a.Card) == 0 {
		return nil
	}
	v, err := s.verification(a.Card, a.CardKeys)
	if err != nil {
		return err
	}
	a.CardVerification = v
	return nil
}

func (s *Service) verification(card []byte, keys string) (CardVerification, error) {
	parsed, err := a2a.ParseCard(card)
	switch {
	case err != nil:
		return CardVerification{}, &CardError{Problem: err.Error()}
	case !parsed.Signed && keys != "":
		// Who gives keys expects a signature: taking it away must not help anybody.
		return CardVerification{}, &CardError{Problem: "it is not signed, and card_keys are set; remove them to use it"}
	case !parsed.Signed:
		return CardVerification{State: CardUnsigned}, nil
	case keys == "":
		return CardVerification{State: CardNoKey}, nil
	}
	id, err := s.verifier.VerifyCard(card, []byte(keys))
	if err != nil {
		return CardVerification{}, &CardError{Problem: "its signature does not verify with card_keys: " + err.Error()}
	}
	return CardVerification{State: CardVerified, KeyID: id}, nil
}

// Verification returns what is known of the signature of the agent's card, also of one
// that was stored by a version that did not look at signatures.
func (a *Agent) Verification() CardVerification {
	if a.CardVerification.State != "" || len(a.Card) == 0 {
		return a.CardVerification
	}
	parsed, err := a2a.ParseCard(a.Card)
	switch {
	case err != nil:
		return CardVerification{}
	case parsed.Signed:
		return CardVerification{State: CardNoKey}
	}
	return CardVerification{State: CardUnsigned}
}

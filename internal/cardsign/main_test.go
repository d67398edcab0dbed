package cardsign_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/cardsign"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/signkey/signkeytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const jku = "https://gateway.example/.well-known/jwks.json"

// memory is a store of this process.
type memory = signkeytest.Memory

func openKeys(t testing.TB, cfg signkey.Config) *signkey.Keys {
	t.Helper()
	cfg.Purpose = cardsign.Keys()
	return signkeytest.Open(t, cfg)
}

func newSigner(t *testing.T, keys *signkey.Keys) *cardsign.Signer {
	t.Helper()
	s, err := cardsign.NewSigner(cardsign.SignerConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func card(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sign(t *testing.T, s *cardsign.Signer, card []byte) []byte {
	t.Helper()
	signed, err := s.Sign(card, jku)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// signedBy returns the key whose signature fits the card.
func signedBy(t *testing.T, card, jwks []byte) string {
	t.Helper()
	kid, err := cardsign.Verify(card, jwks)
	if err != nil {
		t.Fatal(err)
	}
	return kid
}

// kids returns the ids of a key set in its order.
func kids(t *testing.T, jwks []byte) []string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

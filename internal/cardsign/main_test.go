package cardsign_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/cardsign"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

const jku = "https://gateway.example/.well-known/jwks.json"

// ring makes key-encryption keys of texts, which stand for any others.
func ring(t testing.TB, texts ...string) *seal.Ring {
	t.Helper()
	env := ""
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		env += base64.StdEncoding.EncodeToString(sum[:]) + "\n"
	}
	r, err := seal.Open(t.Context(), seal.Config{Env: env, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// timepiece is a clock that stands still until it is moved.
type timepiece struct{ nanos atomic.Int64 }

func newTimepiece() *timepiece {
	c := &timepiece{}
	c.nanos.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *timepiece) Now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *timepiece) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// flaky is a store that may be away, and that tells how often it was asked.
type flaky struct {
	cardsign.Store
	away  atomic.Bool
	asked chan struct{}
}

var errAway = errors.New("the database is away")

func (f *flaky) SigningKeys(ctx context.Context, purpose string, at time.Time) ([]cardsign.StoredKey, error) {
	if f.asked != nil {
		select {
		case f.asked <- struct{}{}:
		case <-ctx.Done():
		}
	}
	if f.away.Load() {
		return nil, errAway
	}
	return f.Store.SigningKeys(ctx, purpose, at)
}

// memory is a store of this process.
type memory struct {
	mu   sync.Mutex
	keys []cardsign.StoredKey
}

var _ cardsign.Store = (*memory)(nil)

func (m *memory) SigningKeys(_ context.Context, _ string, at time.Time) ([]cardsign.StoredKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []cardsign.StoredKey
	for _, k := range m.keys {
		if k.RetireTime.IsZero() || k.RetireTime.After(at) {
			found = append(found, k)
		}
	}
	slices.Reverse(found) // each is added as the newest
	return found, nil
}

func (m *memory) AddSigningKey(_ context.Context, _ string, k cardsign.StoredKey, replaces string, retire time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := slices.IndexFunc(m.keys, func(k cardsign.StoredKey) bool { return k.RetireTime.IsZero() })
	switch {
	case newest < 0 && replaces == "":
	case newest >= 0 && m.keys[newest].KID == replaces:
		m.keys[newest].RetireTime = retire
	default:
		return false, nil
	}
	m.keys = append(m.keys, k)
	return true, nil
}

func (m *memory) ResealSigningKey(_ context.Context, kid, sealedWith string, private seal.Sealed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.keys {
		if m.keys[i].KID == kid && m.keys[i].Private.KeyID == sealedWith {
			m.keys[i].Private = private
		}
	}
	return nil
}

func openKeys(t *testing.T, cfg cardsign.KeysConfig) *cardsign.Keys {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = &memory{}
	}
	if cfg.Seal == nil {
		cfg.Seal = ring(t, "one")
	}
	k, err := cardsign.OpenKeys(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigner(t *testing.T, keys *cardsign.Keys) *cardsign.Signer {
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

package signkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/signkey/signkeytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }

const (
	publishTime = 10 * time.Minute
	keepTime    = 24 * time.Hour
)

// purpose is what the keys of these tests are for. They are replaced only when a test says so.
func purpose() signkey.Purpose {
	return signkey.Purpose{Name: "test", PublishTime: publishTime, KeepTime: keepTime}
}

func ring(t testing.TB, texts ...string) *seal.Ring {
	t.Helper()
	return signkeytest.Ring(t, texts...)
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

// flaky is a store that may be away.
type flaky struct {
	signkey.Store
	away atomic.Bool
}

var errAway = errors.New("the database is away")

func (f *flaky) SigningKeys(ctx context.Context, purpose string, at time.Time) ([]signkey.StoredKey, error) {
	if f.away.Load() {
		return nil, errAway
	}
	return f.Store.SigningKeys(ctx, purpose, at)
}

func openKeys(t *testing.T, cfg signkey.Config) *signkey.Keys {
	t.Helper()
	if cfg.Purpose.Name == "" {
		cfg.Purpose = purpose()
	}
	return signkeytest.Open(t, cfg)
}

// signed returns a signature of a text by the key that signs now.
func signed(t *testing.T, k *signkey.Keys) string {
	t.Helper()
	jws, err := k.Signing().Sign([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// signedBy returns the id of the key of a set that made a signature; "" when there is none.
func signedBy(t *testing.T, compact string, jwks []byte) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Key(jws.Signatures[0].Header.KeyID) {
		if _, err := jws.Verify(key); err == nil {
			return key.KeyID
		}
	}
	return ""
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

// Package signkeytest has what tests of packages that sign need.
package signkeytest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
)

// Memory is a store of this process. The zero value is ready.
type Memory struct {
	mu   sync.Mutex
	keys map[string][]signkey.StoredKey
}

var _ signkey.Store = (*Memory)(nil)

// SigningKeys returns the keys of a purpose that are not retired.
func (m *Memory) SigningKeys(_ context.Context, purpose string, at time.Time) ([]signkey.StoredKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []signkey.StoredKey
	for _, k := range m.keys[purpose] {
		if k.RetireTime.IsZero() || k.RetireTime.After(at) {
			found = append(found, k)
		}
	}
	slices.Reverse(found) // each is added as the newest
	return found, nil
}

// AddSigningKey makes a key the newest of its purpose.
func (m *Memory) AddSigningKey(_ context.Context, purpose string, k signkey.StoredKey, replaces string, retire time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := m.keys[purpose]
	newest := slices.IndexFunc(keys, func(k signkey.StoredKey) bool { return k.RetireTime.IsZero() })
	switch {
	case newest < 0 && replaces == "":
	case newest >= 0 && keys[newest].KID == replaces:
		keys[newest].RetireTime = retire
	default:
		return false, nil
	}
	if m.keys == nil {
		m.keys = map[string][]signkey.StoredKey{}
	}
	m.keys[purpose] = append(keys, k)
	return true, nil
}

// ResealSigningKey replaces a private key that is still sealed with an older key.
func (m *Memory) ResealSigningKey(_ context.Context, kid, sealedWith string, private seal.Sealed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, keys := range m.keys {
		for i := range keys {
			if keys[i].KID == kid && keys[i].Private.KeyID == sealedWith {
				keys[i].Private = private
			}
		}
	}
	return nil
}

// Ring makes key-encryption keys of texts, which stand for any others.
func Ring(t testing.TB, texts ...string) *seal.Ring {
	t.Helper()
	keys := make([]string, len(texts))
	for i, text := range texts {
		sum := sha256.Sum256([]byte(text))
		keys[i] = base64.StdEncoding.EncodeToString(sum[:])
	}
	r, err := seal.Open(t.Context(), seal.Config{Env: strings.Join(keys, "\n"), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Open opens keys of a purpose: in memory, unless the configuration says otherwise.
func Open(t testing.TB, cfg signkey.Config) *signkey.Keys {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = &Memory{}
	}
	if cfg.Seal == nil {
		cfg.Seal = Ring(t, "one")
	}
	k, err := signkey.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/store"
)

var signingEpoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// signPurpose is what the keys of these tests are for.
const signPurpose = "agent-card"

func signingKey(kid string) signkey.StoredKey {
	return signkey.StoredKey{
		KID: kid, Public: []byte(`{"kid": "` + kid + `"}`), Private: seal.Sealed{KeyID: "kek", Data: []byte("sealed " + kid)},
		CreateTime: signingEpoch, SignTime: signingEpoch.Add(time.Minute),
	}
}

func addSigningKey(t *testing.T, s signkey.Store, k signkey.StoredKey, replaces string, retire time.Time, want bool) {
	t.Helper()
	if added, err := s.AddSigningKey(t.Context(), signPurpose, k, replaces, retire); err != nil || added != want {
		t.Fatalf("add %s for %q: %v, %v, want %v", k.KID, replaces, added, err, want)
	}
}

func wantSigningKeys(t *testing.T, s signkey.Store, at time.Time, want ...signkey.StoredKey) {
	t.Helper()
	got, err := s.SigningKeys(t.Context(), signPurpose, at)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("keys at %v (-want +got)\n%s", at, diff)
	}
}

func TestSigningKeys_EachReplacesTheNewestAlone(t *testing.T) {
	s := store.New(pgtest.New(t))
	a, b, c := signingKey("a"), signingKey("b"), signingKey("c")
	wantSigningKeys(t, s, signingEpoch)
	addSigningKey(t, s, b, "a", signingEpoch, false)
	addSigningKey(t, s, a, "", time.Time{}, true)
	addSigningKey(t, s, b, "", time.Time{}, false)
	wantSigningKeys(t, s, signingEpoch, a)

	a.RetireTime, b.RetireTime = signingEpoch.Add(time.Hour), signingEpoch.Add(2*time.Hour)
	addSigningKey(t, s, b, "a", a.RetireTime, true)
	addSigningKey(t, s, c, "a", a.RetireTime, false)
	addSigningKey(t, s, c, "b", b.RetireTime, true)
	wantSigningKeys(t, s, signingEpoch, c, b, a)
	wantSigningKeys(t, s, a.RetireTime.Add(-time.Second), c, b, a)
	wantSigningKeys(t, s, a.RetireTime, c, b)
	wantSigningKeys(t, s, b.RetireTime, c)
}

func TestSigningKeys_RetiredOnesAreForgottenWhenOneIsAdded(t *testing.T) {
	s := store.New(pgtest.New(t))
	a, b, c := signingKey("a"), signingKey("b"), signingKey("c")
	a.RetireTime, b.RetireTime = signingEpoch.Add(time.Hour), signingEpoch.Add(2*time.Hour)
	c.CreateTime = a.RetireTime
	addSigningKey(t, s, a, "", time.Time{}, true)
	addSigningKey(t, s, b, "a", a.RetireTime, true)
	addSigningKey(t, s, c, "b", b.RetireTime, true)
	wantSigningKeys(t, s, signingEpoch, c, b)
}

func TestSigningKeys_OfReplicasThatAddAtTheSameTimeOneDoes(t *testing.T) {
	s := store.New(pgtest.New(t))
	newest := ""
	for round := range 5 {
		var added atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				k := signingKey(fmt.Sprintf("%d-%d", round, i))
				ok, err := s.AddSigningKey(t.Context(), signPurpose, k, newest, signingEpoch.Add(time.Hour))
				if err != nil {
					t.Error(err)
				}
				if ok {
					added.Add(1)
					winner.Store(k.KID)
				}
			})
		}
		wg.Wait()
		if n := added.Load(); n != 1 {
			t.Fatalf("round %d: %d keys added, want 1", round, n)
		}
		newest = winner.Load().(string)
	}
}

func TestSigningKeys_AreResealedFromTheKeyThatWasRead(t *testing.T) {
	s := store.New(pgtest.New(t))
	k := signingKey("a")
	addSigningKey(t, s, k, "", time.Time{}, true)
	k.Private = seal.Sealed{KeyID: "new", Data: []byte("again")}
	late := seal.Sealed{KeyID: "late", Data: []byte("late")} // from a replica that read before the first
	for _, private := range []seal.Sealed{k.Private, late} {
		if err := s.ResealSigningKey(t.Context(), "a", "kek", private); err != nil {
			t.Fatal(err)
		}
		wantSigningKeys(t, s, signingEpoch, k)
	}
}

package signkey_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/signkey/signkeytest"
)

// rotating is a purpose whose keys sign for some hours.
func rotating() signkey.Purpose {
	p := purpose()
	p.RotateAfter, p.KeepTime = 3*time.Hour, time.Hour
	return p
}

// verifier keeps a key set for as long as it may, and no longer.
type verifier struct {
	handler http.Handler
	jwks    string
	fetched time.Time
}

// knows tells whether the set that the verifier has at a time has a key.
func (v *verifier) knows(kid string, now time.Time) bool {
	if v.jwks == "" || !now.Before(v.fetched.Add(signkey.MaxAge)) {
		reply := httptest.NewRecorder()
		v.handler.ServeHTTP(reply, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", http.NoBody))
		v.jwks, v.fetched = reply.Body.String(), now
	}
	return strings.Contains(v.jwks, kid)
}

// Through three rotations no verifier that fetches keys when it may sees a signature of a
// key that it does not know, whichever replica it asks; and what was signed verifies for as
// long as keys are kept.
func TestRun_VerifiersThatKeepKeysNoLongerThanTheyMayKnowEveryKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &signkeytest.Memory{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var replicas []*signkey.Keys
		var verifiers []*verifier
		for range 3 {
			keys := openKeys(t, signkey.Config{Purpose: rotating(), Store: store})
			replicas = append(replicas, keys)
			wg.Go(func() {
				if err := keys.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			for range 4 {
				verifiers = append(verifiers, &verifier{handler: signkey.Handler(keys)})
				time.Sleep(19 * time.Second) // they look at different times
				verifiers[len(verifiers)-1].knows("", time.Now())
			}
		}
		type signature struct {
			text string
			at   time.Time
		}
		var kept []signature
		seen := map[string]bool{}
		for begin := time.Now(); len(seen) < 4; time.Sleep(7 * time.Second) {
			synctest.Wait()
			now := time.Now()
			if now.Sub(begin) > 12*time.Hour {
				t.Fatalf("%d keys after 12 h", len(seen))
			}
			signers := map[string]bool{}
			for i, k := range replicas {
				kid := k.Signing().KID()
				signers[kid], seen[kid] = true, true
				for j, v := range verifiers {
					if !v.knows(kid, now) {
						t.Fatalf("after %s: verifier %d does not know %s, with which replica %d signs", now.Sub(begin), j, kid, i)
					}
				}
			}
			if len(signers) != 1 {
				t.Fatalf("after %s: the replicas sign with %v", now.Sub(begin), signers)
			}
			if n := len(kept); n == 0 || now.Sub(kept[n-1].at) > 5*time.Minute {
				kept = append(kept, signature{signed(t, replicas[n%3]), now})
				kept = slices.DeleteFunc(kept, func(s signature) bool { return now.Sub(s.at) > rotating().KeepTime })
				for _, s := range kept {
					if signedBy(t, s.text, replicas[0].JWKS()) == "" {
						t.Fatalf("after %s: what was signed %s ago does not verify", now.Sub(begin), now.Sub(s.at))
					}
				}
			}
		}
		cancel()
		wg.Wait()
	})
}

func TestRun_AKeyThatCannotBeReplacedGoesOnSigning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: &signkeytest.Memory{}}
		var log bytes.Buffer
		keys := openKeys(t, signkey.Config{Purpose: rotating(), Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = keys.Run(ctx) })
		first := keys.Signing().KID()
		store.away.Store(true)
		time.Sleep(5 * rotating().RotateAfter)
		if got := keys.Signing().KID(); got != first {
			t.Errorf("%s signs in an outage, want %s", got, first)
		}
		store.away.Store(false)
		time.Sleep(publishTime + 2*time.Minute)
		if got := keys.Signing().KID(); got == first {
			t.Error("nothing was made after the outage")
		}
		cancel()
		wg.Wait()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings: %s", n, &log)
		}
	})
}

func TestHandler_ServesSeveralSetsAsOne(t *testing.T) {
	a, b := openKeys(t, signkey.Config{}), openKeys(t, signkey.Config{})
	handler := signkey.Handler(a, b)
	get := func() *httptest.ResponseRecorder {
		reply := httptest.NewRecorder()
		handler.ServeHTTP(reply, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		return reply
	}
	first := get()
	if diff := cmp.Diff([]string{a.Signing().KID(), b.Signing().KID()}, kids(t, first.Body.Bytes())); diff != "" {
		t.Errorf("published (-want +got)\n%s", diff)
	}
	if _, err := b.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := get()
	if len(kids(t, second.Body.Bytes())) != 3 || second.Header().Get("ETag") == first.Header().Get("ETag") {
		t.Errorf("after a rotation: %s", second.Body)
	}
}

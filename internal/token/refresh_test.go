package token_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// provider answers requests for keys within a bubble of synctest. Its answer can be
// changed at any time.
type provider struct {
	fetched atomic.Int32
	answer  atomic.Pointer[func(*http.Request) (*http.Response, error)]
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.fetched.Add(1)
	return (*p.answer.Load())(r)
}

func (p *provider) do(f func(*http.Request) (*http.Response, error)) { p.answer.Store(&f) }

// serve answers with keys, after a time, as a server far away does.
func (p *provider) serve(body string, after time.Duration, header ...string) {
	p.do(func(r *http.Request) (*http.Response, error) {
		if err := pause(r.Context(), after); err != nil {
			return nil, err
		}
		res := reply(http.StatusOK, body)
		for i := 0; i < len(header); i += 2 {
			res.Header.Add(header[i], header[i+1])
		}
		return res, nil
	})
}

// pause takes time of the bubble.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetches returns how often keys were asked for since the last time.
func (p *provider) fetches() int { return int(p.fetched.Swap(0)) }

// fixture is a verifier with one issuer, whose keys the provider has.
type fixture struct {
	*provider
	t   *testing.T
	v   *token.Verifier
	i   *identity.Issuer
	log *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// lines returns how many lines of the log have a text.
func (b *lockedBuffer) lines(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), text)
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{provider: &provider{}, t: t, i: issuer(""), log: &lockedBuffer{}}
	f.i.JWKSURL = issuerURL + "/keys"
	f.v = newVerifier(t, token.Config{Client: &http.Client{Transport: f.provider}, Logger: slog.New(slog.NewTextHandler(f.log, nil))})
	return f
}

// run runs the verifier until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.v.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
}

// verify verifies a token of now and returns how long that took.
func (f *fixture) verify(s signer) (time.Duration, error) {
	f.t.Helper()
	begin := time.Now()
	_, err := f.v.Verify(f.t.Context(), known(f.i), f.token(s), begin)
	return time.Since(begin), err
}

// token makes a new token: none is remembered.
func (f *fixture) token(s signer) string {
	now := time.Now()
	return s.sign(f.t, nil, claims(map[string]any{"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": tokenID.Add(1)}))
}

var tokenID atomic.Int64

// want verifies a token and compares the outcome.
func (f *fixture) want(what string, s signer, want error) {
	f.t.Helper()
	if _, err := f.verify(s); !errors.Is(err, want) {
		f.t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestVerify_RotationRefusesNothing(t *testing.T) {
	old, next, third := testKeys()["ES256"], testKeys()["other"], testKeys()["third"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.v.Follow([]*identity.Issuer{f.i})
		f.serve(jwks(t, old), 10*time.Millisecond)
		f.run()
		synctest.Wait()
		f.want("a token before rotation", old, nil)

		remembered := f.token(old)
		if _, err := f.v.Verify(t.Context(), known(f.i), remembered, time.Now()); err != nil {
			t.Fatal(err)
		}
		f.serve(jwks(t, old, next), 10*time.Millisecond)
		f.want("a token of the new key, on first sight", next, nil)
		f.want("a token of the old key", old, nil)
		if n := f.fetches(); n != 2 {
			t.Errorf("keys were fetched %d times, want 2", n)
		}

		// The old key goes; the next refresh finds that out.
		f.serve(jwks(t, next, third), 0)
		f.want("a token of the old key, before the refresh", old, nil)
		if err := pause(t.Context(), 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.want("a token of the old key, after the refresh", old, identity.ErrTokenInvalid)
		if _, err := f.v.Verify(t.Context(), known(f.i), remembered, time.Now()); !errors.Is(err, identity.ErrTokenInvalid) {
			t.Errorf("a token that was remembered, of a key that is gone: %v", err)
		}
		f.want("a token of the new key", next, nil)
		f.want("a token of the newest key", third, nil)
	})
}

func TestVerify_RotationOfKeysWithoutNames(t *testing.T) {
	old, next := testKeys()["ES256"], testKeys()["other"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		nameless := func(s signer) (string, string) {
			secret := s.sign(t, map[string]any{"kid": nil}, claims(map[string]any{"iat": nil, "exp": time.Now().Add(time.Hour).Unix()}))
			s.kid = ""
			return jwks(t, s), secret
		}
		oldKeys, oldToken := nameless(old)
		newKeys, newToken := nameless(next)
		f.serve(oldKeys, 0)
		if _, err := f.v.Verify(t.Context(), known(f.i), oldToken, time.Now()); err != nil {
			t.Error(err)
		}
		f.serve(newKeys, 0)
		if _, err := f.v.Verify(t.Context(), known(f.i), newToken, time.Now()); err != nil {
			t.Errorf("a token of the new key: %v", err)
		}
		if _, err := f.v.Verify(t.Context(), known(f.i), oldToken, time.Now()); !errors.Is(err, identity.ErrTokenInvalid) {
			t.Errorf("a token of the key that is gone: %v", err)
		}
	})
}

func TestVerify_FloodsOfUnknownKeysAreDamped(t *testing.T) {
	s, unknown, next := testKeys()["ES256"], testKeys()["other"], testKeys()["third"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, s), 100*time.Millisecond)
		f.want("the first token", s, nil)
		if n := f.fetches(); n != 1 {
			t.Fatalf("keys were fetched %d times at first", n)
		}

		// A thousand at a time share a fetch, and wait for it.
		var wg sync.WaitGroup
		var slow atomic.Int32
		secret := f.token(unknown)
		for range 1000 {
			wg.Go(func() {
				begin := time.Now()
				if _, err := f.v.Verify(t.Context(), known(f.i), secret, begin); !errors.Is(err, identity.ErrTokenInvalid) {
					t.Errorf("got %v", err)
				}
				if time.Since(begin) > 100*time.Millisecond {
					slow.Add(1)
				}
			})
		}
		wg.Wait()
		if n := f.fetches(); n != 1 {
			t.Errorf("a thousand calls at once fetched keys %d times", n)
		}
		if n := slow.Load(); n > 0 {
			t.Errorf("%d calls waited for more than the fetch", n)
		}

		// For a minute more, ten a second: at most one fetch in 10 s, and no waiting.
		waited := time.Duration(0)
		for range 600 {
			took, err := f.verify(unknown)
			if !errors.Is(err, identity.ErrTokenInvalid) {
				t.Fatalf("got %v", err)
			}
			waited += took
			if err := pause(t.Context(), 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if n := f.fetches(); n < 5 || n > 7 {
			t.Errorf("a minute of unknown keys fetched keys %d times", n)
		}
		if waited > time.Second {
			t.Errorf("a minute of unknown keys waited for %s", waited)
		}
		// Those of known keys do not care.
		if took, err := f.verify(s); err != nil || took > 0 {
			t.Errorf("a token of a known key: %v after %s", err, took)
		}
		// And a key that is new is found when the damping is over.
		f.serve(jwks(t, s, next), 0)
		if err := pause(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		f.want("a token of a new key", next, nil)
	})
}

func TestVerify_ExpiredTokensFetchNothing(t *testing.T) {
	s, gone := testKeys()["ES256"], testKeys()["other"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, s), 0)
		f.want("a token", s, nil)
		f.fetches()
		old := gone.sign(t, nil, claims(map[string]any{"iat": nil, "exp": time.Now().Add(-time.Hour).Unix()}))
		if _, err := f.v.Verify(t.Context(), known(f.i), old, time.Now()); !errors.Is(err, identity.ErrTokenExpired) {
			t.Errorf("got %v", err)
		}
		if n := f.fetches(); n != 0 {
			t.Errorf("keys were fetched %d times", n)
		}
	})
}

// outages are what an issuer may answer instead of its keys.
func outages(t *testing.T) map[string]func(*http.Request) (*http.Response, error) {
	small := jwks(t, testKeys()["small"])
	text := func(status int, body string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return reply(status, body), nil }
	}
	return map[string]func(*http.Request) (*http.Response, error){
		"refuses":       func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"hangs":         func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"answers 500":   text(500, jwks(t, testKeys()["other"])),
		"answers 204":   text(204, ""),
		"redirects":     text(302, ""),
		"lies":          text(200, `{"keys":"all"}`),
		"is empty":      text(200, `{"keys":[]}`),
		"says nothing":  text(200, ""),
		"is no JSON":    text(200, "<html>down for maintenance</html>"),
		"is too long":   text(200, jwks(t, testKeys()["other"])+strings.Repeat(" ", 1<<20)),
		"has weak keys": text(200, small),
		"hangs in the middle": func(r *http.Request) (*http.Response, error) {
			res := reply(200, "")
			res.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"keys":[`), hanging{r.Context()}))
			return res, nil
		},
	}
}

// hanging reads nothing until its context ends.
type hanging struct{ context.Context }

func (h hanging) Read([]byte) (int, error) { <-h.Done(); return 0, h.Err() }

func TestVerify_OldKeysOutliveAnOutage(t *testing.T) {
	s, unknown := testKeys()["ES256"], testKeys()["other"]
	for name, answer := range outages(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.v.Follow([]*identity.Issuer{f.i})
				f.serve(jwks(t, s), 0)
				f.run()
				synctest.Wait()
				f.want("before", s, nil)
				f.fetches()

				f.do(answer)
				if err := pause(t.Context(), time.Hour); err != nil {
					t.Fatal(err)
				}
				if took, err := f.verify(s); err != nil || took > 0 {
					t.Errorf("a token of a key that is known: %v after %s", err, took)
				}
				if n := f.fetches(); n < 60 || n > 200 {
					t.Errorf("keys were asked for %d times in an hour", n)
				}
				if took, err := f.verify(unknown); !errors.Is(err, identity.ErrTokenInvalid) || took > 2*time.Second {
					t.Errorf("a token of an unknown key: %v after %s", err, took)
				}
				if took, err := f.verify(unknown); !errors.Is(err, identity.ErrTokenInvalid) || took > 2*time.Second {
					t.Errorf("and another: %v after %s", err, took)
				}
				if n := f.log.lines("cannot be had"); n != 1 {
					t.Errorf("the outage is in the log %d times:\n%s", n, &f.log.buf)
				}

				f.serve(jwks(t, s, unknown), 0)
				if err := pause(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
				f.want("when it is over", unknown, nil)
				if n := f.log.lines("can be had again"); n != 1 {
					t.Errorf("its end is in the log %d times:\n%s", n, &f.log.buf)
				}
			})
		})
	}
}

func TestVerify_WithoutKeysWaitsTwoSeconds(t *testing.T) {
	s := testKeys()["ES256"]
	for name, answer := range outages(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.do(answer)
				hangs := strings.HasPrefix(name, "hangs")
				took, err := f.verify(s)
				if !errors.Is(err, identity.ErrIssuerUnavailable) || took > 2*time.Second || hangs && took < 2*time.Second {
					t.Errorf("got %v after %s", err, took)
				}
				// Who comes later does not wait as long as the first did.
				took, err = f.verify(s)
				if !errors.Is(err, identity.ErrIssuerUnavailable) || took > 0 {
					t.Errorf("the next one got %v after %s", err, took)
				}
				// A flood does not become one of fetches.
				f.fetches()
				for range 600 {
					if _, err := f.verify(s); !errors.Is(err, identity.ErrIssuerUnavailable) {
						t.Fatalf("got %v", err)
					}
					if err := pause(t.Context(), 100*time.Millisecond); err != nil {
						t.Fatal(err)
					}
				}
				if n := f.fetches(); n > 10 {
					t.Errorf("a minute of calls asked for keys %d times", n)
				}
				f.serve(jwks(t, s), time.Second)
				if err := pause(t.Context(), 30*time.Second); err != nil {
					t.Fatal(err)
				}
				f.want("when it is over", s, nil)
			})
		})
	}
}

func TestVerify_ACallerThatLeavesDoesNotWait(t *testing.T) {
	s := testKeys()["ES256"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, s), time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := f.v.Verify(ctx, known(f.i), f.token(s), begin)
		if took := time.Since(begin); !errors.Is(err, identity.ErrIssuerUnavailable) || took != 10*time.Millisecond {
			t.Errorf("got %v after %s", err, took)
		}
		// The fetch goes on for those who stay.
		if took, err := f.verify(s); err != nil || took != 990*time.Millisecond {
			t.Errorf("another caller got %v after %s", err, took)
		}
	})
}

func TestVerify_AFetchThatBeganBeforeTheKeyIsNotTheLast(t *testing.T) {
	old, next := testKeys()["ES256"], testKeys()["other"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, old), 500*time.Millisecond)
		f.v.Follow([]*identity.Issuer{f.i})
		f.run()
		_ = pause(t.Context(), 100*time.Millisecond)
		f.serve(jwks(t, old, next), 500*time.Millisecond)
		if took, err := f.verify(next); err != nil || took != 900*time.Millisecond {
			t.Errorf("a token of a key that was published during a fetch: %v after %s", err, took)
		}
		if n := f.fetches(); n != 2 {
			t.Errorf("keys were fetched %d times, want 2", n)
		}
	})
}

func TestVerify_AFetchForTheTokenIsTheLast(t *testing.T) {
	s, unknown := testKeys()["ES256"], testKeys()["other"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, s), time.Millisecond)
		f.want("a token of an unknown key", unknown, identity.ErrTokenInvalid)
		if n := f.fetches(); n != 1 {
			t.Errorf("the first keys were fetched %d times", n)
		}
	})
}

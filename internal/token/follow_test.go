package token_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

func TestRun_RefreshesAsTheIssuerSays(t *testing.T) {
	s := testKeys()["ES256"]
	for name, tt := range map[string]struct {
		header []string
		want   time.Duration
	}{
		"nothing":      {nil, 10 * time.Minute},
		"max-age":      {[]string{"Cache-Control", "public, Max-Age=1800, must-revalidate"}, 30 * time.Minute},
		"quoted":       {[]string{"Cache-Control", `max-age="1800"`}, 30 * time.Minute},
		"a second":     {[]string{"Cache-Control", "max-age=1"}, time.Minute},
		"below zero":   {[]string{"Cache-Control", "max-age=-5"}, time.Minute},
		"a year":       {[]string{"Cache-Control", "max-age=31536000"}, time.Hour},
		"too big":      {[]string{"Cache-Control", "max-age=99999999999999999999"}, 10 * time.Minute},
		"no number":    {[]string{"Cache-Control", "max-age=soon"}, 10 * time.Minute},
		"no-cache":     {[]string{"Cache-Control", "no-cache"}, time.Minute},
		"several":      {[]string{"Cache-Control", "public", "Cache-Control", "max-age=1800"}, 30 * time.Minute},
		"shared cache": {[]string{"Cache-Control", "s-maxage=1800"}, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.serve(jwks(t, s), 0, tt.header...)
				f.v.Follow([]*identity.Issuer{f.i})
				f.run()
				synctest.Wait()
				if n := f.fetches(); n != 1 {
					t.Fatalf("keys were fetched %d times at first", n)
				}
				for range 3 {
					_ = pause(t.Context(), tt.want-time.Millisecond)
					synctest.Wait()
					if n := f.fetches(); n != 0 {
						t.Errorf("keys were fetched before %s", tt.want)
					}
					_ = pause(t.Context(), time.Millisecond)
					synctest.Wait()
					if n := f.fetches(); n != 1 {
						t.Errorf("keys were fetched %d times after %s", n, tt.want)
					}
				}
			})
		})
	}
}

func TestFollow_KeepsKeysOfThoseThatStay(t *testing.T) {
	s := testKeys()["ES256"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, s), 0)
		f.run()
		f.v.Follow([]*identity.Issuer{f.i})
		synctest.Wait()
		secret := f.token(s)
		if _, err := f.v.Verify(t.Context(), known(f.i), secret, time.Now()); err != nil {
			t.Fatal(err)
		}
		f.fetches()

		// Another configuration of the same keys: what is remembered goes, the keys stay.
		changed := *f.i
		changed.Audiences = []string{"other"}
		f.v.Follow([]*identity.Issuer{&changed})
		synctest.Wait()
		if _, err := f.v.Verify(t.Context(), known(&changed), secret, time.Now()); !errors.Is(err, identity.ErrTokenInvalid) {
			t.Errorf("with another audience: %v", err)
		}
		if n := f.fetches(); n != 0 {
			t.Errorf("the same keys were fetched %d times", n)
		}

		// Disabled, and enabled again.
		disabled := *f.i
		disabled.Disabled = true
		f.v.Follow([]*identity.Issuer{&disabled})
		if _, err := f.v.Verify(t.Context(), known(&disabled), secret, time.Now()); !errors.Is(err, identity.ErrCredentialsInvalid) {
			t.Errorf("of a disabled issuer: %v", err)
		}
		_ = pause(t.Context(), time.Hour)
		synctest.Wait()
		if n := f.fetches(); n != 0 {
			t.Errorf("keys of a disabled issuer were fetched %d times", n)
		}
		f.v.Follow([]*identity.Issuer{f.i})
		synctest.Wait()
		if n := f.fetches(); n != 1 {
			t.Errorf("keys of an issuer that was enabled were fetched %d times", n)
		}
		f.want("of an issuer that was enabled", s, nil)

		// A remembered token of keys that nobody keeps any more is verified anew.
		secret = f.token(s)
		if _, err := f.v.Verify(t.Context(), known(f.i), secret, time.Now()); err != nil {
			t.Fatal(err)
		}
		f.v.Follow(nil)
		f.serve(jwks(t, testKeys()["other"]), 0)
		if _, err := f.v.Verify(t.Context(), known(f.i), secret, time.Now()); !errors.Is(err, identity.ErrTokenInvalid) {
			t.Errorf("with keys that were fetched anew: %v", err)
		}
	})
}

func TestFollow_AnIssuerThatGoesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		called := make(chan struct{})
		f.do(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			close(called)
			return nil, r.Context().Err()
		})
		f.run()
		f.v.Follow([]*identity.Issuer{f.i})
		synctest.Wait()
		begin := time.Now()
		f.v.Follow(nil)
		<-called
		if took := time.Since(begin); took > 0 {
			t.Errorf("the fetch ended after %s", took)
		}
		synctest.Wait()
		if n := f.log.lines("cannot be had"); n != 0 {
			t.Error("what was called off is in the log")
		}
	})
}

func TestRun_NothingIsUnderWayWhenItHasEnded(t *testing.T) {
	s := testKeys()["ES256"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.do(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		f.v.Follow([]*identity.Issuer{f.i})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.v.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(begin) > 0 {
			t.Errorf("Run ended with %v after %s", err, time.Since(begin))
		}
		f.fetches()
		if took, err := f.verify(s); !errors.Is(err, identity.ErrIssuerUnavailable) || took > 0 {
			t.Errorf("a token after that: %v after %s", err, took)
		}
		if n := f.fetches(); n != 0 || f.log.lines("cannot be had") != 0 {
			t.Errorf("keys were fetched %d times after the end", n)
		}
	})
}

func TestVerify_OneIssuerDoesNotHoldUpAnother(t *testing.T) {
	s := testKeys()["ES256"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		hung := issuer("")
		hung.ID, hung.URL, hung.JWKSURL = "hung", "https://hung.example.com", "https://hung.example.com/keys"
		f.do(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "hung.example.com" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return reply(200, jwks(t, s)), nil
		})
		f.v.Follow([]*identity.Issuer{hung, f.i})
		f.run()
		synctest.Wait()
		if took, err := f.verify(s); err != nil || took > 0 {
			t.Errorf("got %v after %s", err, took)
		}
	})
}

func TestRun_TheSameKeysInAnotherOrderForgetNothing(t *testing.T) {
	s, other := testKeys()["ES256"], testKeys()["other"]
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.serve(jwks(t, s, other), 0)
		f.v.Follow([]*identity.Issuer{f.i})
		f.run()
		synctest.Wait()
		secret := f.token(s)
		verify := func() identity.Principal {
			t.Helper()
			p, err := f.v.Verify(t.Context(), known(f.i), secret, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		before := verify()
		f.serve(jwks(t, other, s), 0)
		f.fetches()
		_ = pause(t.Context(), 10*time.Minute)
		synctest.Wait()
		if f.fetches() != 1 || verify().Claims != before.Claims {
			t.Error("a token was verified again")
		}
		f.serve(jwks(t, s), 0)
		_ = pause(t.Context(), 10*time.Minute)
		synctest.Wait()
		if f.fetches() != 1 || verify().Claims == before.Claims {
			t.Error("a token was not verified again though the keys are others")
		}
	})
}

package token_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// usual is a token as providers issue them, some 900 bytes long, with its issuer.
func usual(t testing.TB, alg string) (*identity.Issuer, string) {
	s := testKeys()[alg]
	i := issuer(jwks(t, s))
	for n := range 20 {
		i.Mappings = append(i.Mappings, identity.ClaimMapping{Claim: "groups", Value: fmt.Sprint("group-", n), Team: fmt.Sprint("team-", n)})
	}
	secret := s.sign(t, nil, claims(map[string]any{
		"name": "Ada Lovelace", "email": "ada@example.com", "azp": "0oa1k2j3h4g5f6d7s8a9", "jti": "AT.0123456789abcdefghijklmnopqrstuvwxyz",
		"groups": []string{"Everyone", "group-3", "group-7", "engineering", "on-call", "London", "group-19"},
		"scope":  "openid profile email offline_access agents:invoke agents:discover", "ver": 1, "uid": "00u1a2b3c4d5e6f7g8h9",
		"auth_time": epoch.Unix(), "amr": []string{"mfa", "pwd", "otp"},
	}))
	return i, secret
}

func TestVerify_RememberedTokensAllocateNothing(t *testing.T) {
	i, secret := usual(t, "ES256")
	var is token.Issuers = known(i)
	v := newVerifier(t, token.Config{})
	if _, err := v.Verify(t.Context(), is, secret, epoch); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := v.Verify(ctx, is, secret, epoch); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("a remembered token allocates %v times", n)
	}
}

func TestVerify_AChangedIssuerIsNotRemembered(t *testing.T) {
	i, secret := usual(t, "ES256")
	v := newVerifier(t, token.Config{})
	before, err := v.Verify(t.Context(), known(i), secret, epoch)
	if err != nil {
		t.Fatal(err)
	}
	changed := *i
	changed.Mappings = nil
	after, err := v.Verify(t.Context(), known(&changed), secret, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Claims.Teams) != 3 || len(after.Claims.Teams) != 0 {
		t.Errorf("teams are %v, then %v", before.Claims.Teams, after.Claims.Teams)
	}
	// Another replica of the configuration still has the older one.
	again, err := v.Verify(t.Context(), known(i), secret, epoch)
	if err != nil || len(again.Claims.Teams) != 3 {
		t.Errorf("at the older revision: %v, %v", again.Claims, err)
	}
	if _, err := v.Verify(t.Context(), known(), secret, epoch); err == nil {
		t.Error("a token of an issuer that is gone is remembered")
	}
}

func TestVerify_ConcurrentCallers(t *testing.T) {
	s, other := testKeys()["ES256"], testKeys()["other"]
	i := issuer("")
	i.JWKSURL = issuerURL + "/keys"
	sets := []string{jwks(t, s), jwks(t, s, other)}
	n := 0
	var mu sync.Mutex
	client := &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return reply(200, sets[n%2]), nil
	})}
	// A clock that runs a second with every look makes keys be fetched all the time.
	clk := &runningClock{now: epoch}
	v := newVerifier(t, token.Config{Client: client, Clock: clk, MaxTokens: 64})
	var secrets []string
	for j := range 100 {
		secrets = append(secrets, s.sign(t, nil, claims(map[string]any{"jti": j})), other.sign(t, nil, claims(map[string]any{"jti": j})))
	}
	if _, err := v.Verify(t.Context(), known(i), secrets[0], epoch); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for j := range 400 {
				k := (j*7 + g) % len(secrets)
				p, err := v.Verify(t.Context(), known(i), secrets[k], epoch)
				if k%2 == 0 && err != nil {
					t.Errorf("a token of the key that is always there: %v", err)
				}
				if err == nil && p.Claims.Token != secrets[k] {
					t.Error("got the user of another token")
				}
				if j%100 == 0 {
					v.Follow([]*identity.Issuer{i})
				}
			}
		})
	}
	wg.Wait()
}

type runningClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *runningClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

func BenchmarkVerify(b *testing.B) {
	b.Run("remembered", func(b *testing.B) {
		i, secret := usual(b, "RS256")
		var is token.Issuers = known(i)
		v := newVerifier(b, token.Config{})
		b.ReportAllocs()
		b.ReportMetric(float64(len(secret)), "token-bytes")
		for b.Loop() {
			if _, err := v.Verify(b.Context(), is, secret, epoch); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			i, secret := usual(b, alg)
			// Two configurations in turn: nothing is ever remembered.
			other := *i
			is := []token.Issuers{known(i), known(&other)}
			v := newVerifier(b, token.Config{})
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, err := v.Verify(b.Context(), is[n%2], secret, epoch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("a megabyte", func(b *testing.B) {
		i, _ := usual(b, "ES256")
		huge := "eyJ." + string(make([]byte, 1<<20)) + ".x"
		v := newVerifier(b, token.Config{})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), known(i), huge, epoch); err == nil {
				b.Fatal("it is accepted")
			}
		}
	})
}

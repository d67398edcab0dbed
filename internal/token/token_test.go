package token_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

func TestNew_NeedsAClient(t *testing.T) {
	if v, err := token.New(token.Config{}); err == nil || v != nil {
		t.Errorf("New without a client gave %v, %v", v, err)
	}
}

func TestVerify_TokensOfEveryAlgorithm(t *testing.T) {
	for _, alg := range allAlgorithms() {
		t.Run(alg, func(t *testing.T) {
			s := testKeys()[alg]
			i := issuer(jwks(t, s))
			i.Algorithms = []string{alg}
			secret := s.sign(t, nil, claims(map[string]any{"name": "Ada Lovelace", "email": "ada@example.com"}))
			if !token.Looks(secret) {
				t.Error("Looks is false")
			}
			v := newVerifier(t, token.Config{})
			for range 2 { // verified, then remembered
				got, err := v.Verify(t.Context(), known(i), secret, epoch)
				if err != nil {
					t.Fatal(err)
				}
				want := identity.Principal{
					Kind: identity.KindUser, UID: i.UserUID("ada"), Name: "users/okta~ada",
					Claims: &identity.Claims{
						Issuer: "okta", Subject: "ada", UserID: "okta~ada", DisplayName: "Ada Lovelace", Email: "ada@example.com",
						Expires: epoch.Add(time.Hour), Token: secret,
					},
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("principal (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestVerify_AlgorithmIsPinnedToIssuerAndKey(t *testing.T) {
	for _, signed := range allAlgorithms() {
		for _, pinned := range allAlgorithms() {
			s := testKeys()[signed]
			i := issuer(jwks(t, s))
			i.Algorithms = []string{pinned}
			_, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(i), s.sign(t, nil, claims(nil)), epoch)
			if ok := err == nil; ok != (signed == pinned) {
				t.Errorf("a token signed with %s of an issuer with %s: %v", signed, pinned, err)
			}
		}
		// The same key, published for another algorithm.
		for _, published := range allAlgorithms() {
			s := testKeys()[signed]
			of := s
			of.alg = published
			i := issuer(jwks(t, of))
			_, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(i), s.sign(t, nil, claims(nil)), epoch)
			if ok := err == nil; ok != (signed == published) {
				t.Errorf("a token signed with %s by a key for %s: %v", signed, published, err)
			}
		}
	}
}

func TestVerify_Types(t *testing.T) {
	s := testKeys()["ES256"]
	i := issuer(jwks(t, s))
	for typ, want := range map[any]bool{
		"JWT": true, "jwt": true, "at+jwt": true, "AT+JWT": true, "application/at+jwt": true, "Application/JWT": true, nil: true,
		"": false, "JWE": false, "dpop+jwt": false, "logout+jwt": false, "secevent+jwt": false, "application/": false,
		"application/application/jwt": false, "JOSE": false, "jwt ": false, 7: false, true: false,
	} {
		_, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(i), s.sign(t, map[string]any{"typ": typ}, claims(nil)), epoch)
		if got := err == nil; got != want {
			t.Errorf("a token of type %v is accepted: %t (%v), want %t", typ, got, err, want)
		}
	}
}

func TestVerify_Times(t *testing.T) {
	s := testKeys()["ES256"]
	at := func(d time.Duration) int64 { return epoch.Add(d).Unix() }
	expired, later := identity.ErrTokenExpired, identity.ErrTokenInvalid
	for name, tt := range map[string]struct {
		change map[string]any
		skew   time.Duration
		now    time.Duration // since epoch
		want   error
	}{
		"just before it expires":              {map[string]any{"exp": at(10 * time.Second)}, 0, 10*time.Second - 1, nil},
		"the moment it expires":               {map[string]any{"exp": at(10 * time.Second)}, 0, 10 * time.Second, expired},
		"within the skew":                     {map[string]any{"exp": at(0)}, time.Minute, time.Minute - 1, nil},
		"at the end of the skew":              {map[string]any{"exp": at(0)}, time.Minute, time.Minute, expired},
		"a skew of a day is one of 5 minutes": {map[string]any{"exp": at(0)}, 24 * time.Hour, MaxSkew, expired},
		"just within the greatest skew":       {map[string]any{"exp": at(0)}, 24 * time.Hour, MaxSkew - 1, nil},
		"a skew below zero is none":           {map[string]any{"exp": at(10 * time.Second)}, -time.Hour, 0, nil},
		"a fraction of a second":              {map[string]any{"exp": float64(at(0)) + 0.5}, 0, 499 * time.Millisecond, nil},
		"behind a fraction of a second":       {map[string]any{"exp": float64(at(0)) + 0.5}, 0, 500 * time.Millisecond, expired},
		"nbf in the future":                   {map[string]any{"nbf": at(time.Minute), "iat": nil}, 0, time.Minute - 1, later},
		"nbf now":                             {map[string]any{"nbf": at(time.Minute), "iat": nil}, 0, time.Minute, nil},
		"nbf within the skew":                 {map[string]any{"nbf": at(time.Minute), "iat": nil}, time.Minute, 0, nil},
		"nbf beyond the skew":                 {map[string]any{"nbf": at(time.Minute), "iat": nil}, time.Minute, -1, later},
		"iat in the future":                   {map[string]any{"iat": at(2 * time.Minute)}, time.Minute, 0, later},
		"iat within the skew":                 {map[string]any{"iat": at(time.Minute)}, time.Minute, 0, nil},
		"no iat":                              {map[string]any{"iat": nil}, 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := issuer(jwks(t, s))
			i.Skew = tt.skew
			secret := s.sign(t, nil, claims(tt.change))
			v := newVerifier(t, token.Config{})
			now := epoch.Add(tt.now)
			if _, err := v.Verify(t.Context(), known(i), secret, now); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			// The same of a token that is remembered from a time at which it holds.
			for _, good := range []time.Duration{-time.Hour, 0, 61 * time.Second, 5 * time.Minute} {
				_, _ = v.Verify(t.Context(), known(i), secret, epoch.Add(good))
			}
			if _, err := v.Verify(t.Context(), known(i), secret, now); !errors.Is(err, tt.want) {
				t.Errorf("remembered: got %v, want %v", err, tt.want)
			}
		})
	}
}

// MaxSkew is short for the table above.
const MaxSkew = token.MaxSkew

func TestVerify_Issuers(t *testing.T) {
	s := testKeys()["ES256"]
	keys := jwks(t, s)
	secret := s.sign(t, nil, claims(nil))
	disabled := issuer(keys)
	disabled.Disabled = true
	elsewhere := issuer(keys)
	elsewhere.Audiences = []string{"other", "signalbox.example.com"}
	both := issuer(keys)
	both.Audiences = []string{"other", "signalbox"}
	v := newVerifier(t, token.Config{})
	for _, tt := range []struct {
		name string
		is   issuers
		want error
	}{
		{"known", known(issuer(keys)), nil},
		{"none", known(), identity.ErrCredentialsInvalid},
		{"disabled", known(disabled), identity.ErrCredentialsInvalid},
		{"another audience", known(elsewhere), identity.ErrTokenInvalid},
		{"one of its audiences", known(both), nil},
		{"keys that cannot be read", known(issuer("{}")), identity.ErrIssuerUnavailable},
		{"keys of somebody else", known(issuer(jwks(t, testKeys()["other"]))), identity.ErrTokenInvalid},
		{"known again", known(issuer(keys)), nil},
	} {
		if _, err := v.Verify(t.Context(), tt.is, secret, epoch); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	// To the letter.
	for _, iss := range []string{issuerURL + "/", "https://ID.example.com", "https://id.example.com:443", " " + issuerURL, ""} {
		_, err := v.Verify(t.Context(), known(issuer(keys)), s.sign(t, nil, claims(map[string]any{"iss": iss})), epoch)
		if err == nil {
			t.Errorf("a token of %q is accepted from %q", iss, issuerURL)
		}
	}
	for _, aud := range []any{[]string{"x", "signalbox"}, "signalbox"} {
		if _, err := v.Verify(t.Context(), known(issuer(keys)), s.sign(t, nil, claims(map[string]any{"aud": aud})), epoch); err != nil {
			t.Errorf("a token for %v: %v", aud, err)
		}
	}
}

func TestLooks(t *testing.T) {
	for secret, want := range map[string]bool{
		"": false, "eyJ": false, "eyJ.": false, "eyJ..": true, "eyJhbGciOiJub25lIn0.e30.": true,
		"sb_0123.eyJ.x": false, "a.b.c": false, "eyJ.a.b.c.d": false, "eyJ.a.b.c": false,
		"eyJ." + strings.Repeat("a", 1<<20): true, "eyJ" + strings.Repeat("a", 1<<20): false,
	} {
		if got := token.Looks(secret); got != want {
			t.Errorf("Looks(%.40q) = %t, want %t", secret, got, want)
		}
	}
}

func TestVerify_LongTokensCostNothing(t *testing.T) {
	s := testKeys()["ES256"]
	v := newVerifier(t, token.Config{Client: &http.Client{}})
	is := known(issuer(jwks(t, s)))
	huge := s.sign(t, nil, claims(map[string]any{"x": strings.Repeat("x", 1<<20)}))
	if len(huge) < 1<<20 {
		t.Fatalf("the token has %d bytes", len(huge))
	}
	if _, err := v.Verify(t.Context(), is, huge, epoch); !errors.Is(err, identity.ErrTokenInvalid) {
		t.Errorf("got %v", err)
	}
	// The error's own allocations, and nothing that grows with the token.
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = v.Verify(b.Context(), is, huge, epoch)
		}
	})
	if r.AllocedBytesPerOp() > 1024 || r.NsPerOp() > 100_000 {
		t.Errorf("a token of 1 MB takes %d ns and %d bytes", r.NsPerOp(), r.AllocedBytesPerOp())
	}
	// As long as a token may be, and one more.
	for _, length := range []int{token.MaxLength, token.MaxLength + 1} {
		secret := ofLength(t, s, length)
		if _, err := v.Verify(t.Context(), is, secret, epoch); (err == nil) != (length == token.MaxLength) {
			t.Errorf("a token of %d bytes: %v", length, err)
		}
	}
}

// ofLength makes a token of a number of bytes, not all of which the payload alone can make.
func ofLength(t *testing.T, s signer, length int) string {
	t.Helper()
	for pad := range 4 {
		for fill := length*3/4 - 400; fill < length*3/4; fill++ {
			header := map[string]any{"x": strings.Repeat("x", pad)}
			if secret := s.sign(t, header, claims(map[string]any{"x": strings.Repeat("x", fill)})); len(secret) == length {
				return secret
			}
		}
	}
	t.Fatalf("no token has %d bytes", length)
	return ""
}

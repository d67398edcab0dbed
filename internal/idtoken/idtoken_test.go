package idtoken_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/idtoken"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/signkey/signkeytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	name     = "https://gateway.example"
	audience = "agents/planner"
)

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// rig is an Issuer whose time is what the test says.
type rig struct {
	*idtoken.Issuer
	keys *signkey.Keys
	mu   sync.Mutex
	now  time.Time
}

func (r *rig) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func newRig(t testing.TB, size int) *rig {
	t.Helper()
	r := &rig{now: epoch}
	at := clock.Func(r.Now)
	r.keys = signkeytest.Open(t, signkey.Config{Purpose: idtoken.Keys(), Clock: at})
	var err error
	if r.Issuer, err = idtoken.New(idtoken.Config{Keys: r.keys, Name: name, CacheSize: size, Clock: at}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) token(t testing.TB, caller *identity.Principal, audience string) string {
	t.Helper()
	token, err := r.Token(caller, audience)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// read verifies a token as an agent does, with another library than the one that made it.
func (r *rig) read(t testing.TB, token, audience string) (*jwt.Token, error) {
	t.Helper()
	return jwt.Parse(token, func(parsed *jwt.Token) (any, error) {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(r.keys.JWKS(), &set); err != nil {
			return nil, err
		}
		kid, _ := parsed.Header["kid"].(string)
		for _, k := range set.Key(kid) {
			return k.Key, nil
		}
		return nil, fmt.Errorf("no key %q", kid)
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(audience), jwt.WithIssuer(name), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(r.Now))
}

func user() *identity.Principal {
	return &identity.Principal{Kind: identity.KindUser, UID: uuid.MustParse("4e8f1c1e-8f1c-8e1c-9f1c-4e8f1c1e8f1c"), Name: "users/okta~ada", Team: "research"}
}

func TestToken_SaysWhoCalls(t *testing.T) {
	r := newRig(t, 0)
	uid := uuid.New()
	for name, tc := range map[string]struct {
		caller *identity.Principal
		want   map[string]any
	}{
		"a user": {user(), map[string]any{"sub": "users/okta~ada", "kind": "user", "uid": user().UID.String(), "team": "teams/research"}},
		"a user of no team": {
			&identity.Principal{Kind: identity.KindUser, UID: uid, Name: "users/okta~bob"},
			map[string]any{"sub": "users/okta~bob", "kind": "user", "uid": uid.String()},
		},
		"a key": {
			&identity.Principal{Kind: identity.KindKey, UID: uid, Key: uid, Name: "teams/t/keys/ci", Team: "t"},
			map[string]any{"sub": "teams/t/keys/ci", "kind": "key", "uid": uid.String(), "team": "teams/t"},
		},
		"an agent": {
			&identity.Principal{Kind: identity.KindAgent, UID: uid, Key: uuid.New(), Name: "agents/writer", Team: "t"},
			map[string]any{"sub": "agents/writer", "kind": "agent", "uid": uid.String(), "team": "teams/t"},
		},
		"the admin key": {new(identity.Admin()), map[string]any{"sub": "admin", "kind": "admin", "uid": identity.AdminUID.String()}},
		"the gateway":   {nil, map[string]any{"sub": "gateway", "kind": "gateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := r.read(t, r.token(t, tc.caller, audience), audience)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]any{"alg": "ES256", "typ": "JWT", "kid": r.keys.Signing().KID()}, parsed.Header); diff != "" {
				t.Errorf("header (-want +got)\n%s", diff)
			}
			got := map[string]any(parsed.Claims.(jwt.MapClaims))
			id, _ := got["jti"].(string)
			if _, err := uuid.Parse(id); err != nil {
				t.Errorf("jti: %v", err)
			}
			delete(got, "jti")
			begin := float64(epoch.Add(-10 * time.Second).Unix())
			want := map[string]any{"iss": "https://gateway.example", "aud": audience, "iat": begin, "nbf": begin, "exp": begin + 300}
			for claim, value := range tc.want {
				if claim != "sub" {
					claim = "signalbox.dev/" + claim
				}
				want[claim] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claims (-want +got)\n%s", diff)
			}
		})
	}
}

func TestToken_IsForOneAudienceAndOneTime(t *testing.T) {
	r := newRig(t, 0)
	token := r.token(t, user(), audience)
	if _, err := r.read(t, token, "agents/billing"); !errors.Is(err, jwt.ErrTokenInvalidAudience) {
		t.Errorf("another agent takes it: %v", err)
	}
	r.advance(idtoken.Life - 11*time.Second)
	if _, err := r.read(t, token, audience); err != nil {
		t.Errorf("shortly before its end: %v", err)
	}
	r.advance(time.Second)
	if _, err := r.read(t, token, audience); !errors.Is(err, jwt.ErrTokenExpired) {
		t.Errorf("at its end: %v", err)
	}
}

func TestToken_NobodyHasNone(t *testing.T) {
	r := newRig(t, 0)
	for _, nobody := range []*identity.Principal{{}, {Kind: identity.KindUser}} {
		if token, err := r.Token(nobody, audience); !errors.Is(err, idtoken.ErrNoCaller) {
			t.Errorf("%v got %q, %v", nobody, token, err)
		}
	}
}

func TestToken_IsMadeOnceForCallerAndAgentAndKeptForHalfOfItsLife(t *testing.T) {
	r := newRig(t, 0)
	first := r.token(t, user(), audience)
	r.advance(idtoken.Life/2 - 10*time.Second - time.Millisecond)
	if again := r.token(t, user(), audience); again != first {
		t.Error("another one was made before half of the life was over")
	}
	r.advance(time.Millisecond)
	second := r.token(t, user(), audience)
	if second == first {
		t.Error("none was made when half of the life was over")
	}
	seen := map[string]string{second: "the same"}
	moved, renamed, other := user(), user(), user()
	moved.Team, renamed.Name, other.UID = "support", "users/okta~eve", uuid.New()
	asAgent := user()
	asAgent.Kind = identity.KindAgent
	for name, caller := range map[string]*identity.Principal{
		"another team": moved, "another name": renamed, "another uid": other, "another kind": asAgent, "the gateway": nil,
	} {
		token := r.token(t, caller, audience)
		if was, ok := seen[token]; ok {
			t.Errorf("%s has the token of %s", name, was)
		}
		seen[token] = name
	}
	if _, ok := seen[r.token(t, user(), "agents/billing")]; ok {
		t.Error("two agents get the same token")
	}
}

func TestToken_OnlySoManyAreKept(t *testing.T) {
	r := newRig(t, 2)
	first := r.token(t, user(), "agents/a")
	r.token(t, user(), "agents/b")
	r.token(t, user(), "agents/c")
	if again := r.token(t, user(), "agents/a"); again == first {
		t.Error("more are kept than there is room for")
	}
}

// A token that is kept while the key changes stays valid, and a token of the key before
// does so to its end.
func TestToken_OutlivesTheRotationOfItsKey(t *testing.T) {
	r := newRig(t, 0)
	before := r.keys.Signing().KID()
	if _, err := r.keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.advance(idtoken.Keys().PublishTime - time.Second)
	last := r.token(t, user(), audience)
	if parsed, err := r.read(t, last, audience); err != nil || parsed.Header["kid"] != before {
		t.Fatalf("%v, %v", parsed.Header, err)
	}
	r.advance(2 * time.Second)
	if parsed, err := r.read(t, r.token(t, nil, audience), audience); err != nil || parsed.Header["kid"] == before {
		t.Errorf("the new key does not sign: %v, %v", parsed.Header, err)
	}
	r.advance(idtoken.Life - 13*time.Second)
	if _, err := r.read(t, last, audience); err != nil {
		t.Errorf("the last token of the key before: %v", err)
	}
}

func TestIssuerName(t *testing.T) {
	if got := idtoken.IssuerName("https://gateway.example/", nil); got != "https://gateway.example" {
		t.Errorf("got %s", got)
	}
	a, b := idtoken.IssuerName("", []byte("a")), idtoken.IssuerName("", []byte("b"))
	if a != idtoken.IssuerName("", []byte("a")) || a == b || !strings.HasPrefix(a, "urn:uuid:") {
		t.Errorf("without a public address: %s, %s", a, b)
	}
	if _, err := uuid.Parse(a); err != nil {
		t.Error(err)
	}
}

func BenchmarkToken(b *testing.B) {
	r := newRig(b, 0)
	caller := user()
	b.Run("kept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.token(b, caller, audience)
		}
	})
	b.Run("made", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			r.token(b, caller, fmt.Sprint("agents/a", i))
		}
	})
}

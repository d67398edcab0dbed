package credential_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/credential"
)

func identityToken(header, audience string) credential.Given {
	return credential.Given{Credential: credential.Credential{Kind: credential.IdentityToken, Header: header, Audience: audience}}
}

func exchange(secret string, change func(*credential.Credential)) credential.Given {
	g := credential.Given{
		Credential: credential.Credential{Kind: credential.TokenExchange, TokenURL: "https://idp.example.com/token", ClientID: "gateway"},
		Secret:     credential.Text(secret),
	}
	if change != nil {
		change(&g.Credential)
	}
	return g
}

func TestMake_AnIdentityTokenNeedsNoSecret(t *testing.T) {
	r, uid := ring(t, 1), uuid.New()
	const own = "https://agent.example.com"
	made := mustMake(t, r, uid, identityToken("", ""), nil, endpoints)
	if made.Header != "Authorization" || made.Fingerprint != "" || made.Sealed.KeyID == "" || len(made.SentTo) != 2 {
		t.Errorf("made %+v", made)
	}
	if same := mustMake(t, r, uid, identityToken("authorization", ""), made, endpoints); same != made {
		t.Error("writing back what was read is a change")
	}
	// It goes to new endpoints when its owner says so again, without any secret.
	if err := made.CheckEndpoints([]string{"https://other.example.com"}); err == nil {
		t.Error("endpoints can be pointed elsewhere without the credential")
	}
	moved := mustMake(t, r, uid, identityToken("x-who", own), made, []string{own + "/a", own + ":443/b"})
	secret, err := credential.Open(r, uid, moved)
	if err != nil || moved.Header != "X-Who" || secret.Audience != own {
		t.Fatalf("moved %+v, %q, %v", moved, secret.Audience, err)
	}
	// Who can write to the database cannot have it made for another agent, or sent elsewhere.
	changed := *moved
	changed.Audience, changed.SentTo = "https://billing.example.com", []string{"https://evil.example.com"}
	secret, err = credential.Open(r, uid, &changed)
	if err != nil || secret.Audience != own || secret.Allows(&url.URL{Scheme: "https", Host: "evil.example.com"}) {
		t.Errorf("what is stored in clear counts: %q, %v", secret.Audience, err)
	}
	// A replica that cannot read what another one sealed gives it anew.
	if again := mustMake(t, ring(t, 2), uid, identityToken("x-who", own), moved, []string{own}); again.Sealed.KeyID == moved.Sealed.KeyID {
		t.Error("it was not sealed again")
	}
	if next := mustMake(t, r, uid, bearer(marker), moved, endpoints); next.Fingerprint == "" {
		t.Error("a token in its place has no fingerprint")
	}
}

// The audience of an agent is where its tokens go, so that no other agent is sent tokens
// that the first would take.
func TestMake_AnIdentityTokenIsForWhereItGoes(t *testing.T) {
	extra := identityToken("", "https://agent.example.com")
	extra.ExtraOrigins = []string{"https://evil.example.com"}
	for name, tc := range map[string]struct {
		given credential.Given
		at    []string
		field string // "" when it is taken
	}{
		"the agent's name":         {identityToken("", ""), endpoints, ""},
		"the one origin":           {identityToken("", "https://AGENT.example.com:443/"), []string{"https://agent.example.com/a"}, ""},
		"another agent's origin":   {identityToken("", "https://billing.example.com"), []string{"https://agent.example.com/a"}, "identity_token.audience"},
		"one of several origins":   {identityToken("", "https://agent.example.com"), endpoints, "identity_token.audience"},
		"an origin in clear":       {identityToken("", "http://agent.example.com"), []string{"https://agent.example.com/a"}, "identity_token.audience"},
		"an extra origin":          {extra, []string{"https://agent.example.com/a"}, "identity_token.audience"},
		"a name":                   {identityToken("", "agents/billing"), endpoints, "identity_token.audience"},
		"a path":                   {identityToken("", "https://agent.example.com/a"), []string{"https://agent.example.com/a"}, "identity_token.audience"},
		"a header of the protocol": {identityToken("A2A-Version", ""), endpoints, "identity_token.header"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credential.Make(ring(t, 1), uuid.New(), tc.given, nil, tc.at, time.Unix(1, 0))
			fault, _ := errors.AsType[*credential.FaultError](err)
			switch {
			case tc.field == "" && err != nil:
				t.Error(err)
			case tc.field != "" && (fault == nil || fault.Field != tc.field):
				t.Errorf("got %v, want a fault of %s", err, tc.field)
			}
		})
	}
}

func TestMake_TokenExchange(t *testing.T) {
	r, uid := ring(t, 1), uuid.New()
	was := mustMake(t, r, uid, exchange(marker, nil), nil, endpoints)
	want := exchange("", func(c *credential.Credential) {
		c.SubjectTokenType, c.ClientAuthentication = credential.JWT, credential.ClientAuto
	}).Credential
	want.SentTo, want.Fingerprint, want.SetTime, want.Sealed = was.SentTo, was.Fingerprint, was.SetTime, was.Sealed
	if diff := cmp.Diff(want, *was); diff != "" || was.Fingerprint == "" {
		t.Errorf("made (-want +got)\n%s", diff)
	}
	kept := mustMake(t, r, uid, exchange("", func(c *credential.Credential) { c.Resource = "urn:agent:planner" }), was, endpoints)
	secret, err := credential.Open(r, uid, kept)
	if err != nil || secret.Value != marker || kept.Fingerprint != was.Fingerprint {
		t.Errorf("the secret was not kept: %v", err)
	}
	for name, tc := range map[string]struct {
		given credential.Given
		was   *credential.Credential
		field string
	}{
		"no secret":                {exchange("", nil), nil, "token_exchange.client_secret"},
		"another endpoint":         {exchange("", func(c *credential.Credential) { c.TokenURL = "https://evil.example.com/token" }), was, "token_exchange.client_secret"},
		"no endpoint":              {exchange(marker, func(c *credential.Credential) { c.TokenURL = "ftp://x" }), nil, "token_exchange.token_url"},
		"a resource with fragment": {exchange(marker, func(c *credential.Credential) { c.Resource = "https://x/#y" }), nil, "token_exchange.resource"},
		"a resource of no scheme":  {exchange(marker, func(c *credential.Credential) { c.Resource = "planner" }), nil, "token_exchange.resource"},
		"a secret with a line end": {exchange(marker+"\n", nil), nil, "token_exchange.client_secret"},
		"a scope with a blank":     {exchange(marker, func(c *credential.Credential) { c.Scopes = []string{"a b"} }), nil, "scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credential.Make(r, uid, tc.given, tc.was, endpoints, time.Unix(1, 0))
			fault, ok := errors.AsType[*credential.FaultError](err)
			if !ok || fault.Field != tc.field || strings.Contains(err.Error(), marker) {
				t.Errorf("got %v, want a fault of %s", err, tc.field)
			}
		})
	}
}

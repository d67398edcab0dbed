package token_test

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers/oidc"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// TestVerify_TokensOfAnOpenIDProvider has people log in at a provider that others have
// made, and reads what it issues.
func TestVerify_TokensOfAnOpenIDProvider(t *testing.T) {
	const resource = "https://gateway.example.com/"
	p := oidc.Start(t, oidc.Options{
		RedirectURI: "http://127.0.0.1:1/callback",
		Resources:   []string{resource, "https://billing.example.com/"},
		Accounts: map[string]map[string]any{
			"ada": {"name": "Ada Lovelace", "email": "ada@example.com", "groups": []string{"research", "everyone"}},
		},
	})
	i := &identity.Issuer{
		UID: uuid.New(), ID: "provider", URL: p.URL,
		Audiences: []string{resource, oidc.ConsoleClient}, Algorithms: []string{"RS256", "ES256"}, Skew: time.Minute,
		NameClaim: "name", EmailClaim: "email",
		Mappings: []identity.ClaimMapping{{Claim: "groups", Value: "research", Team: "research", Role: "publisher"}, {Claim: "scope", Value: "invoke", Role: "auditor"}},
	}
	// Connections that are kept would outlive the test.
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true}}
	v := newVerifier(t, token.Config{Client: client})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	ctx := t.Context()
	verify := func(secret string) (identity.Principal, error) {
		if !token.Looks(secret) {
			t.Errorf("%q is no token", secret)
		}
		return v.Verify(ctx, known(i), secret, time.Now())
	}

	tokens, err := p.Login(ctx, "ada", resource)
	if err != nil {
		t.Fatal(err)
	}
	id, err := verify(tokens.ID)
	if err != nil {
		t.Fatalf("the ID token: %v", err)
	}
	want := identity.Principal{
		Kind: identity.KindUser, UID: i.UserUID("ada"), Name: "users/provider~ada", Team: "research",
		Claims: &identity.Claims{
			Issuer: "provider", Subject: "ada", UserID: "provider~ada", DisplayName: "Ada Lovelace", Email: "ada@example.com",
			Teams: []string{"research"}, Roles: []identity.RoleIn{{Role: "publisher", Team: "research"}},
			Expires: id.Claims.Expires, Token: tokens.ID,
		},
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Errorf("the user of the ID token (-want +got):\n%s", diff)
	}
	if left := time.Until(id.Claims.Expires); left < time.Minute || left > 24*time.Hour {
		t.Errorf("the ID token expires in %s", left)
	}
	access, err := verify(tokens.Access)
	if err != nil {
		t.Fatalf("the access token: %v", err)
	}
	if diff := cmp.Diff([]identity.RoleIn{{Role: "auditor"}, {Role: "publisher", Team: "research"}}, access.Claims.Roles); diff != "" || access.UID != id.UID {
		t.Errorf("the user of the access token is %s, with roles (-want +got):\n%s", access.Name, diff)
	}

	service, err := p.Service(ctx, resource)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := verify(service); err != nil || got.Claims.Subject != oidc.ServiceClient || got.UID == id.UID || got.Team != "" {
		t.Errorf("the token of a service: %+v, %v", got, err)
	}
	// A token for another resource of the same provider.
	elsewhere, err := p.Service(ctx, "https://billing.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(elsewhere); !errors.Is(err, identity.ErrTokenInvalid) {
		t.Errorf("a token for another resource: %v", err)
	}

	// New keys beside the old ones: nobody notices.
	if err := p.Rotate(ctx, true); err != nil {
		t.Fatal(err)
	}
	next, err := p.Service(ctx, resource)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(next); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	if _, err := verify(service); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	// The old ones go. A verifier that has not seen them yet does not believe them.
	if err := p.Rotate(ctx, false); err != nil {
		t.Fatal(err)
	}
	last, err := p.Service(ctx, resource)
	if err != nil {
		t.Fatal(err)
	}
	v = newVerifier(t, token.Config{Client: client})
	if _, err := verify(last); err != nil {
		t.Errorf("a token of the newest key: %v", err)
	}
	if _, err := verify(next); !errors.Is(err, identity.ErrTokenInvalid) {
		t.Errorf("a token of a key that is gone: %v", err)
	}
}

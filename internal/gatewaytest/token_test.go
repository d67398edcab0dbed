package gatewaytest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers/oidc"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// A client that knows nothing but an agent's address finds out whose tokens the gateway
// takes, gets one of a real provider, and calls; what it may do follows from its claims.
func TestTokens_OfARealProviderFromTheChallengeToTheCall(t *testing.T) {
	g := gatewaytest.Start(t)
	g.Team("demo")
	g.Team("research")
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(g, "planner", agent)
	const audience = "https://signalbox.example.com/"
	provider := oidc.Start(t, oidc.Options{
		RedirectURI: "http://127.0.0.1:1/callback", Resources: []string{audience},
		Accounts: map[string]map[string]any{
			"ada": {"name": "Ada Lovelace", "email": "ada@example.com", "groups": []string{"research"}}, "eve": {"name": "Eve"},
		},
	})
	if _, err := g.Identity.CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "others"}); err != nil {
		t.Fatal(err)
	}

	// Before there are issuers nobody is sent to one.
	r := g.Call("planner", "", "SendMessage", gatewaytest.Message("m", "hi", ""), "A2A-Version", "1.0")
	if got := r.Header.Get("WWW-Authenticate"); r.Status != http.StatusUnauthorized || got != `Bearer realm="signalbox"` {
		t.Errorf("HTTP %d with WWW-Authenticate %s", r.Status, got)
	}
	if _, err := g.Identity.CreateIssuer(t.Context(), &identityv1.CreateIssuerRequest{IssuerId: "idp", Issuer: &identityv1.Issuer{
		Url: provider.URL, Audiences: []string{audience}, NameClaim: "name", EmailClaim: "email",
		ClaimMappings: []*identityv1.ClaimMapping{{Claim: "groups", Value: "research", Team: "teams/research"}},
	}}); err != nil {
		t.Fatal(err)
	}

	// RFC 9728: the challenge names the metadata, and that names the issuer.
	r = g.Call("planner", "", "SendMessage", gatewaytest.Message("m", "hi", ""), "A2A-Version", "1.0")
	challenge := r.Header.Get("WWW-Authenticate")
	_, after, ok := strings.Cut(challenge, `resource_metadata="`)
	address, _, ended := strings.Cut(after, `"`)
	if !ok || !ended || !strings.HasPrefix(address, g.URL+"/.well-known/oauth-protected-resource/a2a/planner") {
		t.Fatalf("WWW-Authenticate %s", challenge)
	}
	r = g.Do(http.MethodGet, strings.TrimPrefix(address, g.URL), "", "")
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Methods  []string `json:"bearer_methods_supported"`
	}
	if err := json.Unmarshal(r.Body, &metadata); err != nil || metadata.Resource != g.AgentURL("planner") ||
		len(metadata.Servers) != 1 || metadata.Servers[0] != provider.URL || len(metadata.Methods) != 1 {
		t.Fatalf("HTTP %d %s", r.Status, r.Body)
	}

	tokens, err := provider.Login(t.Context(), "ada", audience)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range a2a.Dialects {
		c := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL("planner"), Key: tokens.Access, Agent: "planner"})
		if _, err := c.Send(t.Context(), peers.Message{ID: "m" + d.String(), Parts: []peers.Part{{Text: "hi"}}}); err != nil {
			t.Errorf("%s: ada gets %v", d, err)
		}
	}
	// A user of no team is believed and sees nothing.
	others, err := provider.Login(t.Context(), "eve", audience)
	if err != nil {
		t.Fatal(err)
	}
	if r := g.Call("planner", others.Access, "SendMessage", gatewaytest.Message("m", "hi", ""), "A2A-Version", "1.0"); r.Status != http.StatusNotFound {
		t.Errorf("eve gets HTTP %d %s", r.Status, r.Body)
	}
	// The keys are rotated: nobody is refused.
	if err := provider.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	fresh, err := provider.Login(t.Context(), "ada", audience)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"old": tokens.Access, "new": fresh.Access} {
		if r := g.Call("planner", token, "SendMessage", gatewaytest.Message("m", "hi", ""), "A2A-Version", "1.0"); r.Status != http.StatusOK {
			t.Errorf("after a rotation the %s token gets HTTP %d %s", name, r.Status, r.Body)
		}
	}

	events := g.Events(`outcome=SUCCEEDED AND team="research"`, len(a2a.Dialects)+2)
	for _, e := range events {
		if !strings.HasPrefix(e.GetCaller(), "users/idp~") || e.GetTeam() != "teams/research" {
			t.Errorf("an event of %q of %q", e.GetCaller(), e.GetTeam())
		}
		if d := e.GetDecision(); len(d.GetClaimedTeams()) != 1 || d.GetClaimedTeams()[0] != "teams/research" || !strings.HasPrefix(d.GetPrincipal(), "user:users/idp~") {
			t.Errorf("the decision says %v", d)
		}
	}
	users, err := g.Identity.ListUsers(t.Context(), &identityv1.ListUsersRequest{})
	for deadline := time.Now().Add(5 * time.Second); err == nil && len(users.GetUsers()) < 2 && time.Now().Before(deadline); {
		users, err = g.Identity.ListUsers(t.Context(), &identityv1.ListUsersRequest{})
	}
	if err != nil || len(users.GetUsers()) != 2 {
		t.Fatalf("users %v, %v", users, err)
	}
	// The management plane takes the same token.
	_, identity, _ := g.Clients(fresh.Access)
	if _, err := identity.GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/research"}); err != nil {
		t.Errorf("ada reads its team: %v", err)
	}
	if _, err := identity.GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/others"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("ada reads another team: %v", err)
	}
	_, identity, _ = g.Clients(others.Access + "x")
	_, err = identity.GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/research"})
	if connect.CodeOf(err) != connect.CodeUnauthenticated || strings.Contains(err.Error(), others.Access[:20]) {
		t.Errorf("a spoiled token gets %v", err)
	}
}

package dataplane

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth/httpauthtest"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/signkey/signkeytest"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/upstream"
)

// exchanged is an agent that is called with what tokens of callers are exchanged for.
func exchanged(t *testing.T, as *httpauthtest.Exchange, address string) *snapshot.Agent {
	t.Helper()
	a := &registry.Agent{UID: uuid.New(), ID: "planner"}
	var err error
	a.Credential, err = credential.Make(signkeytest.Ring(t, "one"), a.UID, credential.Given{
		Credential: credential.Credential{Kind: credential.TokenExchange, TokenURL: as.TokenURL(), ClientID: as.ClientID},
		Secret:     credential.Text(as.Secret),
	}, nil, []string{address}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	return &snapshot.Agent{Agent: a}
}

func TestForward_AnAgentThatWantsItSeesTheCallersTokenExchanged(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	shown := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { shown <- r.Header.Get("Authorization") }))
	defer server.Close()
	guard, err := upstream.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := upstream.NewTransport(guard, 64<<10)
	defer transport.CloseIdleConnections()
	agents, err := upstream.NewAgents(upstream.AgentsConfig{Transport: transport, Guard: guard, Seal: signkeytest.Ring(t, "one")})
	if err != nil {
		t.Fatal(err)
	}
	defer agents.Close()
	c := &call{
		p: &Proxy{cfg: Config{Agents: agents}}, agent: exchanged(t, as, server.URL),
		principal: identity.Principal{
			Kind: identity.KindUser, UID: uuid.New(), Name: "users/okta~ada", Claims: &identity.Claims{Issuer: "okta", Subject: "ada", Token: as.Issue("ada")},
		},
	}
	if f := c.needsToken(); f != nil {
		t.Fatal(f)
	}
	req, err := http.NewRequestWithContext(c.onBehalf(t.Context()), http.MethodPost, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.way().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got, want := <-shown, "Bearer "+httpauthtest.Exchanged("ada", 1); got != want {
		t.Errorf("the agent is shown %s, want %s", got, want)
	}
}

func TestForward_WithoutATokenToExchangeTheCallIsRefused(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	agent := exchanged(t, as, "http://127.0.0.1:1")
	key := identity.Principal{Kind: identity.KindKey, UID: uuid.New(), Name: "teams/t/keys/ci"}
	f := (&call{agent: agent, principal: key}).needsToken()
	if f == nil || f.reason != "CALLER_TOKEN_REQUIRED" || f.code != codeDenied || f.outcome != audit.Refused || f.mirror != http.StatusForbidden {
		t.Errorf("got %+v", f)
	}
}

// Calls to agents that need no caller pay nothing for those that do.
func TestForward_MostAgentsAreNotToldWhoCalls(t *testing.T) {
	ctx := context.Background()
	for name, shown := range map[string]*credential.Credential{"none": nil, "a fixed token": {Kind: credential.Bearer}} {
		c := &call{agent: &snapshot.Agent{Agent: &registry.Agent{Credential: shown}}, principal: identity.Admin()}
		if c.onBehalf(ctx) != ctx || c.needsToken() != nil {
			t.Errorf("%s: the caller is attached", name)
		}
	}
	c := &call{agent: &snapshot.Agent{Agent: &registry.Agent{Credential: &credential.Credential{Kind: credential.IdentityToken}}}, principal: identity.Admin()}
	if c.onBehalf(ctx) == ctx || c.needsToken() != nil {
		t.Error("an agent that wants an identity token gets none")
	}
}

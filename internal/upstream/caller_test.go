package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth/httpauthtest"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/upstream"
)

// whoCalls makes tokens that one can read.
type whoCalls struct{}

func (whoCalls) Token(caller *identity.Principal, audience string) (string, error) {
	if caller == nil {
		return "gateway@" + audience, nil
	}
	return caller.Name + "@" + audience, nil
}

// askFor sends a request for a caller; nil is the gateway itself.
func askFor(t *testing.T, way http.RoundTripper, caller *identity.Principal, address string) error {
	t.Helper()
	ctx := t.Context()
	if caller != nil {
		ctx = upstream.WithCaller(ctx, upstream.Caller{Principal: *caller})
	}
	// What an agent works on goes on without its caller, and is asked for in the same name.
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, address, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := way.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func person(name, token string) *identity.Principal {
	return &identity.Principal{Kind: identity.KindUser, UID: uuid.New(), Name: name, Claims: &identity.Claims{Token: token}}
}

func TestAgents_TellTheAgentWhoCalls(t *testing.T) {
	var shown atomic.Value
	at := serving(t, func(_ http.ResponseWriter, r *http.Request) { shown.Store(r.Header.Get("Authorization")) })
	agents := newAgents(t, func(c *upstream.AgentsConfig) { c.Identities = whoCalls{} })
	agent := agentAt(t, at.String(), &credential.Given{Credential: credential.Credential{Kind: credential.IdentityToken}}, nil)
	for name, caller := range map[string]*identity.Principal{
		"users/okta~ada": person("users/okta~ada", ""), "teams/t/keys/ci": {Kind: identity.KindKey, Name: "teams/t/keys/ci"}, "gateway": nil,
	} {
		if err := askFor(t, agents.For(agent), caller, at.String()); err != nil || shown.Load() != "Bearer "+name+"@agents/a" {
			t.Errorf("%s: shown %v, %v", name, shown.Load(), err)
		}
	}
	cards := &upstream.Cards{Transport: http.DefaultTransport, Agents: agents}
	if _, err := cards.FetchCard(t.Context(), agent, at.String()); err != nil || shown.Load() != "Bearer gateway@agents/a" {
		t.Errorf("for the card: shown %v, %v", shown.Load(), err)
	}
	// A card, or whoever changes the database, cannot have it sent elsewhere.
	err := askFor(t, agents.For(agent), nil, "http://elsewhere.example/")
	wantWhy(t, err, httpauth.NotForHost)
}

func TestAgents_WithoutKeysForTokensOnlyTheAgentsFailThatWantOne(t *testing.T) {
	at := serving(t, func(http.ResponseWriter, *http.Request) {})
	agents := newAgents(t)
	err := askFor(t, agents.For(agentAt(t, at.String(), &credential.Given{Credential: credential.Credential{Kind: credential.IdentityToken}}, nil)), nil, at.String())
	wantWhy(t, err, httpauth.Unreadable)
	if err := askFor(t, agents.For(agentAt(t, at.String(), bearer(), nil)), nil, at.String()); err != nil {
		t.Error(err)
	}
}

func exchangeAt(as *httpauthtest.Exchange) *credential.Given {
	return &credential.Given{
		Credential: credential.Credential{Kind: credential.TokenExchange, TokenURL: as.TokenURL(), ClientID: as.ClientID, Audience: "planner"},
		Secret:     credential.Text(as.Secret),
	}
}

func TestAgents_ExchangeTheTokensOfCallers(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	as.Params = url.Values{"audience": {"planner"}}
	good := atomic.Int64{}
	good.Store(1)
	var shown, refused atomic.Value
	at := serving(t, func(w http.ResponseWriter, r *http.Request) {
		shown.Store(r.Header.Get("Authorization"))
		if strings.Contains(r.Header.Get("Authorization"), "-1-") && good.Load() != 1 {
			refused.Store(true)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	agents := newAgents(t)
	agent := agentAt(t, at.String(), exchangeAt(as), nil)
	ada, bob := person("users/okta~ada", as.Issue("ada")), person("users/okta~bob", as.Issue("bob"))
	shows := func(caller *identity.Principal, want string) {
		t.Helper()
		next := *agent // other things of it change all the time
		if err := askFor(t, agents.For(&next), caller, at.String()); err != nil || shown.Load() != want {
			t.Errorf("shown %v, %v, want %s", shown.Load(), err, want)
		}
	}
	for range 3 {
		shows(ada, "Bearer "+httpauthtest.Exchanged("ada", 1))
		shows(bob, "Bearer "+httpauthtest.Exchanged("bob", 2))
	}
	good.Store(2) // Ada's is revoked
	shows(ada, "Bearer "+httpauthtest.Exchanged("ada", 3))
	if refused.Load() != true {
		t.Error("the agent refused nothing")
	}
	shows(nil, "") // such as for the agent's card
	err := askFor(t, agents.For(agent), &identity.Principal{Kind: identity.KindKey, Name: "teams/t/keys/ci"}, at.String())
	wantWhy(t, err, httpauth.CallerTokenRequired)
	err = askFor(t, agents.For(agent), person("users/okta~eve", httpauthtest.NewExchange(t).Issue("eve")), at.String())
	wantWhy(t, err, httpauth.CallerTokenForeign)
	if wrong := as.Refused(); len(wrong) > 0 {
		t.Errorf("refused: %q", wrong)
	}
}

func TestAgents_TokensAreExchangedOnlyWhereAgentsMayBe(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	at := serving(t, func(http.ResponseWriter, *http.Request) { t.Error("the agent was asked without a token") })
	guard := newGuard(t, nil)
	agents := newAgents(t, func(c *upstream.AgentsConfig) {
		c.Guard = guard
		base := upstream.NewTransport(guard, 64<<10)
		t.Cleanup(base.CloseIdleConnections)
		c.Transport = base
	})
	err := askFor(t, agents.For(agentAt(t, at.String(), exchangeAt(as), nil)), person("users/okta~ada", as.Issue("ada")), at.String())
	wantWhy(t, err, httpauth.TokenUnreachable)
	if _, ok := errors.AsType[*upstream.ForbiddenError](err); !ok || len(as.Refused())+len(as.Asked()) != 0 {
		t.Errorf("got %v, want that the address may not be dialled", err)
	}
}

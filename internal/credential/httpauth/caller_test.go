package httpauth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth/httpauthtest"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// named makes tokens that one can read, and counts them.
type named struct{ fails error }

func (n named) Token(caller *identity.Principal, audience string) (string, error) {
	who := "gateway"
	if caller != nil {
		who = caller.Name
	}
	return who + "@" + audience, n.fails
}

// user is a caller with a token.
func user(token string) *identity.Principal {
	return &identity.Principal{
		Kind: identity.KindUser, UID: uuid.New(), Name: "users/okta~ada", Claims: &identity.Claims{Issuer: "okta", Subject: "ada", Token: token},
	}
}

func apiKey() *identity.Principal {
	return &identity.Principal{Kind: identity.KindKey, UID: uuid.New(), Name: "teams/t/keys/ci", Team: "t"}
}

// signFor returns the headers that a request of a caller gets.
func signFor(t *testing.T, s httpauth.Signer, caller *identity.Principal) (http.Header, *httpauth.Token, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://agent.example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign(req, caller)
	return req.Header, token, err
}

func wantWhy(t *testing.T, err error, why httpauth.Why) {
	t.Helper()
	e, ok := errors.AsType[*httpauth.Error](err)
	if !ok || e.Why != why || e.Problem == "" || strings.Contains(err.Error(), marker) {
		t.Errorf("got %v, want %s without a secret", err, why)
	}
}

func TestSign_TellsTheAgentWhoCalls(t *testing.T) {
	for name, tc := range map[string]struct {
		header, audience string
		caller           *identity.Principal
		want             http.Header
	}{
		"as a bearer token": {"Authorization", "", apiKey(), http.Header{"Authorization": {"Bearer teams/t/keys/ci@agents/a"}}},
		"in another header": {"X-Who", "", user("x"), http.Header{"X-Who": {"users/okta~ada@agents/a"}}},
		"for an origin":     {"Authorization", "https://agent.example.com", apiKey(), http.Header{"Authorization": {"Bearer teams/t/keys/ci@https://agent.example.com"}}},
		"the gateway's own": {"Authorization", "", nil, http.Header{"Authorization": {"Bearer gateway@agents/a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := credential.Credential{Kind: credential.IdentityToken, Header: tc.header, Audience: "https://of-the-database.example"}
			s := signer(t, nil, c, credential.Secret{Audience: tc.audience}, func(cfg *httpauth.Config) {
				cfg.Identities, cfg.Agent = named{}, "agents/a"
			})
			got, token, err := signFor(t, s, tc.caller)
			if err != nil || token != nil {
				t.Fatalf("%v, %v", token, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	s := signer(t, nil, credential.Credential{Kind: credential.IdentityToken, Header: "Authorization"}, credential.Secret{}, func(cfg *httpauth.Config) {
		cfg.Identities, cfg.Agent = named{errors.New("no key")}, "agents/a"
	})
	h, _, err := signFor(t, s, apiKey())
	wantWhy(t, err, httpauth.NoIdentity)
	if len(h) != 0 {
		t.Errorf("shown %v", h)
	}
}

// exchanging makes a Signer that asks a server.
func exchanging(t *testing.T, as *httpauthtest.Exchange, change func(*credential.Credential), configure ...func(*httpauth.Config)) httpauth.Signer {
	t.Helper()
	c := credential.Credential{
		Kind: credential.TokenExchange, ClientID: as.ClientID, SubjectTokenType: credential.JWT, ClientAuthentication: credential.ClientHeader,
	}
	if change != nil {
		change(&c)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return signer(t, &http.Client{Transport: transport}, c, credential.Secret{Value: credential.Text(as.Secret), TokenURL: as.TokenURL()},
		append([]func(*httpauth.Config){func(cfg *httpauth.Config) { cfg.Exchanged = httpauth.NewExchanged(100) }}, configure...)...)
}

// showsFor fails the test unless the request of a caller has a token.
func showsFor(t *testing.T, s httpauth.Signer, caller *identity.Principal, want string) *httpauth.Token {
	t.Helper()
	h, token, err := signFor(t, s, caller)
	if err != nil || h.Get("Authorization") != "Bearer "+want || len(h) != 1 {
		t.Errorf("shown %v, %v, want %s", h, err, want)
	}
	return token
}

func TestExchange_AsksAsTheStandardSays(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*credential.Credential)
		as     func(*httpauthtest.Exchange)
	}{
		"the least":     {nil, func(*httpauthtest.Exchange) {}},
		"with the body": {func(c *credential.Credential) { c.ClientAuthentication = credential.ClientBody }, func(s *httpauthtest.Exchange) { s.InBody = true }},
		"a secret with marks": {nil, func(s *httpauthtest.Exchange) {
			s.ClientID, s.Secret = "gate way:1", "p%+ :ä"
		}},
		"for somewhere": {
			func(c *credential.Credential) {
				c.Audience, c.Resource, c.Scopes = "planner", "https://agent.example.com/", []string{"call", "list"}
			},
			func(s *httpauthtest.Exchange) {
				s.Params = url.Values{"audience": {"planner"}, "resource": {"https://agent.example.com/"}, "scope": {"call list"}}
			},
		},
		"with types": {
			func(c *credential.Credential) {
				c.SubjectTokenType, c.RequestedTokenType = credential.AccessToken, credential.JWT
			},
			func(s *httpauthtest.Exchange) {
				s.SubjectType = httpauthtest.TokenType + "access_token"
				s.Params = url.Values{"requested_token_type": {httpauthtest.TokenType + "jwt"}}
			},
		},
		"with the gateway as the actor": {
			func(c *credential.Credential) { c.ActorToken = true },
			func(s *httpauthtest.Exchange) {
				s.Actor = func(token string) error {
					if token != "gateway@"+s.TokenURL() {
						return fmt.Errorf("the actor is %q", token)
					}
					return nil
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			as := httpauthtest.NewExchange(t)
			tc.as(as)
			s := exchanging(t, as, tc.change, func(cfg *httpauth.Config) { cfg.Identities = named{} })
			showsFor(t, s, user(as.Issue("ada")), httpauthtest.Exchanged("ada", 1))
			if wrong := as.Refused(); len(wrong) > 0 {
				t.Errorf("refused: %q", wrong)
			}
		})
	}
}

func TestExchange_HowTheSecretIsShownIsFoundOutOnce(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	as.InBody = true
	s := exchanging(t, as, func(c *credential.Credential) { c.ClientAuthentication = credential.ClientAuto })
	for i := range 4 {
		showsFor(t, s, user(as.Issue("ada")), httpauthtest.Exchanged("ada", i+1))
	}
	if refused := as.Refused(); len(refused) != 1 {
		t.Errorf("refused: %q, want the first attempt alone", refused)
	}
}

func TestExchange_IsMadeOnceForEachTokenOfACaller(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	s := exchanging(t, as, nil)
	ada, bob := as.Issue("ada"), as.Issue("bob")
	release := as.Hold()
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() { showsFor(t, s, user(ada), httpauthtest.Exchanged("ada", 1)) })
	}
	release()
	calls.Wait()
	showsFor(t, s, user(bob), httpauthtest.Exchanged("bob", 2))
	// A token that Ada got for another program may be good for less.
	again := as.Issue("ada")
	showsFor(t, s, user(again), httpauthtest.Exchanged("ada", 3))
	showsFor(t, s, user(ada), httpauthtest.Exchanged("ada", 1))
	showsFor(t, s, user(bob), httpauthtest.Exchanged("bob", 2))
	if diff := cmp.Diff([]string{"ada", "bob", "ada"}, as.Asked()); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

func TestExchange_OfARefusedTokenIsRepeatedForItsCallerAlone(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	s := exchanging(t, as, nil)
	ada, bob := user(as.Issue("ada")), user(as.Issue("bob"))
	first := showsFor(t, s, ada, httpauthtest.Exchanged("ada", 1))
	showsFor(t, s, bob, httpauthtest.Exchanged("bob", 2))
	if !first.Refused() {
		t.Error("the token is not given up")
	}
	showsFor(t, s, ada, httpauthtest.Exchanged("ada", 3))
	showsFor(t, s, bob, httpauthtest.Exchanged("bob", 2))
}

func TestExchange_OnlySoMuchIsKept(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	kept := httpauth.NewExchanged(2)
	configure := func(cfg *httpauth.Config) { cfg.Exchanged = kept }
	// Two agents share the room.
	one, other := exchanging(t, as, nil, configure), exchanging(t, as, nil, configure)
	ada := user(as.Issue("ada"))
	showsFor(t, one, ada, httpauthtest.Exchanged("ada", 1))
	showsFor(t, other, ada, httpauthtest.Exchanged("ada", 2))
	showsFor(t, one, ada, httpauthtest.Exchanged("ada", 1))
	showsFor(t, one, user(as.Issue("bob")), httpauthtest.Exchanged("bob", 3))
	showsFor(t, other, ada, httpauthtest.Exchanged("ada", 4))
}

func TestExchange_WithoutATokenOfTheCallerThereIsNone(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	s := exchanging(t, as, nil)
	for name, caller := range map[string]*identity.Principal{
		"an API key": apiKey(), "the admin key": new(identity.Admin()), "a user without a token": user(""),
		"an agent": {Kind: identity.KindAgent, UID: uuid.New(), Name: "agents/b"},
	} {
		h, _, err := signFor(t, s, caller)
		wantWhy(t, err, httpauth.CallerTokenRequired)
		if len(h) != 0 {
			t.Errorf("%s: shown %v", name, h)
		}
	}
	if h, token, err := signFor(t, s, nil); err != nil || token != nil || len(h) != 0 {
		t.Errorf("what the gateway asks by itself: %v, %v, %v", h, token, err)
	}
	if asked := slices.Concat(as.Asked(), as.Refused()); len(asked) != 0 {
		t.Errorf("the endpoint was asked: %q", asked)
	}
}

// Who owns an agent says which token endpoint it has. That must not get the tokens of
// callers for itself.
func TestExchange_TokensAreShownOnlyToTheirIssuer(t *testing.T) {
	as, evil := httpauthtest.NewExchange(t), httpauthtest.NewExchange(t)
	token := as.Issue("ada")
	capitals := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":"https://idp.example","ISS":%q}`, evil.URL)) + ".c2ln"
	for name, subject := range map[string]string{
		"of another issuer":     token,
		"with an issuer's name": "e30.eyJpc3MiOiJva3RhIn0.c2ln",
		"without an issuer":     "e30.e30.c2ln",
		"that cannot be read":   "e30." + marker + ".c2ln",
		"that is none":          marker,
		"with two issuers":      capitals,
		"that was changed":      strings.Replace(token, ".", ".x", 1),
	} {
		h, _, err := signFor(t, exchanging(t, evil, nil), user(subject))
		wantWhy(t, err, httpauth.CallerTokenForeign)
		if len(h) != 0 {
			t.Errorf("a token %s: shown %v", name, h)
		}
	}
	if asked := slices.Concat(evil.Asked(), evil.Refused()); len(asked) != 0 {
		t.Errorf("the endpoint was asked: %q", asked)
	}
	showsFor(t, exchanging(t, as, nil), user(token), httpauthtest.Exchanged("ada", 1))
	// An administrator may say that another server is as good.
	allowed := exchanging(t, evil, nil, func(cfg *httpauth.Config) { cfg.ExchangeOrigins = []string{evil.URL} })
	_, _, err := signFor(t, allowed, user(token))
	wantWhy(t, err, httpauth.TokenRefused) // it does not know the token, so it was asked
}

func TestExchange_TellsWhyThereIsNoToken(t *testing.T) {
	answer := func(text string) func(string, int) (int, string) {
		return func(string, int) (int, string) { return http.StatusOK, text }
	}
	const good = `"access_token":"tok","token_type":"Bearer"`
	for name, tc := range map[string]struct {
		reply func(string, int) (int, string)
		why   httpauth.Why // "" when the token is taken
	}{
		"a token that is no access token": {answer(`{"access_token":"tok","token_type":"N_A","issued_token_type":"` + httpauthtest.TokenType + `jwt"}`), ""},
		"no word about its type":          {answer(`{` + good + `}`), ""},
		"a refresh token":                 {answer(`{` + good + `,"issued_token_type":"` + httpauthtest.TokenType + `refresh_token"}`), httpauth.TokenInvalid},
		"an assertion":                    {answer(`{` + good + `,"issued_token_type":"` + httpauthtest.TokenType + `saml2"}`), httpauth.TokenInvalid},
		"a token that must be proved":     {answer(`{"access_token":"tok","token_type":"DPoP"}`), httpauth.TokenInvalid},
		"no token":                        {answer(`{"token_type":"Bearer"}`), httpauth.TokenInvalid},
		"no JSON":                         {answer(`tok ` + marker), httpauth.TokenInvalid},
		"an error": {func(string, int) (int, string) {
			return http.StatusBadRequest, `{"error":"invalid_target","error_description":"` + marker + `"}`
		}, httpauth.TokenRefused},
		"a redirect": {func(string, int) (int, string) { return http.StatusTemporaryRedirect, "" }, httpauth.TokenRefused},
	} {
		t.Run(name, func(t *testing.T) {
			as := httpauthtest.NewExchange(t)
			as.Reply(tc.reply)
			s := exchanging(t, as, nil)
			if tc.why == "" {
				showsFor(t, s, user(as.Issue("ada")), "tok")
				return
			}
			_, _, err := signFor(t, s, user(as.Issue("ada")))
			wantWhy(t, err, tc.why)
			if strings.Contains(fmt.Sprintf("%+v", err), marker) {
				t.Errorf("the error has a secret: %+v", err)
			}
		})
	}
	as := httpauthtest.NewExchange(t)
	defer as.Hold()()
	s := exchanging(t, as, nil, func(cfg *httpauth.Config) { cfg.Wait, cfg.FetchTimeout = time.Millisecond, 10*time.Millisecond })
	_, _, err := signFor(t, s, user(as.Issue("ada")))
	wantWhy(t, err, httpauth.TokenTimeout)
}

// A refusal that is about one caller does not keep others from the agent.
func TestExchange_AFailureIsTheCallersOwn(t *testing.T) {
	as := httpauthtest.NewExchange(t)
	as.Reply(func(subject string, n int) (int, string) {
		if subject == "eve" {
			return http.StatusBadRequest, `{"error":"invalid_grant"}`
		}
		return http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"}`, httpauthtest.Exchanged(subject, n))
	})
	s := exchanging(t, as, nil)
	eve := user(as.Issue("eve"))
	for range 3 {
		_, _, err := signFor(t, s, eve)
		wantWhy(t, err, httpauth.TokenRefused)
	}
	showsFor(t, s, user(as.Issue("ada")), httpauthtest.Exchanged("ada", 2))
	if diff := cmp.Diff([]string{"eve", "ada"}, as.Asked()); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

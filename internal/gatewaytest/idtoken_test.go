package gatewaytest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth/httpauthtest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// publicURL is what tokens of the gateways of these tests have as their issuer.
const publicURL = "https://gateway.example"

func withPublicURL(c *config.Config) { c.PublicURL = publicURL }

func identityToken() *registryv1.Credential {
	return &registryv1.Credential{Scheme: &registryv1.Credential_IdentityToken{IdentityToken: &registryv1.IdentityToken{}}}
}

// freshKey makes a key and returns its name and secret.
func freshKey(t *testing.T, g *gatewaytest.Gateway, team string) (name, secret string) {
	t.Helper()
	made, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/" + team})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetKey().GetName(), made.GetSecret()
}

// jwks is the key set that a gateway publishes.
func jwks(t *testing.T, g *gatewaytest.Gateway) jose.JSONWebKeySet {
	t.Helper()
	reply := g.Do(http.MethodGet, "/.well-known/jwks.json", "", "")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(reply.Body, &set); err != nil {
		t.Fatalf("%d %s: %v", reply.Status, reply.Body, err)
	}
	return set
}

// An agent on somebody else's SDK, with somebody else's library for tokens, knows who
// calls, through any replica.
func TestIdentityToken_AnAgentOfOthersVerifiesWhoCalls(t *testing.T) {
	g := gatewaytest.Start(t, withPublicURL)
	g.Team("demo")
	g.Team("research")
	agent := peers.StartVerifyingAgent(t, g.URL+"/.well-known/jwks.json", publicURL, "agents/who")
	made := g.Agent("who", "demo", agent.URL, func(a *registryv1.Agent) { a.Credential = identityToken() })
	if made.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED {
		t.Errorf("the card was not fetched with a token: %v", made.GetWarnings())
	}
	other := gatewaytest.StartOver(t, g.DSN, t.TempDir(), withPublicURL)

	first, firstSecret := freshKey(t, g, "demo")
	second, secondSecret := freshKey(t, g, "research")
	calls := []struct {
		by             *gatewaytest.Gateway
		method, secret string
		sub, team      string
	}{
		{g, "SendMessage", firstSecret, first, "teams/demo"},
		{g, "SendMessage", firstSecret, first, "teams/demo"},
		{g, "SendStreamingMessage", firstSecret, first, "teams/demo"},
		{g, "SendMessage", secondSecret, second, "teams/research"},
		{other, "SendMessage", secondSecret, second, "teams/research"},
		{g, "SendMessage", g.AdminKey, "admin", ""},
	}
	for _, c := range calls {
		known(t, c.by, c.secret)
		reply := c.by.Call("who", c.secret, c.method, gatewaytest.Message(uuid.NewString(), "who?", ""))
		if !strings.Contains(string(reply.Body), `"called by `+c.sub+`"`) {
			t.Errorf("%s of %s: %s", c.method, c.sub, reply.Body)
		}
	}
	verified := agent.Verified(t)
	if len(verified.Refused) > 0 {
		t.Errorf("the agent refused: %q", verified.Refused)
	}
	card, sends := verified.Seen[0], verified.Seen[1:]
	if !strings.HasSuffix(card.Path, "agent-card.json") || card.Claims["sub"] != "gateway" {
		t.Errorf("the card was asked for by %v at %s", card.Claims["sub"], card.Path)
	}
	sends = slices.DeleteFunc(sends, func(r peers.VerifiedRequest) bool { return r.Claims["sub"] == "gateway" })
	if len(sends) != len(calls) {
		t.Fatalf("the agent has seen %d calls, want %d", len(sends), len(calls))
	}
	published := jwks(t, other)
	ids := map[string]map[string]bool{}
	for i, got := range sends {
		want := map[string]any{
			"iss": publicURL, "aud": "agents/who", "sub": calls[i].sub, "signalbox.dev/kind": "key", "signalbox.dev/team": calls[i].team,
		}
		if calls[i].team == "" {
			want["signalbox.dev/kind"] = "admin"
			delete(want, "signalbox.dev/team")
		}
		id, _ := got.Claims["jti"].(string)
		if ids[calls[i].sub] == nil {
			ids[calls[i].sub] = map[string]bool{}
		}
		ids[calls[i].sub][id] = true
		if _, err := uuid.Parse(fmt.Sprint(got.Claims["signalbox.dev/uid"])); err != nil {
			t.Errorf("uid: %v", err)
		}
		if life := got.Claims["exp"].(float64) - got.Claims["iat"].(float64); life != 300 {
			t.Errorf("valid for %v s", life)
		}
		for _, name := range []string{"exp", "iat", "nbf", "jti", "signalbox.dev/uid"} {
			delete(got.Claims, name)
		}
		if diff := cmp.Diff(want, got.Claims); diff != "" {
			t.Errorf("call %d (-want +got)\n%s", i, diff)
		}
		if len(published.Key(got.Header["kid"])) != 1 {
			t.Errorf("%s is not published by the other replica", got.Header["kid"])
		}
	}
	if len(ids[first]) != 1 || len(ids[second]) != 2 {
		t.Errorf("%d tokens were made for the first caller, want 1; %d for the second at two replicas", len(ids[first]), len(ids[second]))
	}

	// What is meant for another agent is not taken by this one.
	g.Agent("other", "demo", agent.URL, func(a *registryv1.Agent) { a.Credential, a.CardJson = identityToken(), made.GetCardJson() })
	if _, i := info(t, send(g, "other", firstSecret)); i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "REFUSED_BY_AGENT" {
		t.Errorf("another agent's token: %v", i)
	}
}

// known waits until a replica knows a key.
func known(t *testing.T, g *gatewaytest.Gateway, secret string) {
	t.Helper()
	eventually(t, 10*time.Second, func() string {
		if reply := g.Do(http.MethodGet, "/a2a", secret, ""); reply.Status != http.StatusOK {
			return fmt.Sprintf("%d %s", reply.Status, reply.Body)
		}
		return ""
	})
}

func TestIdentityToken_KeysForCardsAndForTokensArePublishedAndApart(t *testing.T) {
	g := gatewaytest.Start(t)
	secret := g.Team("demo")
	agent := peers.StartDialectAgent(t, a2a.Dialects[0])
	g.Agent("echo", "demo", agent.URL)
	var card struct {
		Signatures []struct{ Protected string }
	}
	reply := g.Do(http.MethodGet, "/a2a/echo/.well-known/agent-card.json", secret, "")
	if err := json.Unmarshal(reply.Body, &card); err != nil || len(card.Signatures) == 0 {
		t.Fatalf("%s: %v", reply.Body, err)
	}
	var header struct{ Kid string }
	raw, err := jwt.NewParser().DecodeSegment(card.Signatures[0].Protected)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	set := jwks(t, g)
	if len(set.Keys) != 2 || len(set.Key(header.Kid)) != 1 {
		t.Fatalf("%d keys are published, that of the card %q among them: %v", len(set.Keys), header.Kid, len(set.Key(header.Kid)))
	}
	for _, k := range set.Keys {
		if k.Use != "sig" || k.Algorithm != "ES256" || !k.IsPublic() || k.KeyID == "" {
			t.Errorf("published: use %q, alg %q, kid %q", k.Use, k.Algorithm, k.KeyID)
		}
	}
}

// A replica that was given another key-encryption key must not make keys that the others
// cannot read.
func TestIdentityToken_AReplicaWithAnotherKeyEncryptionKeyMakesNoKeys(t *testing.T) {
	g := gatewaytest.Start(t)
	g.Stop()
	conn, err := pgx.Connect(t.Context(), g.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	// As it is when the version before made the keys for cards.
	if _, err := conn.Exec(t.Context(), `DELETE FROM signing_keys WHERE purpose = 'identity-token'`); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.DatabaseURL, cfg.DataDir = "127.0.0.1:0", config.Secret(g.DSN), t.TempDir()
	cfg.KEKVariable = config.Secret(base64.StdEncoding.EncodeToString([]byte("another key of exactly 32 bytes!")))
	if a, err := app.New(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "key-encryption key") {
		t.Errorf("it starts: %v, %v", a, err)
	}
	var made int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM signing_keys WHERE purpose = 'identity-token'`).Scan(&made); err != nil || made != 0 {
		t.Errorf("it made %d keys, %v", made, err)
	}
	again := gatewaytest.StartOver(t, g.DSN, g.DataDir)
	if n := len(jwks(t, again).Keys); n != 2 {
		t.Errorf("%d keys are published, want 2", n)
	}
}

// Every request of every operation in every dialect says who calls, and nothing of the
// tokens is kept anywhere.
func TestIdentityToken_EveryRequestSaysWhoCalls(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	g.Team("demo")
	name, secret := freshKey(t, g, "demo")
	set := jwks(t, g)
	var mu sync.Mutex
	shown := map[string]bool{}
	for _, d := range a2a.Dialects {
		t.Run(d.String(), func(t *testing.T) {
			agent := peers.StartDialectAgent(t, d)
			subjects := map[any]bool{}
			front := guard(t, agent.URL, d.Binding == a2a.GRPC, nil, func(r *http.Request) bool {
				token := strings.TrimPrefix(r.Header.Get("X-Who-Calls"), "Bearer ")
				parsed, err := jwt.Parse(token, func(t *jwt.Token) (any, error) {
					kid, _ := t.Header["kid"].(string)
					for _, k := range set.Key(kid) {
						return k.Key, nil
					}
					return nil, fmt.Errorf("no key %q", kid)
				}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience("agents/"+agentName(d)), jwt.WithExpirationRequired())
				if err != nil {
					return false
				}
				// Without a public address the name is one of the installation's own.
				if iss, _ := parsed.Claims.GetIssuer(); !strings.HasPrefix(iss, "urn:uuid:") {
					return false
				}
				mu.Lock()
				defer mu.Unlock()
				shown[token] = true
				subjects[parsed.Claims.(jwt.MapClaims)["sub"]] = true
				return true
			})
			g.Agent(agentName(d), "demo", front.URL, func(a *registryv1.Agent) {
				a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
				a.Credential = identityToken()
				a.Credential.GetIdentityToken().Header = "x-who-calls"
				a.TransportSecurity = &registryv1.TransportSecurity{CaCertificates: front.ca()}
				if d.Binding == a2a.GRPC {
					a.CardJson = agent.Card
				}
			})
			client := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL(agentName(d)), Key: secret, Agent: agentName(d)})
			for _, row := range peers.Rows() {
				want := row.Want
				for _, e := range exceptions() {
					if e.row == row.Name && e.pair(cell{d, d}) {
						want = e.want
						break
					}
				}
				t.Run(row.Name, func(t *testing.T) { checkRow(t, row, want, client, agent) })
			}
			front.check(t)
			mu.Lock()
			defer mu.Unlock()
			delete(subjects, "gateway") // which asked for the card
			if len(subjects) != 1 || !subjects[name] {
				t.Errorf("the agent was called by %v, want %s", subjects, name)
			}
		})
	}
	for _, e := range g.Events(`team = "teams/demo"`, 1) {
		for token := range shown {
			if strings.Contains(protojson.Format(e), token) {
				t.Errorf("an event has a token: %v", e)
			}
		}
	}
}

// A caller with an API key cannot be exchanged: it is told so, and nobody else is asked.
func TestTokenExchange_AnAPIKeyIsRefusedAndTheSecretIsShownNowhere(t *testing.T) {
	g := gatewaytest.Start(t)
	secret := g.Team("demo")
	as := httpauthtest.NewExchange(t)
	as.Secret = secretMarker
	agent := peers.StartDialectAgent(t, a2a.Dialects[0])
	front := guard(t, agent.URL, false, nil, func(r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			return false
		}
		return strings.HasSuffix(r.URL.Path, ".json") // the card has no caller
	})
	made := g.Agent("planner", "demo", front.URL, func(a *registryv1.Agent) {
		a.Credential = &registryv1.Credential{Scheme: &registryv1.Credential_TokenExchange{TokenExchange: &registryv1.TokenExchange{
			TokenUrl: as.TokenURL(), ClientId: as.ClientID, ClientSecret: secretMarker, Audience: "planner", ActorToken: true,
			RequestedTokenType: registryv1.TokenType_TOKEN_TYPE_ACCESS_TOKEN,
		}}}
		a.TransportSecurity = &registryv1.TransportSecurity{CaCertificates: front.ca()}
	})
	if made.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED {
		t.Errorf("the card was not fetched: %v", made.GetWarnings())
	}
	want := &registryv1.TokenExchange{
		TokenUrl: as.TokenURL(), ClientId: as.ClientID, Audience: "planner", ActorToken: true,
		ClientAuthentication: registryv1.ClientAuthentication_CLIENT_AUTHENTICATION_AUTO,
		SubjectTokenType:     registryv1.TokenType_TOKEN_TYPE_JWT, RequestedTokenType: registryv1.TokenType_TOKEN_TYPE_ACCESS_TOKEN,
	}
	if diff := cmp.Diff(protojson.Format(want), protojson.Format(made.GetCredential().GetTokenExchange())); diff != "" {
		t.Errorf("shown (-want +got)\n%s", diff)
	}
	reply := send(g, "planner", secret)
	e, i := info(t, reply)
	if e.Code != -31403 || i.Reason != "CALLER_TOKEN_REQUIRED" || !strings.Contains(e.Message, "JWT") {
		t.Errorf("JSON-RPC: %s", reply.Body)
	}
	rest := g.Do(http.MethodPost, "/a2a/planner/message:send", secret, `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}}`, "A2A-Version", "1.0")
	if rest.Status != http.StatusForbidden || !strings.Contains(string(rest.Body), "CALLER_TOKEN_REQUIRED") {
		t.Errorf("HTTP+JSON: %d %s", rest.Status, rest.Body)
	}
	if asked := slices.Concat(as.Asked(), as.Refused()); len(asked) > 0 {
		t.Errorf("the token endpoint was asked: %q", asked)
	}
	front.check(t)
	for _, event := range g.Events(`outcome = "REFUSED"`, 2) {
		if got := event.GetError().GetReason(); got != "CALLER_TOKEN_REQUIRED" {
			t.Errorf("the event's reason is %q", got)
		}
	}
	_, _, key := clientPair(t)
	leaks(t, g, key)
}

// issuerAt makes an authorization server known as an issuer, "as".
func issuerAt(t *testing.T, g *gatewaytest.Gateway, as *httpauthtest.Exchange) *testIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	i := &testIssuer{key: key, url: as.URL}
	_, err = g.Identity.CreateIssuer(t.Context(), &identityv1.CreateIssuerRequest{IssuerId: "as", Issuer: &identityv1.Issuer{
		Url: i.url, Jwks: string(keys), Audiences: []string{"signalbox"}, Algorithms: []string{"ES256"},
		ClaimMappings: []*identityv1.ClaimMapping{{Claim: "groups", Value: "demo", Team: "teams/demo"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The agent is shown what the caller's token was exchanged for, once for each token, and
// that token goes nowhere but to the server that made it.
func TestTokenExchange_TheAgentIsShownWhatTheCallersTokenWasExchangedFor(t *testing.T) {
	g := gatewaytest.Start(t)
	g.Team("demo")
	as := httpauthtest.NewExchange(t)
	as.Secret = secretMarker
	as.Params = url.Values{"audience": {"planner"}}
	issuer, foreign := issuerAt(t, g, as), newIssuer(t, g, "demo")
	as.Actor = func(token string) error {
		parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return jwks(t, g).Keys[1].Key, nil },
			jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(as.TokenURL()))
		if err != nil {
			return err
		}
		if sub, _ := parsed.Claims.GetSubject(); sub != "gateway" {
			return fmt.Errorf("the actor is %q", sub)
		}
		return nil
	}
	agent := peers.StartDialectAgent(t, a2a.Dialects[0])
	var mu sync.Mutex
	shown := map[string]int{}
	front := guard(t, agent.URL, false, nil, func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if token := r.Header.Get("Authorization"); token != "" || !strings.HasSuffix(r.URL.Path, ".json") {
			shown[token]++
		}
		return true
	})
	g.Agent("planner", "demo", front.URL, func(a *registryv1.Agent) {
		a.Credential = &registryv1.Credential{Scheme: &registryv1.Credential_TokenExchange{TokenExchange: &registryv1.TokenExchange{
			TokenUrl: as.TokenURL(), ClientId: as.ClientID, ClientSecret: secretMarker, Audience: "planner", ActorToken: true,
		}}}
		a.TransportSecurity = &registryv1.TransportSecurity{CaCertificates: front.ca()}
	})
	ada, bob := issuer.token(t, "ada", time.Hour, "demo"), issuer.token(t, "bob", time.Hour, "demo")
	as.Know(ada, "ada")
	as.Know(bob, "bob")
	for _, token := range []string{ada, ada, bob, ada} {
		if reply := send(g, "planner", token); reply.Error(t).Code != 0 {
			t.Fatalf("%s", reply.Body)
		}
	}
	stream := g.Call("planner", bob, "SendStreamingMessage", gatewaytest.Message(uuid.NewString(), "hi", ""))
	if stream.Status != http.StatusOK || strings.Contains(string(stream.Body), `"error"`) {
		t.Errorf("a stream: %d %s", stream.Status, stream.Body)
	}
	want := map[string]int{"Bearer " + httpauthtest.Exchanged("ada", 1): 3, "Bearer " + httpauthtest.Exchanged("bob", 2): 2}
	mu.Lock()
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("the agent was shown (-want +got)\n%s", diff)
	}
	mu.Unlock()
	if wrong := as.Refused(); len(wrong) > 0 {
		t.Errorf("refused: %q", wrong)
	}

	eve := issuer.token(t, "eve", time.Hour, "demo") // whom the server does not know
	if e, i := info(t, send(g, "planner", eve)); i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "TOKEN_REFUSED" || strings.Contains(e.Message, eve) {
		t.Errorf("refused by the server: %v, %v", e, i)
	}
	asked := len(as.Asked()) + len(as.Refused())
	other := foreign.token(t, "ada", time.Hour, "demo")
	if _, i := info(t, send(g, "planner", other)); i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "CALLER_TOKEN_NOT_FOR_ENDPOINT" {
		t.Errorf("a token of another issuer: %v", i)
	}
	if len(as.Asked())+len(as.Refused()) != asked {
		t.Error("the server was shown a token of another issuer")
	}
	for _, e := range g.Events(`team = "teams/demo"`, 1) {
		for _, token := range []string{ada, bob, eve, other} {
			if text := protojson.Format(e); strings.Contains(text, token[len(token)-40:]) {
				t.Errorf("an event has a token: %s", text)
			}
		}
	}
	_, _, key := clientPair(t)
	leaks(t, g, key)
}

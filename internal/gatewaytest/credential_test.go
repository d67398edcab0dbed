package gatewaytest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// secretMarker is in every secret of these tests, so that it can be looked for.
const secretMarker = "s3cret-marker-of-the-tests"

// guarded stands in front of an agent and lets only those requests through that carry
// the credential and, with clients, a certificate.
type guarded struct {
	*httptest.Server
	passed, refused atomic.Int64

	mu       sync.Mutex
	problems []string // what came without the credential, or with something of a caller
}

func guard(t *testing.T, agentURL string, h2c bool, clients *x509.CertPool, allows func(*http.Request) bool) *guarded {
	t.Helper()
	to, err := url.Parse(agentURL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	if h2c {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	g := &guarded{}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(fmt.Sprint(r.Header), "sb_") {
			g.problem("a caller's key came with " + r.URL.Path)
		}
		if !allows(r) {
			g.refused.Add(1)
			if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", "16")
				return
			}
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.passed.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	g.EnableHTTP2 = true
	g.TLS = &tls.Config{}
	if clients != nil {
		g.TLS.ClientAuth, g.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	g.StartTLS()
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
		transport.CloseIdleConnections()
	})
	return g
}

func (g *guarded) problem(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problems = append(g.problems, text)
}

// check fails the test when anything came without the credential.
func (g *guarded) check(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.problems) > 0 || g.refused.Load() > 0 || g.passed.Load() == 0 {
		t.Errorf("the agent refused %d requests and took %d; %v", g.refused.Load(), g.passed.Load(), g.problems)
	}
}

// ca is the certificate of the server.
func (g *guarded) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw}))
}

// clientPair makes a certificate for the gateway.
func clientPair(t *testing.T) (pool *x509.CertPool, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pool, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// tokenServer gives tokens to whoever has the secret of the tests, or signs with a key.
type tokenServer struct {
	*httptest.Server
	issued atomic.Int64
	down   atomic.Bool
}

func newTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if s.down.Load() || r.PostFormValue("assertion") == "" && r.PostFormValue("client_secret") != secretMarker {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"not %s"}`, r.PostFormValue("client_secret"))
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"tok-%d-%s","token_type":"Bearer","expires_in":3600}`, s.issued.Add(1), secretMarker)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) took(r *http.Request) bool {
	return r.Header.Get("Authorization") == fmt.Sprintf("Bearer tok-%d-%s", s.issued.Load(), secretMarker)
}

func (s *tokenServer) oauth2() *registryv1.Credential {
	return &registryv1.Credential{Scheme: &registryv1.Credential_Oauth2{Oauth2: &registryv1.OAuth2ClientCredentials{
		TokenUrl: s.URL + "/token", ClientId: "gateway", ClientSecret: secretMarker, Scopes: []string{"call"},
		ClientAuthentication: registryv1.ClientAuthentication_CLIENT_AUTHENTICATION_BODY,
	}}}
}

func fixedToken() *registryv1.Credential {
	return &registryv1.Credential{Scheme: &registryv1.Credential_Bearer{Bearer: &registryv1.BearerToken{Token: secretMarker}}}
}

// scheme is a credential and how an agent knows it.
type scheme struct {
	credential *registryv1.Credential
	allows     func(*http.Request) bool
	mutual     bool
}

// schemes are one for each dialect, so that all are in use.
func schemes(t *testing.T, tokens *tokenServer) []scheme {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "gw@p.iam.gserviceaccount.com", "private_key_id": "k1", "token_uri": tokens.URL + "/google",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
	if err != nil {
		t.Fatal(err)
	}
	shows := func(name, value string) func(*http.Request) bool {
		return func(r *http.Request) bool { return len(r.Header[name]) == 1 && r.Header.Get(name) == value }
	}
	basic := base64.StdEncoding.EncodeToString([]byte("gw:" + secretMarker))
	anyToken := func(r *http.Request) bool {
		return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer tok-") && strings.HasSuffix(r.Header.Get("Authorization"), secretMarker)
	}
	return []scheme{
		{fixedToken(), shows("Authorization", "Bearer "+secretMarker), true},
		{&registryv1.Credential{Scheme: &registryv1.Credential_ApiKey{ApiKey: &registryv1.ApiKeyHeader{Header: "x-agent-key", Value: secretMarker}}}, shows("X-Agent-Key", secretMarker), false},
		{tokens.oauth2(), anyToken, true},
		{&registryv1.Credential{Scheme: &registryv1.Credential_Basic{Basic: &registryv1.BasicAuthentication{Username: "gw", Password: secretMarker}}}, shows("Authorization", "Basic "+basic), false},
		{&registryv1.Credential{Scheme: &registryv1.Credential_Google{Google: &registryv1.GoogleServiceAccount{KeyJson: string(keyFile), Scopes: []string{"s"}}}}, anyToken, false},
		{
			&registryv1.Credential{Scheme: &registryv1.Credential_AwsSigv4{AwsSigv4: &registryv1.AwsSigV4{
				Region: "eu-central-1", Service: "bedrock-agentcore", AccessKeyId: "AKIDEXAMPLE", SecretAccessKey: secretMarker, SessionToken: "session-" + secretMarker,
			}}},
			func(r *http.Request) bool {
				return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") && r.Header.Get("X-Amz-Date") != "" &&
					r.Header.Get("X-Amz-Security-Token") == "session-"+secretMarker
			},
			false,
		},
	}
}

// Every request of every operation in every dialect carries the agent's credential, with
// the agent's own authority and, for some, the gateway's certificate.
func TestCredential_EveryRequestCarriesIt(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	key := g.Team("demo")
	tokens := newTokenServer(t)
	pool, cert, clientKey := clientPair(t)
	all := schemes(t, tokens)
	for i, d := range a2a.Dialects {
		t.Run(d.String(), func(t *testing.T) {
			s := all[i]
			agent := peers.StartDialectAgent(t, d)
			var clients *x509.CertPool
			security := &registryv1.TransportSecurity{}
			if s.mutual {
				clients = pool
				security.ClientCertificate, security.ClientKey = cert, clientKey
			}
			front := guard(t, agent.URL, d.Binding == a2a.GRPC, clients, s.allows)
			security.CaCertificates = front.ca()
			made := g.Agent(agentName(d), "demo", front.URL, func(a *registryv1.Agent) {
				a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
				a.Credential, a.TransportSecurity = s.credential, security
				if d.Binding == a2a.GRPC {
					a.CardJson = agent.Card
				}
			})
			if d.Binding != a2a.GRPC && made.GetCardSource() != registryv1.CardSource_CARD_SOURCE_FETCHED {
				t.Errorf("the card was not fetched with the credential: %v", made.GetWarnings())
			}
			client := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL(agentName(d)), Key: key, Agent: agentName(d)})
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
		})
	}
	leaks(t, g, clientKey)
}

// leaks looks for the secrets everywhere that somebody could read them.
func leaks(t *testing.T, g *gatewaytest.Gateway, clientKey string) {
	t.Helper()
	block, _ := pem.Decode([]byte(clientKey))
	needles := []string{secretMarker, base64.StdEncoding.EncodeToString([]byte("gw:" + secretMarker)), hex.EncodeToString([]byte(secretMarker)), "PRIVATE KEY", hex.EncodeToString(block.Bytes)}
	look := func(where, text string) {
		for _, needle := range needles {
			if i := strings.Index(text, needle); i >= 0 {
				t.Errorf("%s has a secret: …%.120s", where, text[max(0, i-60):])
			}
		}
	}
	for _, e := range g.Events(`team = "teams/demo"`, 1) {
		look("an event", protojson.Format(e))
	}
	list, err := g.Registry.ListAgents(t.Context(), &registryv1.ListAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.GetAgents()) == 0 {
		t.Fatal("no agents")
	}
	for _, a := range list.GetAgents() {
		look("a list", protojson.Format(a))
		one, err := g.Registry.GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: a.GetName()})
		if err != nil {
			t.Fatal(err)
		}
		look("an agent", protojson.Format(one))
		if one.GetCredential().GetFingerprint() == "" || one.GetCredential().GetSetTime() == nil || len(one.GetCredential().GetSentTo()) != 1 {
			t.Errorf("shown is %v", one.GetCredential())
		}
		if a.GetTransportSecurity().GetCaCertificates() != "" || one.GetTransportSecurity().GetCaCertificates() == "" {
			t.Error("certificates are for Get, not for lists")
		}
	}
	conn, err := pgx.Connect(t.Context(), g.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `SELECT c.relname, query_to_xml('SELECT * FROM ' || c.oid::regclass, true, false, '')::text
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for rows.Next() {
		var name, dump string
		if err := rows.Scan(&name, &dump); err != nil {
			t.Fatal(err)
		}
		tables++
		look("table "+name, dump)
		for encoded := range strings.FieldsFuncSeq(dump, func(r rune) bool { return r == '<' || r == '>' }) {
			if raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(encoded, "\n", "")); err == nil {
				look("table "+name, string(raw)) // bytea is in base64 there
			}
		}
	}
	if rows.Err() != nil || tables < 5 {
		t.Errorf("%d tables, %v", tables, rows.Err())
	}
}

// info is the error of a call over JSON-RPC.
func info(t *testing.T, reply gatewaytest.Reply) (gatewaytest.Error, gatewaytest.ErrorInfo) {
	t.Helper()
	e := reply.Error(t)
	if e.Code == 0 {
		t.Fatalf("no error: %s", reply.Body)
	}
	return e, e.Info(t)
}

func send(g *gatewaytest.Gateway, agent, key string) gatewaytest.Reply {
	return g.Call(agent, key, "SendMessage", gatewaytest.Message(uuid.NewString(), "hi", ""))
}

func TestCredential_AFailureSaysWhyInEveryDialect(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	tokens := newTokenServer(t)
	tokens.down.Store(true)
	var asked atomic.Int64
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer agent.Close()
	card := func(binding string) []byte {
		return fmt.Appendf(nil, `{"name":"A","supportedInterfaces":[{"url":"http://x/a","protocolBinding":%q,"protocolVersion":"1.0"}]}`, binding)
	}
	for _, name := range []string{"broken", "refusing"} {
		g.Agent(name, "demo", agent.URL, func(a *registryv1.Agent) {
			a.Credential, a.CardJson = tokens.oauth2(), card("JSONRPC")
			if name == "refusing" {
				a.Credential = fixedToken()
			}
		})
	}
	before := asked.Load()
	reply := send(g, "broken", key)
	e, i := info(t, reply)
	if e.Code != -31503 || i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "TOKEN_REFUSED" || !strings.Contains(e.Message, "invalid_client") ||
		strings.Contains(string(reply.Body), secretMarker) {
		t.Errorf("JSON-RPC: %s", reply.Body)
	}
	if asked.Load() != before {
		t.Error("the agent was asked without a token")
	}
	rest := g.Do(http.MethodPost, "/a2a/broken/message:send", key, `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}}`, "A2A-Version", "1.0")
	if rest.Status != http.StatusServiceUnavailable || !strings.Contains(string(rest.Body), "UPSTREAM_CREDENTIAL") {
		t.Errorf("HTTP+JSON: %d %s", rest.Status, rest.Body)
	}
	client := peers.NewDialectClient(t, a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V10}, peers.ClientConfig{Base: g.AgentURL("broken"), Key: key, Agent: "broken"})
	if _, err := client.Send(t.Context(), peers.Message{ID: uuid.NewString(), Parts: []peers.Part{{Text: "hi"}}}); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("gRPC: %v", err)
	}
	stream := g.Call("broken", key, "SendStreamingMessage", gatewaytest.Message(uuid.NewString(), "hi", ""))
	if _, i := info(t, stream); i.Reason != "UPSTREAM_CREDENTIAL" {
		t.Errorf("a stream: %s", stream.Body)
	}
	if _, i := info(t, send(g, "refusing", key)); i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "REFUSED_BY_AGENT" {
		t.Errorf("an agent that refuses: %v", i)
	}
	for _, event := range g.Events(`outcome = "UNAVAILABLE"`, 5) {
		if got := event.GetError().GetReason(); got != "UPSTREAM_CREDENTIAL" {
			t.Errorf("the event's reason is %q", got)
		}
		if strings.Contains(protojson.Format(event), secretMarker) {
			t.Errorf("the event has the secret: %v", event)
		}
	}
	tokens.down.Store(false)
	eventually(t, 10*time.Second, func() string { // the endpoint is not asked again at once
		_, i := info(t, send(g, "broken", key))
		if i.Metadata["why"] != "REFUSED_BY_AGENT" {
			return "still " + i.Metadata["why"]
		}
		return ""
	})
}

func TestCredential_ARevokedTokenCostsNoCall(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	tokens := newTokenServer(t)
	agent := peers.StartDialectAgent(t, a2a.Dialects[0])
	front := guard(t, agent.URL, false, nil, tokens.took)
	g.Agent("echo", "demo", front.URL, func(a *registryv1.Agent) {
		a.Credential, a.TransportSecurity = tokens.oauth2(), &registryv1.TransportSecurity{CaCertificates: front.ca()}
	})
	for range 3 {
		if reply := send(g, "echo", key); reply.Error(t).Code != 0 {
			t.Fatalf("%s", reply.Body)
		}
	}
	was := tokens.issued.Add(1) // those before are good no more
	if reply := send(g, "echo", key); reply.Error(t).Code != 0 {
		t.Errorf("after the token was revoked: %s", reply.Body)
	}
	if n := tokens.issued.Load(); n != was+1 || front.refused.Load() != 1 {
		t.Errorf("%d tokens were issued and %d requests refused", n-was, front.refused.Load())
	}
}

func TestCredential_PushConfigsOfARevokedCallerAreDeletedWithIt(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	g.Team("demo")
	agent := peers.StartPushAgent(t, peers.Go)
	front := guard(t, agent.URL, false, nil, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+secretMarker })
	g.Agent("echo", "demo", front.URL, func(a *registryv1.Agent) {
		a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
		a.Credential, a.TransportSecurity = fixedToken(), &registryv1.TransportSecurity{CaCertificates: front.ca()}
	})
	name, secret := pushKey(t, g, time.Time{})
	task := beginTask(t, g, secret, "")
	setConfig(t, g, secret, task, "one")
	disable(t, g, name)
	wantConfigs(t, agent, task, 10*time.Second)
	front.check(t)
}

func TestCredential_GoesToACardsHostOnlyWhenItsOwnerSaysSo(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartDialectAgent(t, a2a.Dialects[0])
	allows := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+secretMarker }
	home, away := guard(t, agent.URL, false, nil, allows), guard(t, agent.URL, false, nil, allows)
	card := fmt.Appendf(nil, `{"name":"A","supportedInterfaces":[{"url":"%s/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}`, away.URL)
	made := g.Agent("echo", "demo", home.URL, func(a *registryv1.Agent) {
		a.Credential, a.CardJson, a.TrustCardAuthority = fixedToken(), card, true
		a.TransportSecurity = &registryv1.TransportSecurity{CaCertificates: home.ca()}
	})
	if !strings.Contains(strings.Join(made.GetWarnings(), "\n"), "extra_origins") {
		t.Errorf("nobody warns: %q", made.GetWarnings())
	}
	if _, i := info(t, send(g, "echo", key)); i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "HOST_NOT_ALLOWED" {
		t.Errorf("got %v", i)
	}
	if away.passed.Load()+away.refused.Load() != 0 {
		t.Error("the card's host was asked")
	}
	again := fixedToken()
	again.ExtraOrigins = []string{away.URL}
	changed, err := g.Registry.UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/echo", Credential: again}})
	if err != nil || len(changed.GetWarnings()) != 0 {
		t.Fatalf("%v, %q", err, changed.GetWarnings())
	}
	send(g, "echo", key)
	away.check(t)
}

// A replica with another key-encryption key serves all agents but those whose secrets it
// cannot read; one with both keys seals them again.
func TestCredential_AnotherKeyEncryptionKey(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartDialectAgent(t, a2a.Dialects[0])
	front := guard(t, agent.URL, false, nil, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+secretMarker })
	g.Agent("locked", "demo", front.URL, func(a *registryv1.Agent) {
		a.Credential, a.TransportSecurity = fixedToken(), &registryv1.TransportSecurity{CaCertificates: front.ca()}
	})
	g.Agent("open", "demo", agent.URL)
	g.Stop()

	other := base64.StdEncoding.EncodeToString([]byte("another key of exactly 32 bytes!"))
	exec := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), g.DSN)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`DELETE FROM signing_keys`) // which would keep it from starting at all
	g = gatewaytest.StartOver(t, g.DSN, g.DataDir, func(c *config.Config) { c.KEKVariable = config.Secret(other) })
	e, i := info(t, send(g, "locked", key))
	if i.Reason != "UPSTREAM_CREDENTIAL" || i.Metadata["why"] != "CREDENTIAL_UNREADABLE" || !strings.Contains(e.Message, "key-encryption key") {
		t.Errorf("got %s, %v", e.Message, i)
	}
	if reply := send(g, "open", key); reply.Error(t).Code != 0 {
		t.Errorf("another agent: %s", reply.Body)
	}
	shown, err := g.Registry.GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/locked"})
	if err != nil || !strings.Contains(strings.Join(shown.GetWarnings(), "\n"), "key-encryption key") {
		t.Errorf("nobody is told: %q, %v", shown.GetWarnings(), err)
	}
	g.Stop()

	// With the new key first and the old one behind it the secret is sealed again.
	g = gatewaytest.StartOver(t, g.DSN, g.DataDir, func(c *config.Config) { c.KEKVariable = config.Secret(other) + "\n" + c.KEKVariable })
	if reply := send(g, "locked", key); reply.Error(t).Code != 0 {
		t.Errorf("with both keys: %s", reply.Body)
	}
	g.Stop()
	g = gatewaytest.StartOver(t, g.DSN, g.DataDir, func(c *config.Config) { c.KEKVariable = config.Secret(other) })
	if reply := send(g, "locked", key); reply.Error(t).Code != 0 {
		t.Errorf("with the new key alone: %s", reply.Body)
	}
}

package upstream_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/upstream"
)

const marker = "s3cret-marker"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ring(t *testing.T, n byte) *seal.Ring {
	t.Helper()
	key := make([]byte, seal.KeySize)
	for i := range key {
		key[i] = byte(i) + n
	}
	r, err := seal.Open(t.Context(), seal.Config{Env: base64.StdEncoding.EncodeToString(key), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// agentSet is a changeable set of agents.
type agentSet struct {
	mu      sync.Mutex
	agents  map[uuid.UUID]*registry.Agent
	changed chan struct{}
}

func (s *agentSet) AgentOf(uid uuid.UUID) (*registry.Agent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.agents[uid]
	return a, ok
}

func (s *agentSet) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func newAgents(t *testing.T, change ...func(*upstream.AgentsConfig)) *upstream.Agents {
	t.Helper()
	guard := newGuard(t, upstream.LoopbackNetworks())
	base := upstream.NewTransport(guard, 64<<10)
	cfg := upstream.AgentsConfig{Transport: base, Guard: guard, Seal: ring(t, 1), MaxHeaderBytes: 64 << 10}
	for _, f := range change {
		f(&cfg)
	}
	agents, err := upstream.NewAgents(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		agents.Close()
		base.CloseIdleConnections()
	})
	return agents
}

// agentAt is an agent with a credential for where it is.
func agentAt(t *testing.T, address string, g *credential.Given, tlsGiven *credential.GivenTLS) *registry.Agent {
	t.Helper()
	a := &registry.Agent{UID: uuid.New(), ID: "a", Endpoints: []registry.Endpoint{{URL: address}}}
	var err error
	if g != nil {
		if a.Credential, err = credential.Make(ring(t, 1), a.UID, *g, nil, []string{address}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if tlsGiven != nil {
		if a.TLS, err = credential.MakeTLS(ring(t, 1), a.UID, *tlsGiven, nil); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func bearer() *credential.Given {
	return &credential.Given{Credential: credential.Credential{Kind: credential.Bearer}, Secret: marker}
}

// ask sends a POST to an agent, and over HTTP/2 alone when it is gRPC.
func ask(t *testing.T, way http.RoundTripper, address, body string, grpc bool) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if grpc {
		req.ProtoMajor, req.ProtoMinor = 2, 0
		req.Header.Set("Content-Type", "application/grpc")
	}
	resp, err := way.RoundTrip(req)
	if err == nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	return resp, err
}

func wantWhy(t *testing.T, err error, why httpauth.Why) {
	t.Helper()
	e, ok := errors.AsType[*httpauth.Error](err)
	if !ok || e.Why != why {
		t.Errorf("got %v, want %s", err, why)
	}
	if err != nil && strings.Contains(err.Error(), marker) {
		t.Errorf("the error has the secret: %v", err)
	}
}

func TestAgents_ShowTheCredentialAtTheAgentsOwnOriginsAlone(t *testing.T) {
	var shown, foreign atomic.Int64
	other := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			foreign.Add(1)
		}
	})
	at := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+marker {
			shown.Add(1)
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.String(), http.StatusTemporaryRedirect)
		}
	})
	agents := newAgents(t)
	agent := agentAt(t, at.String()+"/a2a", bearer(), nil)
	for _, path := range []string{"/a2a", "/else", "/away"} {
		resp, err := ask(t, agents.For(agent), at.String()+path, "x", false)
		if err != nil || path == "/away" && resp.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("%s: %v, %v", path, resp, err)
		}
	}
	if n := shown.Load(); n != 3 {
		t.Errorf("the agent was shown the credential %d times, want 3", n)
	}
	_, err := ask(t, agents.For(agent), other.String(), "x", false)
	wantWhy(t, err, httpauth.NotForHost)
	_, err = ask(t, agents.For(agent), strings.Replace(at.String(), "http:", "https:", 1), "x", false)
	wantWhy(t, err, httpauth.NotForHost)
	plain := agentAt(t, other.String(), nil, nil)
	if _, err := ask(t, agents.For(plain), other.String(), "x", false); err != nil {
		t.Errorf("an agent without a credential: %v", err)
	}
	if foreign.Load() != 0 {
		t.Error("another host was shown the credential")
	}

	cards := &upstream.Cards{Transport: http.DefaultTransport, Agents: agents}
	shown.Store(0)
	if _, err := cards.FetchCard(t.Context(), agent, at.String()); err != nil || shown.Load() != 1 {
		t.Errorf("the card's server was shown the credential %d times, %v", shown.Load(), err)
	}
	if _, err := cards.FetchCard(t.Context(), agent, other.String()); err == nil || foreign.Load() != 0 {
		t.Errorf("a card's server elsewhere: %v", err)
	}
}

// issuing is a token endpoint that gives out tokens with numbers.
type issuing struct {
	url    *url.URL
	issued atomic.Int64
	good   atomic.Int64 // the number of the only token that agents take
}

func newIssuing(t *testing.T) *issuing {
	i := &issuing{}
	i.url = serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_secret") != marker {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"tok%d","token_type":"Bearer","expires_in":3600}`, i.issued.Add(1))
	})
	i.good.Store(1)
	return i
}

func (i *issuing) credential() *credential.Given {
	return &credential.Given{
		Credential: credential.Credential{
			Kind: credential.OAuth2, TokenURL: i.url.String() + "/token", ClientID: "gw", ClientAuthentication: credential.ClientBody,
		},
		Secret: marker,
	}
}

func TestAgents_ATokenThatIsRefusedIsReplacedOnce(t *testing.T) {
	for name, grpc := range map[string]bool{"HTTP": false, "gRPC": true} {
		t.Run(name, func(t *testing.T) {
			i := newIssuing(t)
			var took []string
			var refused atomic.Int64
			at := serving(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Header.Get("Authorization") != fmt.Sprintf("Bearer tok%d", i.good.Load()) {
					refused.Add(1)
					if !grpc {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					w.Header().Set("Content-Type", "application/grpc")
					w.Header().Set("Grpc-Status", "16")
					return
				}
				took = append(took, string(body))
			})
			agents := newAgents(t)
			agent := agentAt(t, at.String(), i.credential(), nil)
			send := func(body string) error {
				_, err := ask(t, agents.For(agent), at.String(), body, grpc)
				return err
			}
			if err := errors.Join(send("one"), send("two")); err != nil {
				t.Fatal(err)
			}
			i.good.Store(2) // the first one is revoked
			if err := send("three"); err != nil {
				t.Errorf("after the token was revoked: %v", err)
			}
			if got := strings.Join(took, " "); got != "one two three" || i.issued.Load() != 2 || refused.Load() != 1 {
				t.Errorf("the agent took %q, refused %d; %d tokens were issued", got, refused.Load(), i.issued.Load())
			}
			i.good.Store(-1) // nothing is good any more
			for range 20 {
				wantWhy(t, send("four"), httpauth.AgentRefused)
			}
			if n := i.issued.Load(); n > 3 {
				t.Errorf("%d tokens were issued for an agent that takes none", n)
			}
		})
	}
}

func TestAgents_KeepTokensWhileOnlyOtherThingsOfTheAgentChange(t *testing.T) {
	i := newIssuing(t)
	at := serving(t, func(http.ResponseWriter, *http.Request) {})
	agents := newAgents(t)
	agent := agentAt(t, at.String(), i.credential(), nil)
	for n := range 3 {
		next := *agent
		next.DisplayName = fmt.Sprint(n)
		if _, err := ask(t, agents.For(&next), at.String(), "x", false); err != nil {
			t.Fatal(err)
		}
	}
	if n := i.issued.Load(); n != 1 {
		t.Errorf("%d tokens were issued", n)
	}
	next := *agent
	g := i.credential()
	g.Scopes = []string{"more"}
	var err error
	if next.Credential, err = credential.Make(ring(t, 1), agent.UID, *g, agent.Credential, []string{at.String()}, time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, agents.For(&next), at.String(), "x", false); err != nil || i.issued.Load() != 2 {
		t.Errorf("with other scopes %d tokens were issued, %v", i.issued.Load(), err)
	}
}

func TestAgents_ATokenEndpointCannotSendTheSecretOn(t *testing.T) {
	thief := serving(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s came with %v", r.URL, r.PostForm) })
	idp := serving(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.String(), http.StatusTemporaryRedirect) // which repeats the body
	})
	i := &issuing{url: idp}
	at := serving(t, func(http.ResponseWriter, *http.Request) { t.Error("the agent was asked without a token") })
	_, err := ask(t, newAgents(t).For(agentAt(t, at.String(), i.credential(), nil)), at.String(), "x", false)
	wantWhy(t, err, httpauth.TokenRefused)
}

func TestAgents_ATokenEndpointIsDialledOnlyWhereAgentsMayBe(t *testing.T) {
	i := newIssuing(t)
	at := serving(t, func(http.ResponseWriter, *http.Request) { t.Error("the agent was asked without a token") })
	guard := newGuard(t, nil)
	agents := newAgents(t, func(c *upstream.AgentsConfig) {
		c.Guard = guard
		base := upstream.NewTransport(guard, 64<<10)
		t.Cleanup(base.CloseIdleConnections)
		c.Transport = base
	})
	_, err := ask(t, agents.For(agentAt(t, at.String(), i.credential(), nil)), at.String(), "x", false)
	wantWhy(t, err, httpauth.TokenUnreachable)
	if _, ok := errors.AsType[*upstream.ForbiddenError](err); !ok || i.issued.Load() != 0 {
		t.Errorf("got %v, want that the address may not be dialled", err)
	}
}

func TestAgents_AnotherKeyMakesOnlyTheAgentsFailThatNeedIt(t *testing.T) {
	at := serving(t, func(http.ResponseWriter, *http.Request) {})
	agents := newAgents(t, func(c *upstream.AgentsConfig) { c.Seal = ring(t, 2) })
	_, err := ask(t, agents.For(agentAt(t, at.String(), bearer(), nil)), at.String(), "x", false)
	wantWhy(t, err, httpauth.Unreadable)
	if unknown, ok := errors.AsType[*seal.UnknownKeyError](err); !ok || unknown.SealedWith != ring(t, 1).ID() {
		t.Errorf("got %v, want that names the key", err)
	}
	if _, err := ask(t, agents.For(agentAt(t, at.String(), nil, nil)), at.String(), "x", false); err != nil {
		t.Errorf("an agent without a credential: %v", err)
	}
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.cert, a.key, a.pem = issue(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func issue(t *testing.T, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (a *authority) client(t *testing.T) (cert, key string) {
	t.Helper()
	_, k, cert := issue(t, a, &x509.Certificate{Subject: pkix.Name{CommonName: "gateway"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// server is an agent with a certificate for a name, which wants one of the gateway.
func (a *authority) server(t *testing.T, clients *authority, host string, h http.HandlerFunc) *url.URL {
	t.Helper()
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	cert, key, _ := issue(t, a, template)
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	if clients != nil {
		server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		server.TLS.ClientCAs.AddCert(clients.cert)
	}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return parseURL(t, server.URL)
}

func TestAgents_KnowEachOtherInTLS(t *testing.T) {
	ca, clients := newAuthority(t), newAuthority(t)
	var names sync.Map
	seen := func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			names.Store(r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.Proto, true)
		}
	}
	ip := ca.server(t, nil, "127.0.0.1", seen)
	named := ca.server(t, nil, "agent.internal", seen)
	mutual := ca.server(t, clients, "127.0.0.1", seen)
	cert, key := clients.client(t)
	agents := newAgents(t)
	for name, tc := range map[string]struct {
		at    *url.URL
		given *credential.GivenTLS
		fails bool
	}{
		"an authority of one's own":        {ip, &credential.GivenTLS{CA: ca.pem}, false},
		"that the machine does not know":   {ip, &credential.GivenTLS{ServerName: "127.0.0.1"}, true},
		"another authority":                {ip, &credential.GivenTLS{CA: clients.pem}, true},
		"another name":                     {named, &credential.GivenTLS{CA: ca.pem}, true},
		"another name that is expected":    {named, &credential.GivenTLS{CA: ca.pem, ServerName: "agent.internal"}, false},
		"a certificate that is not given":  {mutual, &credential.GivenTLS{CA: ca.pem}, true},
		"a certificate that the agent has": {mutual, &credential.GivenTLS{CA: ca.pem, Certificate: cert, Key: credential.Text(key)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, grpc := range []bool{false, true} {
				_, err := ask(t, agents.For(agentAt(t, tc.at.String(), bearer(), tc.given)), tc.at.String(), "x", grpc)
				if (err != nil) != tc.fails {
					t.Errorf("gRPC %t: %v, fails %t", grpc, err, tc.fails)
				}
			}
		})
	}
	if _, ok := names.Load("gateway HTTP/2.0"); !ok {
		t.Error("the agent saw no certificate of the gateway over HTTP/2")
	}
}

func TestAgents_TokenEndpointsMayBeOfTheAgentsAuthority(t *testing.T) {
	ca := newAuthority(t)
	idp := ca.server(t, nil, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"access_token":"tok","token_type":"Bearer","expires_in":3600}`)
	})
	at := ca.server(t, nil, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	g := &credential.Given{Credential: credential.Credential{Kind: credential.OAuth2, TokenURL: idp.String(), ClientID: "gw"}, Secret: marker}
	agents := newAgents(t)
	agent := agentAt(t, at.String(), g, &credential.GivenTLS{CA: ca.pem})
	if resp, err := ask(t, agents.For(agent), at.String(), "x", false); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
}

// counted counts the connections of a server.
type counted struct {
	open, made atomic.Int64
}

func (c *counted) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.open.Add(1)
		c.made.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

func TestAgents_ShareConnectionsAndLetGoOfThoseThatNobodyNeeds(t *testing.T) {
	ca := newAuthority(t)
	var connections counted
	template := &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}}
	cert, key, _ := issue(t, ca, template)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	server.Config.ConnState = connections.state
	server.StartTLS()
	defer server.Close()
	set := &agentSet{agents: map[uuid.UUID]*registry.Agent{}, changed: make(chan struct{})}
	agents := newAgents(t, func(c *upstream.AgentsConfig) { c.Registered = set })
	var all []*registry.Agent
	for range 3 {
		a := agentAt(t, server.URL, bearer(), &credential.GivenTLS{CA: ca.pem})
		all = append(all, a)
		set.agents[a.UID] = a
	}
	for range 3 {
		for _, a := range all {
			resp, err := ask(t, agents.For(a), server.URL, "x", false)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	}
	if n := connections.made.Load(); n != 1 {
		t.Errorf("three agents of one configuration made %d connections", n)
	}
	// A card of an agent that is not registered leaves nothing behind, and takes nothing away.
	once, done := agents.Once(agentAt(t, server.URL, bearer(), &credential.GivenTLS{CA: ca.pem, ServerName: "127.0.0.1"}))
	resp, err := ask(t, once, server.URL, "x", false)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	done()
	wait(t, "the connection for the card is closed", func() bool { return connections.open.Load() == 1 })

	running := make(chan error, 1)
	go func() { running <- agents.Run(t.Context()) }() // which ends before the clean-up
	t.Cleanup(func() {
		if err := <-running; err != nil {
			t.Error(err)
		}
	})
	set.mu.Lock()
	delete(set.agents, all[0].UID)
	close(set.changed)
	set.changed = make(chan struct{})
	set.mu.Unlock()
	if _, err := ask(t, agents.For(all[1]), server.URL, "x", false); err != nil {
		t.Error(err)
	}
	set.mu.Lock()
	set.agents = map[uuid.UUID]*registry.Agent{}
	close(set.changed)
	set.changed = make(chan struct{})
	set.mu.Unlock()
	wait(t, "the connection is closed when the last agent is gone", func() bool { return connections.open.Load() == 0 })
}

func TestAgents_GiveUpTheConnectionsThatWereNeededLongestAgo(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	at := ca.server(t, nil, "127.0.0.1", func(http.ResponseWriter, *http.Request) {})
	agents := newAgents(t, func(c *upstream.AgentsConfig) { c.MaxTransports = 2 })
	var all []*registry.Agent
	for _, given := range []credential.GivenTLS{{CA: ca.pem}, {CA: ca.pem, ServerName: "127.0.0.1"}, {CA: ca.pem + other.pem}, {CA: other.pem + ca.pem}} {
		all = append(all, agentAt(t, at.String(), bearer(), &given))
	}
	ways := map[http.RoundTripper]bool{}
	for range 3 {
		for i, a := range all {
			way := agents.For(a)
			if agents.For(a) != way {
				t.Errorf("agent %d is reached otherwise in a moment", i)
			}
			ways[way] = true
			if _, err := ask(t, way, at.String(), "x", false); err != nil {
				t.Errorf("agent %d: %v", i, err)
			}
		}
	}
	if len(ways) != 12 {
		t.Errorf("%d ways were made, want each anew: there is room for two", len(ways))
	}
}

// wait polls for what a server notices in its own time.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

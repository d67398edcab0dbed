package gatewaytest_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	a2asdk "github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	grpcv1 "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// certAuthority signs certificates.
type certAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertAuthority(t *testing.T) *certAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &certAuthority{cert, key}
}

func (a *certAuthority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue signs a certificate of a client, unless a change makes it another.
func (a *certAuthority) issue(t *testing.T, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "caller"}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// uri names who has a certificate.
func uri(t *testing.T, names ...string) func(*x509.Certificate) {
	t.Helper()
	return func(c *x509.Certificate) {
		for _, name := range names {
			u, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

// mutual is a gateway that accepts client certificates.
type mutual struct {
	*gatewaytest.Gateway
	ca    *certAuthority
	roots *x509.CertPool
	files config.TLS
	// agent is registered as "held".
	agent *peers.DialectAgent
}

func startMutual(t *testing.T, change ...func(*config.Config)) *mutual {
	t.Helper()
	server, dir := newCertAuthority(t), t.TempDir()
	m := &mutual{ca: newCertAuthority(t), roots: x509.NewCertPool(), files: config.TLS{
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), ClientCA: filepath.Join(dir, "clients.crt"),
	}}
	m.roots.AddCert(server.cert)
	cert := server.issue(t, func(c *x509.Certificate) {
		c.ExtKeyUsage, c.IPAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []net.IP{net.IPv4(127, 0, 0, 1)}
	})
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{
		m.files.CertFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		m.files.KeyFile:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		m.files.ClientCA: m.ca.pem(),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Gateway = gatewaytest.Start(t, append([]func(*config.Config){func(c *config.Config) { c.TLS = m.files }}, change...)...)
	// The admin comes with a certificate, should one be required, and is the admin by the key.
	client := m.client(t, m.ca.issue(t, uri(t, "spiffe://example.org/admin")), true)
	client.Transport = withBearer{m.AdminKey, client.Transport}
	m.Registry = registryv1connect.NewRegistryServiceClient(client, m.URL)
	m.Identity = identityv1connect.NewIdentityServiceClient(client, m.URL)
	m.Audit = auditv1connect.NewAuditServiceClient(client, m.URL)
	m.Team("demo")
	m.agent = peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(m.Gateway, "held", m.agent)
	return m
}

// key makes a key of certificates alone.
func (m *mutual) key(t *testing.T, id string, key *identityv1.Key) string {
	t.Helper()
	made, err := m.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/demo", KeyId: id, Key: key, WithoutSecret: true})
	if err != nil {
		t.Fatal(err)
	}
	if made.GetSecret() != "" {
		t.Error("a key of certificates alone has a secret")
	}
	return made.GetKey().GetName()
}

// withBearer adds a key to every request.
type withBearer struct {
	key  string
	next http.RoundTripper
}

func (b withBearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.key)
	return b.next.RoundTrip(r)
}

// shows is how a client connects that shows a certificate, nil for none, to whomever.
func (m *mutual) shows(cert *tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: m.roots, MinVersion: tls.VersionTLS12, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert == nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil
	}}
}

func (m *mutual) client(t *testing.T, cert *tls.Certificate, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: m.shows(cert), Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// post sends JSON-RPC to the agent.
func (m *mutual) post(ctx context.Context, client *http.Client, method, id string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.AgentURL("held"), strings.NewReader(gatewaytest.Request(method, gatewaytest.Message(id, "hi", ""))))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return client.Do(req)
}

// reply sends a message and reads the answer.
func (m *mutual) reply(t *testing.T, client *http.Client, headers ...string) (gatewaytest.Reply, error) {
	t.Helper()
	resp, err := m.post(t.Context(), client, "SendMessage", "m", headers...)
	if err != nil {
		return gatewaytest.Reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return gatewaytest.Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// grpc returns a client of the SDK.
func (m *mutual) grpc(t *testing.T, cert *tls.Certificate) a2aclient.Transport {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(m.URL, "https://"), grpc.WithTransportCredentials(credentials.NewTLS(m.shows(cert))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return grpcv1.NewGRPCTransport(conn)
}

func sdkMessage(id string) *a2asdk.SendMessageRequest {
	m := a2asdk.NewMessage(a2asdk.MessageRoleUser, a2asdk.NewTextPart("hi"))
	m.ID = id
	return &a2asdk.SendMessageRequest{Tenant: "held", Message: m}
}

// ways are calls of one message over each protocol, which end with the HTTP status or the
// error of a caller that has a certificate.
func (m *mutual) ways(t *testing.T) map[string]func(cert *tls.Certificate) error {
	t.Helper()
	over := func(http2 bool) func(*tls.Certificate) error {
		return func(cert *tls.Certificate) error {
			reply, err := m.reply(t, m.client(t, cert, http2))
			if err == nil && (reply.Status != http.StatusOK || !strings.Contains(string(reply.Body), `"result"`)) {
				err = fmt.Errorf("HTTP %d: %s", reply.Status, reply.Body)
			}
			return err
		}
	}
	return map[string]func(*tls.Certificate) error{
		"HTTP/1.1": over(false), "HTTP/2": over(true),
		"gRPC": func(cert *tls.Certificate) error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := m.grpc(t, cert).SendMessage(ctx, a2aclient.ServiceParams{a2asdk.SvcParamVersion: {peers.Version10}}, sdkMessage("m"))
			return err
		},
	}
}

func TestMTLS_WhoIsLetIn(t *testing.T) {
	m := startMutual(t)
	m.key(t, "ci", &identityv1.Key{CertificateNames: []string{"URI:spiffe://example.org/ci"}})
	name := uri(t, "spiffe://example.org/ci")
	also := func(change func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) { name(c); change(c) }
	}
	for way, call := range m.ways(t) {
		if err := call(m.ca.issue(t, name)); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		for what, cert := range map[string]*tls.Certificate{
			"of an unknown authority": newCertAuthority(t).issue(t, name),
			"expired":                 m.ca.issue(t, also(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })),
			"of a server":             m.ca.issue(t, also(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
			"for no named use":        m.ca.issue(t, also(func(c *x509.Certificate) { c.ExtKeyUsage = nil })),
		} {
			// Refused in the handshake: nobody answers, with whatever reason.
			if err := call(cert); err == nil || strings.Contains(err.Error(), "HTTP ") || strings.Contains(err.Error(), "Unauthenticated") {
				t.Errorf("%s, %s: %v, want the handshake to fail", way, what, err)
			}
		}
		if err := call(nil); err == nil || !strings.Contains(err.Error(), "no credential was given") {
			t.Errorf("%s, no certificate: %v, want a refusal that says so", way, err)
		}
		if err := call(m.ca.issue(t, uri(t, "spiffe://example.org/nobody"))); err == nil || !strings.Contains(err.Error(), "no key here has a name of your client certificate") {
			t.Errorf("%s, a name of no key: %v, want a refusal that says so", way, err)
		}
		// The common name of a certificate is not one of its names.
		if err := call(m.ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "spiffe://example.org/ci" })); err == nil || !strings.Contains(err.Error(), "no key here has a name") {
			t.Errorf("%s, no name but the common one: %v", way, err)
		}
	}
	reply, err := m.reply(t, m.client(t, m.ca.issue(t, uri(t, "spiffe://example.org/nobody")), true))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Status != http.StatusUnauthorized || reply.Header.Get("WWW-Authenticate") == "" || reply.Error(t).Info(t).Reason != "CERTIFICATE_UNKNOWN" {
		t.Errorf("a name of no key: HTTP %d, %q, %s", reply.Status, reply.Header.Get("WWW-Authenticate"), reply.Body)
	}
}

func TestMTLS_ACertificateCallsAsTheKeyOfItsName(t *testing.T) {
	m := startMutual(t)
	m.Agent("planner", "demo", m.agent.URL)
	ci := m.key(t, "ci", &identityv1.Key{CertificateNames: []string{"URI:spiffe://example.org/ci", "DNS:ci.example.org"}})
	m.key(t, "planner", &identityv1.Key{Agent: "agents/planner", CertificateNames: []string{"EMAIL:planner@example.org"}})
	secretName, secret := newKey(t, m.Gateway, "demo")
	both := m.ca.issue(t, uri(t, "https://example.org/other", "spiffe://example.org/ci"))
	rows := map[string]struct {
		cert    *tls.Certificate
		headers []string
		want    string
	}{
		"by a URI":                   {m.ca.issue(t, uri(t, "spiffe://example.org/ci")), nil, ci},
		"by a name of a host":        {m.ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"CI.example.org"} }), nil, ci},
		"by the second of two names": {both, nil, ci},
		"as an agent":                {m.ca.issue(t, func(c *x509.Certificate) { c.EmailAddresses = []string{"planner@example.org"} }), nil, "agents/planner"},
		"with a key, which is first": {both, []string{"Authorization", "Bearer " + secret}, secretName},
		"of nobody, with a key":      {m.ca.issue(t, uri(t, "https://example.org/other")), []string{"X-API-Key", secret}, secretName},
	}
	for what, row := range rows {
		for _, http2 := range []bool{false, true} {
			reply, err := m.reply(t, m.client(t, row.cert, http2), append(row.headers, "User-Agent", what)...)
			if err != nil || reply.Status != http.StatusOK {
				t.Errorf("%s: HTTP %d, %s, %v", what, reply.Status, reply.Body, err)
			}
		}
	}
	for _, e := range m.Events(`agent="held" AND method="SendMessage"`, 2*len(rows)) {
		if want := rows[e.GetUserAgent()].want; e.GetCaller() != want {
			t.Errorf("%s: the caller is %s, want %s", e.GetUserAgent(), e.GetCaller(), want)
		}
	}
	// A key that is wrong is not made up for.
	reply, err := m.reply(t, m.client(t, both, true), "Authorization", "Bearer sb_wrong")
	if err != nil || reply.Status != http.StatusUnauthorized || reply.Error(t).Info(t).Reason != "CREDENTIALS_INVALID" {
		t.Errorf("a wrong key: HTTP %d, %s, %v", reply.Status, reply.Body, err)
	}
	// The management plane takes it too, for no more than its key may.
	people := identityv1connect.NewIdentityServiceClient(m.client(t, both, true), m.URL)
	if got, err := people.GetKey(t.Context(), &identityv1.GetKeyRequest{Name: ci}); err != nil || got.GetName() != ci {
		t.Errorf("the key itself: %v, %v", got, err)
	}
	if _, err := people.CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "mine", Team: &identityv1.Team{}}); err == nil {
		t.Error("a key of a team made another team")
	}
}

func TestMTLS_ADisabledKeyIsRefusedAndItsStreamsEnd(t *testing.T) {
	m := startMutual(t)
	ci := m.key(t, "ci", &identityv1.Key{CertificateNames: []string{"URI:spiffe://example.org/ci"}})
	cert := m.ca.issue(t, uri(t, "spiffe://example.org/ci"))
	client := m.client(t, cert, true)
	ends := m.streams(t, cert)
	begin := time.Now()
	if _, err := m.Identity.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: ci}); err != nil {
		t.Fatal(err)
	}
	for {
		reply, err := m.reply(t, client)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Status == http.StatusUnauthorized {
			if reason := reply.Error(t).Info(t).Reason; reason != "KEY_DISABLED" {
				t.Errorf("refused for %s", reason)
			}
			break
		}
		if time.Since(begin) > time.Second {
			t.Fatalf("a disabled key is let in after %s", time.Since(begin))
		}
	}
	for way, end := range ends {
		if text := <-end; !strings.Contains(text, "your right to this call has ended") {
			t.Errorf("%s: the stream ended with %q", way, text)
		}
	}
	if took := time.Since(begin); took > revokedWithin {
		t.Errorf("the streams ended after %s", took)
	}
}

// streams opens one of each protocol, and returns what each ends with.
func (m *mutual) streams(t *testing.T, cert *tls.Certificate) map[string]<-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	ends := map[string]<-chan string{}
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		resp, err := m.post(ctx, m.client(t, cert, http2), "SendStreamingMessage", string(peers.ScriptHold)+"-"+name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		lines := bufio.NewReader(resp.Body)
		for text := ""; !strings.Contains(text, "TASK_STATE_WORKING"); {
			if text, err = lines.ReadString('\n'); err != nil {
				t.Fatalf("%s: the stream began with %q, %v", name, text, err)
			}
		}
		end := make(chan string, 1)
		ends[name] = end
		go func() {
			rest, err := io.ReadAll(lines)
			end <- fmt.Sprint(string(rest), err)
		}()
	}
	client, working, end := m.grpc(t, cert), make(chan struct{}), make(chan string, 1)
	ends["gRPC"] = end
	go func() {
		var last error
		for e, err := range client.SendStreamingMessage(ctx, a2aclient.ServiceParams{a2asdk.SvcParamVersion: {peers.Version10}}, sdkMessage(string(peers.ScriptHold)+"-grpc")) {
			last = err
			if update, ok := e.(*a2asdk.TaskStatusUpdateEvent); ok && update.Status.State == a2asdk.TaskStateWorking {
				close(working)
			}
		}
		end <- fmt.Sprint(last)
	}()
	select {
	case <-working:
	case text := <-end:
		t.Fatalf("gRPC: the stream ended with %s", text)
	}
	return ends
}

// An authority that is taken away takes with it whom it signed: new connections, and
// those that are open.
func TestMTLS_AnAuthorityThatIsReplacedEndsItsConnections(t *testing.T) {
	m := startMutual(t)
	m.key(t, "ci", &identityv1.Key{CertificateNames: []string{"URI:spiffe://example.org/ci"}})
	name := uri(t, "spiffe://example.org/ci")
	ends := m.streams(t, m.ca.issue(t, name))
	begin, next := time.Now(), newCertAuthority(t)
	if err := os.WriteFile(m.files.ClientCA, next.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	for way, end := range ends {
		if text := <-end; strings.Contains(text, "TASK_STATE_COMPLETED") || strings.HasSuffix(text, "<nil>") {
			t.Errorf("%s: the stream ended with %q", way, text)
		}
	}
	if took := time.Since(begin); took > revokedWithin {
		t.Errorf("the streams ended after %s", took)
	}
	for way, call := range m.ways(t) {
		if err := call(m.ca.issue(t, name)); err == nil {
			t.Errorf("%s: the old authority's certificate is let in", way)
		}
		if err := call(next.issue(t, name)); err != nil {
			t.Errorf("%s: the new authority's certificate: %v", way, err)
		}
	}
}

// A gateway that requires certificates answers nothing without one, on no path of either
// listener.
func TestMTLS_ARequiredCertificateIsRequiredOfProbesToo(t *testing.T) {
	m := startMutual(t, func(c *config.Config) { c.TLS.ClientAuth = "require" })
	cert := m.ca.issue(t, uri(t, "spiffe://example.org/prober"))
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/.well-known/jwks.json"} {
		for _, http2 := range []bool{false, true} {
			if resp, err := m.client(t, nil, http2).Get(m.URL + path); err == nil {
				_ = resp.Body.Close()
				t.Errorf("%s without a certificate: HTTP %d", path, resp.StatusCode)
			}
			resp, err := m.client(t, cert, http2).Get(m.URL + path)
			if err != nil {
				t.Errorf("%s with one: %v", path, err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s with one: HTTP %d", path, resp.StatusCode)
			}
		}
	}
}

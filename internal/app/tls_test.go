package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// authority signs certificates for this machine.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
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
	return &authority{cert, key}
}

// issue writes a certificate by a name and its key where a gateway looks for them.
func (a *authority) issue(t *testing.T, name string, files config.TLS) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: der}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// issueClient issues a certificate of a client.
func (a *authority) issueClient(t *testing.T, serial int64) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client speaks the given version of HTTP over TLS, on connections of its own.
func (a *authority) client(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func filesIn(dir string) config.TLS {
	return config.TLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
}

// keyed adds a key to every request.
type keyed struct {
	key  string
	next http.RoundTripper
}

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k.key)
	return k.next.RoundTrip(r)
}

func TestTLS_EveryDialectIsServedWithACertificateThatIsFollowed(t *testing.T) {
	ca, files := newAuthority(t), filesIn(t.TempDir())
	ca.issue(t, "first", files)
	a, _ := start(t, settings(t, pgtest.ConnString(t), t.TempDir(), func(c *config.Config) { c.TLS = files }))
	if !strings.HasPrefix(a.URL(), "https://127.0.0.1:") {
		t.Fatalf("the gateway says it is at %s", a.URL())
	}
	agent := peers.StartHostile(t, peers.HostileConfig{})
	client := ca.client(t, false)
	client.Transport = keyed{a.AdminKey(), client.Transport}
	registry := registryv1connect.NewRegistryServiceClient(client, a.URL())
	identity := identityv1connect.NewIdentityServiceClient(client, a.URL())
	if _, err := identity.CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "demo", Team: &identityv1.Team{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: "echo", Agent: &registryv1.Agent{
		Team: "teams/demo", Visibility: registryv1.Visibility_VISIBILITY_ORGANIZATION, Endpoints: []*registryv1.Endpoint{{Url: agent.URL}},
	}}); err != nil {
		t.Fatal(err)
	}

	for _, http2 := range []bool{false, true} {
		client := ca.client(t, http2)
		client.Transport = keyed{a.AdminKey(), client.Transport}
		for path, body := range map[string]string{
			"":                 `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}}}`,
			"/":                `{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"hi"}]}}}`,
			"/message:send":    `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}}`,
			"/v1/message:send": `{"message":{"messageId":"m","role":"ROLE_USER","content":[{"text":"hi"}]}}`,
		} {
			status, proto, reply := post(t, client, a.URL()+"/a2a/echo"+path, body)
			if want := map[bool]int{false: 1, true: 2}[http2]; status != 200 || proto != want || !strings.Contains(reply, `"hello"`) {
				t.Errorf("%q over HTTP/%d: HTTP %d, %s", path, proto, status, reply)
			}
		}
	}
	callGRPC(t, ca, a)
	checkCards(t, client, a.URL())

	// A new certificate is what new connections get; the old ones stay.
	if name := servedName(t, ca, a.URL()); name != "first" {
		t.Errorf("the certificate is %q", name)
	}
	ca.issue(t, "second", files)
	deadline := time.Now().Add(20 * time.Second)
	for servedName(t, ca, a.URL()) != "second" {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not served")
		}
		<-time.After(50 * time.Millisecond)
	}
	if status, _, reply := post(t, client, a.URL()+"/a2a/echo/message:send", `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}}`); status != 200 {
		t.Errorf("a connection from before: HTTP %d, %s", status, reply)
	}
}

func post(t *testing.T, client *http.Client, url, body string) (status, proto int, reply string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.ProtoMajor, string(text)
}

func callGRPC(t *testing.T, ca *authority, a *app.App) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	conn, err := grpc.NewClient(strings.TrimPrefix(a.URL(), "https://"), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+a.AdminKey())
	reply, err := pb.NewA2AServiceClient(conn).SendMessage(ctx, &pb.SendMessageRequest{Tenant: "echo", Message: &pb.Message{
		MessageId: "m", Role: pb.Role_ROLE_USER, Parts: []*pb.Part{{Content: &pb.Part_Text{Text: "hi"}}},
	}})
	if err != nil || reply.GetMessage().GetParts()[0].GetText() != "hello" {
		t.Errorf("gRPC over TLS: %v, %v", reply, err)
	}
}

// checkCards wants cards that lead to where TLS is.
func checkCards(t *testing.T, client *http.Client, url string) {
	t.Helper()
	resp, err := client.Get(url + "/a2a/echo/.well-known/agent-card.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var card struct {
		URL        string `json:"url"`
		Interfaces []struct {
			URL     string `json:"url"`
			Binding string `json:"protocolBinding"`
		} `json:"supportedInterfaces"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&card); err != nil {
		t.Fatal(err)
	}
	var bindings []string
	for _, i := range card.Interfaces {
		bindings = append(bindings, i.Binding)
		if !strings.HasPrefix(i.URL, url+"/a2a/echo") && (i.Binding != "GRPC" || i.URL != strings.TrimPrefix(url, "https://") && i.URL != url) {
			t.Errorf("the card leads to %s for %s", i.URL, i.Binding)
		}
	}
	for _, want := range []string{"JSONRPC", "HTTP+JSON", "GRPC"} {
		if !slices.Contains(bindings, want) {
			t.Errorf("the card has no %s: %v", want, bindings)
		}
	}
	if card.URL != "" && !strings.HasPrefix(card.URL, "https://") {
		t.Errorf("the card leads to %s", card.URL)
	}
}

// servedName is the name in the certificate that a new connection gets.
func servedName(t *testing.T, ca *authority, url string) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLS_HalfAPairIsAnErrorThatNamesTheSetting(t *testing.T) {
	files := filesIn(t.TempDir())
	newAuthority(t).issue(t, "first", files)
	for want, half := range map[string]config.TLS{
		"tls.key_file": {CertFile: files.CertFile}, "tls.cert_file": {KeyFile: files.KeyFile},
	} {
		cfg, err := config.Load(nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS = half
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), want+":") {
			t.Errorf("%+v: %v, want %s", half, err, want)
		}
	}
	missing := settings(t, "", t.TempDir(), func(c *config.Config) {
		c.TLS = config.TLS{CertFile: files.CertFile, KeyFile: filepath.Join(t.TempDir(), "none.key")}
	})
	if _, err := app.New(t.Context(), missing, logger(t)); err == nil || !strings.Contains(err.Error(), "none.key") {
		t.Errorf("a key that is not there: %v", err)
	}
}

// Certificates of callers are asked for on both listeners, and the files of their
// authorities are those of the start.
func TestTLS_CertificatesOfCallersAreAskedForOnBothListeners(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	files := filesIn(dir)
	ca.issue(t, "gateway", files)
	files.ClientCA, files.ClientAuth, files.ClientCRL = filepath.Join(dir, "clients.crt"), "require", filepath.Join(dir, "clients.crl")
	clients := newAuthority(t)
	write := func(path, kind string, der []byte) {
		t.Helper()
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shown, revoked := clients.issueClient(t, 7), clients.issueClient(t, 8)
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(8), RevocationTime: time.Now()}},
	}, clients.cert, clients.key)
	if err != nil {
		t.Fatal(err)
	}
	write(files.ClientCA, "CERTIFICATE", clients.cert.Raw)
	write(files.ClientCRL, "X509 CRL", list)
	a, _ := start(t, settings(t, pgtest.ConnString(t), t.TempDir(), func(c *config.Config) {
		c.TLS, c.ManagementListen = files, "127.0.0.1:0"
	}))
	for listener, url := range map[string]string{"data plane": a.URL(), "management plane": a.ManagementURL()} {
		for what, row := range map[string]struct {
			cert *tls.Certificate
			ok   bool
		}{"one": {shown, true}, "a revoked one": {revoked, false}, "none": {nil, false}} {
			client := ca.client(t, true)
			client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if row.cert == nil {
					return &tls.Certificate{}, nil
				}
				return row.cert, nil
			}
			resp, err := client.Get(url + "/healthz")
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != row.ok {
				t.Errorf("%s with %s: %v", listener, what, err)
			}
		}
	}
	write(files.ClientCA, "PRIVATE KEY", []byte("x"))
	broken := settings(t, "", t.TempDir(), func(c *config.Config) { c.TLS = files })
	if _, err := app.New(t.Context(), broken, logger(t)); err == nil || !strings.Contains(err.Error(), "clients.crt has no certificate") {
		t.Errorf("a start without authorities: %v", err)
	}
}

// Who speaks plain HTTP to a gateway with TLS is told so.
func TestTLS_PlainHTTPIsToldSo(t *testing.T) {
	ca, files := newAuthority(t), filesIn(t.TempDir())
	ca.issue(t, "first", files)
	a, _ := start(t, settings(t, pgtest.ConnString(t), t.TempDir(), func(c *config.Config) { c.TLS = files }))
	status, text := get(t, strings.Replace(a.URL(), "https://", "http://", 1)+"/healthz", "")
	if status != http.StatusBadRequest || !strings.Contains(text, "HTTPS") {
		t.Errorf("HTTP %d, %s", status, text)
	}
}

package tlscert_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/tlscert"
)

// authority signs certificates of clients.
type authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above [][]byte // what clients show beside their own
}

// newAuthority makes an authority, below another one unless that is nil.
func newAuthority(t *testing.T, name string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1000), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &authority{key: key}
	parent, signer := template, key
	if above != nil {
		template.SerialNumber = big.NewInt(1001)
		parent, signer = above.cert, above.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if above != nil {
		a.above = append([][]byte{der}, above.above...)
	}
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// client issues a certificate for a client, valid for two hours.
func (a *authority) client(t *testing.T, name string, serial int64, change ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, a.above...), PrivateKey: key}
}

// revoke issues a revocation list.
func (a *authority) revoke(t *testing.T, change func(*x509.RevocationList), serials ...int64) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: list.ThisUpdate})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func crlPEM(ders ...[]byte) []byte {
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return text
}

// gateway is a server that says by which certificate it is called.
type gateway struct {
	*tlscert.Reloader
	cfg  tlscert.Config
	addr string
	// server is the certificate of the server.
	server pair
	// streams tells when a request for "/stream" has come, and finish ends them all.
	streams, finish chan struct{}
}

// startGateway serves with authorities of clients, who are asked for certificates in a
// way that a change may choose.
func startGateway(t *testing.T, ca, crl []byte, change ...func(*tlscert.Config)) *gateway {
	t.Helper()
	server := newPair(t, "localhost", longValid)
	cfg := files(t, server)
	if ca != nil {
		cfg.ClientCAFile = write(t, filepath.Join(filepath.Dir(cfg.CertFile), "clients.crt"), ca)
	}
	if crl != nil {
		cfg.ClientCRLFile = write(t, filepath.Join(filepath.Dir(cfg.CertFile), "clients.crl"), crl)
	}
	for _, c := range change {
		c(&cfg)
	}
	g := &gateway{Reloader: open(t, cfg), cfg: cfg, server: server, streams: make(chan struct{}, 10), finish: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = listener.Addr().String()
	srv := &http.Server{TLSConfig: g.TLS(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		name := "nobody"
		if len(req.TLS.VerifiedChains) > 0 {
			name = req.TLS.VerifiedChains[0][0].Subject.CommonName
		}
		_, _ = io.WriteString(w, name)
		if req.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			g.streams <- struct{}{}
			select {
			case <-g.finish:
				_, _ = io.WriteString(w, " to the end")
			case <-req.Context().Done():
			}
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.ServeTLS(g.Listen(listener), "", "") })
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
	})
	return g
}

// how is a way to connect.
type how struct {
	version uint16
	http2   bool
	cache   tls.ClientSessionCache
}

func ways() map[string]how {
	return map[string]how{
		"TLS 1.2, HTTP/1.1": {version: tls.VersionTLS12}, "TLS 1.2, HTTP/2": {version: tls.VersionTLS12, http2: true},
		"TLS 1.3, HTTP/1.1": {version: tls.VersionTLS13}, "TLS 1.3, HTTP/2": {version: tls.VersionTLS13, http2: true},
	}
}

// dial shows a certificate, nil for none, whomever the server asks for.
func (g *gateway) dial(cert *tls.Certificate, h how) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(g.server.cert)
	return &tls.Config{
		RootCAs: roots, MinVersion: tls.VersionTLS12, MaxVersion: h.version, ClientSessionCache: h.cache,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			return cert, nil
		},
	}
}

// client shows a certificate, nil for none, whomever the server asks for.
func (g *gateway) client(t *testing.T, cert *tls.Certificate, h how) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: g.dial(cert, h)}
	transport.Protocols.SetHTTP1(!h.http2)
	transport.Protocols.SetHTTP2(h.http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (g *gateway) get(ctx context.Context, client *http.Client, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+g.addr+path, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// caller is who the gateway takes a client for.
func (g *gateway) caller(t *testing.T, client *http.Client) (string, error) {
	t.Helper()
	resp, err := g.get(t.Context(), client, "/")
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	name, err := io.ReadAll(resp.Body)
	return string(name), err
}

// check wants a new connection to be taken for a name, or refused with a text.
func (g *gateway) check(t *testing.T, what string, cert *tls.Certificate, h how, want, refusal string) {
	t.Helper()
	if refusal != "" {
		if err := g.refusal(t, cert, h); err == nil || !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: refused with %v, want %q", what, err, refusal)
		}
		return
	}
	if got, err := g.caller(t, g.client(t, cert, h)); err != nil || got != want {
		t.Errorf("%s: taken for %q, %v; want %q", what, got, err, want)
	}
}

// refusal is what ends a handshake. With TLS 1.3 a client has done its part before the
// server says no, so that it shows when reading. Clients of HTTP write first, and may
// find the connection gone before they read why.
func (g *gateway) refusal(t *testing.T, cert *tls.Certificate, h how) error {
	t.Helper()
	cfg := g.dial(cert, h)
	cfg.NextProtos = []string{"http/1.1"}
	if h.http2 {
		cfg.NextProtos = []string{"h2"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", g.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// A server of HTTP/2 that lets the client in speaks first, one of HTTP/1.1 does not.
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestClients_WhoIsLetIn(t *testing.T) {
	ca, other := newAuthority(t, "ca", nil), newAuthority(t, "other", nil)
	between := newAuthority(t, "between", ca)
	alone := between.client(t, "alone", 1)
	alone.Certificate = alone.Certificate[:1]
	usages := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	for way, h := range ways() {
		t.Run(way, func(t *testing.T) {
			for _, required := range []bool{false, true} {
				g := startGateway(t, ca.pem(), nil, func(c *tlscert.Config) { c.RequireClient = required })
				g.check(t, "an accepted one", ca.client(t, "ada", 1), h, "ada", "")
				g.check(t, "of an authority between", between.client(t, "grace", 1), h, "grace", "")
				g.check(t, "for any use", ca.client(t, "any", 1, usages(x509.ExtKeyUsageAny)), h, "any", "")
				g.check(t, "without the authority between", alone, h, "", "unknown certificate authority")
				g.check(t, "of another authority", other.client(t, "ada", 1), h, "", "unknown certificate authority")
				g.check(t, "expired", ca.client(t, "ada", 1, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), h, "", "expired certificate")
				g.check(t, "not valid yet", ca.client(t, "ada", 1, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), h, "", "expired certificate")
				g.check(t, "of a server", ca.client(t, "ada", 1, usages(x509.ExtKeyUsageServerAuth)), h, "", "bad certificate")
				g.check(t, "for no named use", ca.client(t, "ada", 1, usages()), h, "", "bad certificate")
				switch {
				case !required:
					g.check(t, "none", nil, h, "nobody", "")
				case h.version == tls.VersionTLS13:
					g.check(t, "none", nil, h, "", "certificate required")
				default:
					g.check(t, "none", nil, h, "", "handshake failure")
				}
			}
		})
	}
}

// Without authorities nobody is asked.
func TestClients_NobodyIsAskedWithoutAuthorities(t *testing.T) {
	g := startGateway(t, nil, nil)
	for way, h := range ways() {
		g.check(t, way, newAuthority(t, "ca", nil).client(t, "ada", 1), h, "nobody", "")
	}
}

func TestNew_SaysWhatIsWrongWithTheFilesOfClients(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.client(t, "ada", 1).Certificate[0]})
	forged := &authority{cert: ca.cert, key: newAuthority(t, "other", nil).key}
	delta := ca.revoke(t, func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	})
	indirect := ca.revoke(t, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{48, 0}}}
	}, 1)
	for name, test := range map[string]struct {
		ca, crl []byte
		want    []string
	}{
		"not PEM":              {[]byte("x"), nil, []string{"clients.crt has no certificate: it is not in PEM"}},
		"empty":                {[]byte{}, nil, []string{"clients.crt has no certificate"}},
		"a list as authority":  {crlPEM(ca.revoke(t, nil)), nil, []string{"clients.crt has no certificate: it has X509 CRL"}},
		"a list in between":    {append(ca.pem(), crlPEM(ca.revoke(t, nil))...), nil, []string{"clients.crt has a X509 CRL beside its certificates"}},
		"broken":               {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), nil, []string{"clients.crt", "cannot be read", "x509"}},
		"no authority":         {append(ca.pem(), leaf...), nil, []string{`clients.crt has the certificate of "CN=ada", which is no authority`}},
		"a list that is none":  {ca.pem(), []byte("x"), []string{"clients.crl has no revocation list that can be read"}},
		"an empty list file":   {ca.pem(), []byte{}, []string{"clients.crl has no revocation list that can be read"}},
		"certificates as list": {ca.pem(), ca.pem(), []string{"clients.crl has a CERTIFICATE where revocation lists are expected"}},
		"a forged list":        {ca.pem(), crlPEM(forged.revoke(t, nil, 1)), []string{`clients.crl has a revocation list of "CN=ca" that its issuer has not signed`}},
		"a list of changes":    {ca.pem(), crlPEM(delta), []string{"has the extension 2.5.29.27, which is not understood"}},
		"a list for others":    {ca.pem(), crlPEM(indirect), []string{"has an entry with the extension 2.5.29.29, which is not understood"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := files(t, newPair(t, "one", longValid))
			cfg.ClientCAFile = write(t, filepath.Join(t.TempDir(), "clients.crt"), test.ca)
			if test.crl != nil {
				cfg.ClientCRLFile = write(t, filepath.Join(t.TempDir(), "clients.crl"), test.crl)
			}
			_, err := tlscert.New(t.Context(), cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
	for name, test := range map[string]struct {
		change func(*tlscert.Config)
		want   string
	}{
		"missing":               {func(c *tlscert.Config) { c.ClientCAFile = "/nowhere/ca" }, "read the TLS client authorities: open /nowhere/ca"},
		"list missing":          {func(c *tlscert.Config) { c.ClientCRLFile = "/nowhere/crl" }, "read the TLS client revocation list: open /nowhere/crl"},
		"list, no authority":    {func(c *tlscert.Config) { c.ClientCAFile, c.ClientCRLFile = "", "x" }, "need Config.ClientCAFile"},
		"require, no authority": {func(c *tlscert.Config) { c.ClientCAFile, c.RequireClient = "", true }, "need Config.ClientCAFile"},
	} {
		cfg := files(t, newPair(t, "one", longValid))
		cfg.ClientCAFile = write(t, filepath.Join(t.TempDir(), "clients.crt"), ca.pem())
		test.change(&cfg)
		if _, err := tlscert.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestClients_AuthoritiesAreFollowed(t *testing.T) {
	one, two := newAuthority(t, "authority", nil), newAuthority(t, "authority", nil)
	for way, h := range ways() {
		t.Run(way, func(t *testing.T) {
			g := startGateway(t, one.pem(), nil)
			of := map[string]*tls.Certificate{"one": one.client(t, "one", 1), "two": two.client(t, "two", 1)}
			g.check(t, "the first", of["one"], h, "one", "")
			g.check(t, "the second", of["two"], h, "", "certificate") // of the right name, but not its signature
			write(t, g.cfg.ClientCAFile, append(one.pem(), two.pem()...))
			g.Check(t.Context())
			g.check(t, "the first, of both", of["one"], h, "one", "")
			g.check(t, "the second, of both", of["two"], h, "two", "")
			write(t, g.cfg.ClientCAFile, two.pem())
			g.Check(t.Context())
			g.check(t, "the first, replaced", of["one"], h, "", "certificate")
			g.check(t, "the second, alone", of["two"], h, "two", "")
		})
	}
}

// A session is worth as much as the certificate that it began with: it must not outlive
// the authority of that.
func TestClients_ASessionDoesNotOutliveItsAuthority(t *testing.T) {
	one, two := newAuthority(t, "one", nil), newAuthority(t, "two", nil)
	for way, h := range ways() {
		t.Run(way, func(t *testing.T) {
			resumes := func(g *gateway, client *http.Client) (bool, error) {
				resp, err := g.get(t.Context(), client, "/")
				if err != nil {
					return false, err
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				client.CloseIdleConnections() // the next call connects anew
				return resp.TLS.DidResume, nil
			}
			// The client does resume where it may.
			h.cache = tls.NewLRUClientSessionCache(8)
			open := startGateway(t, nil, nil)
			client := open.client(t, nil, h)
			for i, want := range []bool{false, true} {
				if got, err := resumes(open, client); err != nil || got != want {
					t.Fatalf("without authorities, connection %d: resumed %t, %v", i, got, err)
				}
			}
			h.cache = tls.NewLRUClientSessionCache(8)
			g := startGateway(t, one.pem(), nil)
			client = g.client(t, one.client(t, "ada", 1), h)
			for i := range 2 {
				if got, err := resumes(g, client); err != nil || got {
					t.Errorf("connection %d: resumed %t, %v", i, got, err)
				}
			}
			write(t, g.cfg.ClientCAFile, two.pem())
			g.Check(t.Context())
			if _, err := resumes(g, client); err == nil {
				t.Error("a client of the authority before was let in")
			}
		})
	}
}

func TestClients_ABrokenFileKeepsTheOldAndDoesNotHoldTheCertificateUp(t *testing.T) {
	ca, h := newAuthority(t, "ca", nil), how{version: tls.VersionTLS13}
	var log bytes.Buffer
	var results []error
	g := startGateway(t, ca.pem(), nil, func(c *tlscert.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		c.Checked = func(err error) { results = append(results, err) }
	})
	ada := ca.client(t, "ada", 1)
	look := func(what string, told int) {
		t.Helper()
		g.Check(t.Context())
		if lines := strings.Count(log.String(), "\n"); lines != told {
			t.Errorf("%s: %d lines, want %d:\n%s", what, lines, told, &log)
		}
		g.check(t, what, ada, h, "ada", "")
	}
	write(t, g.cfg.ClientCAFile, []byte("nonsense"))
	look("broken", 0)
	look("left so", 1)
	look("left so longer", 1)
	if !strings.Contains(log.String(), "the new authorities of client certificates cannot be used") || !strings.Contains(log.String(), "clients.crt has no certificate") {
		t.Errorf("logged %s", &log)
	}
	renewed := newPair(t, "renewed", longValid)
	write(t, g.cfg.CertFile, renewed.cert)
	write(t, g.cfg.KeyFile, renewed.key)
	g.Check(t.Context())
	if got := serving(t, g.Reloader); got != "renewed" {
		t.Errorf("serving %s while the authorities are broken", got)
	}
	g.server = renewed
	write(t, g.cfg.ClientCAFile, ca.pem())
	look("the old again", 1)
	if len(results) != 2 || results[0] == nil || results[1] != nil {
		t.Errorf("the hook was told %v", results)
	}
}

func TestClients_TheRevokedAreRefused(t *testing.T) {
	ca := newAuthority(t, "ca", nil)
	successor := newAuthority(t, "ca", nil) // of the same name, and with serial numbers of its own
	between := newAuthority(t, "between", ca)
	h := how{version: tls.VersionTLS13, http2: true}
	revoked, kept := ca.client(t, "revoked", 7), ca.client(t, "kept", 8)
	for name, list := range map[string][]byte{"PEM": crlPEM(ca.revoke(t, nil, 7)), "DER": ca.revoke(t, nil, 7)} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, append(ca.pem(), successor.pem()...), list)
			for way, h := range ways() {
				g.check(t, way+", revoked", revoked, h, "", "bad certificate")
			}
			g.check(t, "another number", kept, h, "kept", "")
			g.check(t, "the same number of the successor", successor.client(t, "new", 7), h, "new", "")
			g.check(t, "the same number of the authority between", between.client(t, "below", 7), h, "below", "")
		})
	}
	t.Run("of the authority between", func(t *testing.T) {
		g := startGateway(t, ca.pem(), crlPEM(ca.revoke(t, nil), between.revoke(t, nil, 7)))
		g.check(t, "revoked", between.client(t, "revoked", 7), h, "", "bad certificate")
		g.check(t, "another number", between.client(t, "kept", 8), h, "kept", "")
		g.check(t, "the same number of the one above", revoked, h, "revoked", "")
	})
	t.Run("a list nobody signed for the authority between", func(t *testing.T) {
		forged := &authority{cert: between.cert, key: successor.key}
		g := startGateway(t, ca.pem(), crlPEM(forged.revoke(t, nil, 7)))
		g.check(t, "named in it", between.client(t, "kept", 7), h, "kept", "")
	})
	t.Run("the authority between itself", func(t *testing.T) {
		g := startGateway(t, ca.pem(), crlPEM(ca.revoke(t, nil, 1001)))
		g.check(t, "below it", between.client(t, "below", 8), h, "", "bad certificate")
		g.check(t, "beside it", kept, h, "kept", "")
		// Also when it is an authority of its own in the file.
		write(t, g.cfg.ClientCAFile, append(ca.pem(), between.pem()...))
		g.Check(t.Context())
		g.check(t, "below it, named", between.client(t, "below", 8), h, "", "bad certificate")
	})
	t.Run("a list for a part of the certificates", func(t *testing.T) {
		part := ca.revoke(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{48, 3, 0x81, 1, 0xff}}}
		}, 7)
		g := startGateway(t, ca.pem(), crlPEM(part))
		g.check(t, "revoked", revoked, h, "", "bad certificate")
	})
	t.Run("a new list", func(t *testing.T) {
		g := startGateway(t, ca.pem(), crlPEM(ca.revoke(t, nil)))
		g.check(t, "before", revoked, h, "revoked", "")
		write(t, g.cfg.ClientCRLFile, crlPEM(ca.revoke(t, nil, 7)))
		g.Check(t.Context())
		g.check(t, "after", revoked, h, "", "bad certificate")
	})
	t.Run("an expired list", func(t *testing.T) {
		var log bytes.Buffer
		now := new(movable)
		g := startGateway(t, ca.pem(), crlPEM(ca.revoke(t, nil, 7)), func(c *tlscert.Config) {
			c.Clock = now
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		now.ahead.Store(int64(90 * time.Minute))
		g.Check(t.Context())
		g.Check(t.Context())
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "has expired, it still counts") {
			t.Errorf("logged %q", &log)
		}
		g.check(t, "revoked", revoked, h, "", "bad certificate")
		g.check(t, "another number", kept, h, "kept", "")
	})
}

// movable is a clock that a test moves.
type movable struct{ ahead atomic.Int64 }

func (m *movable) Now() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }

func TestListen_ClosesTheConnectionsOfWhoIsNotLetInAnyMoreAndNobodyElses(t *testing.T) {
	type fixture struct {
		*gateway
		ca, stays *authority
		now       *movable
	}
	for name, end := range map[string]func(t *testing.T, f fixture){
		"the authority replaced": func(t *testing.T, f fixture) { write(t, f.cfg.ClientCAFile, f.stays.pem()) },
		"revoked":                func(t *testing.T, f fixture) { write(t, f.cfg.ClientCRLFile, crlPEM(f.ca.revoke(t, nil, 7))) },
		"expired":                func(_ *testing.T, f fixture) { f.now.ahead.Store(int64(2*time.Hour + time.Minute)) },
	} {
		t.Run(name, func(t *testing.T) {
			for way, h := range ways() {
				f := fixture{ca: newAuthority(t, "ca", nil), stays: newAuthority(t, "stays", nil), now: new(movable)}
				g := startGateway(t, append(f.ca.pem(), f.stays.pem()...), crlPEM(f.ca.revoke(t, nil)), func(c *tlscert.Config) { c.Clock = f.now })
				f.gateway = g
				stream := func(cert *tls.Certificate) io.ReadCloser {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					t.Cleanup(cancel)
					resp, err := g.get(ctx, g.client(t, cert, h), "/stream")
					if err != nil {
						t.Fatal(err)
					}
					<-g.streams
					return resp.Body
				}
				lost := stream(f.ca.client(t, "lost", 7))
				others := map[string]io.ReadCloser{
					"nobody": stream(nil),
					"kept":   stream(f.stays.client(t, "kept", 7, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(4 * time.Hour) })),
				}
				g.Check(t.Context())
				end(t, f)
				g.Check(t.Context())
				if text, err := io.ReadAll(lost); err == nil || string(text) != "lost" || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: the stream had %q, %v", way, text, err)
				}
				_ = lost.Close()
				close(g.finish)
				for name, stream := range others {
					if text, err := io.ReadAll(stream); err != nil || string(text) != name+" to the end" {
						t.Errorf("%s: the stream of %s had %q, %v", way, name, text, err)
					}
					_ = stream.Close()
				}
			}
		})
	}
}

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
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/tlscert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a certificate for localhost and its key, in PEM.
type pair struct{ cert, key []byte }

// newPair makes a certificate by its name, valid from an hour ago for a while.
func newPair(t *testing.T, name string, valid time.Duration) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start, NotAfter: start.Add(valid),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

const longValid = 24 * time.Hour

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files writes a pair and returns where it is.
func files(t *testing.T, p pair) tlscert.Config {
	t.Helper()
	dir := t.TempDir()
	return tlscert.Config{CertFile: write(t, filepath.Join(dir, "tls.crt"), p.cert), KeyFile: write(t, filepath.Join(dir, "tls.key"), p.key)}
}

func open(t *testing.T, cfg tlscert.Config) *tlscert.Reloader {
	t.Helper()
	r, err := tlscert.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serving is the name in the certificate that new connections get.
func serving(t *testing.T, r *tlscert.Reloader) string {
	t.Helper()
	cert, err := r.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.Subject.CommonName
}

func TestNew_SaysWhichFileIsWrong(t *testing.T) {
	one, two := newPair(t, "one", longValid), newPair(t, "two", longValid)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	older := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	for name, test := range map[string]struct {
		pair pair
		want []string
	}{
		"not matching":      {pair{one.cert, two.key}, []string{"tls.crt", "tls.key", "does not match"}},
		"swapped":           {pair{one.key, one.cert}, []string{"tls.crt has no certificate: it has PRIVATE KEY"}},
		"no key":            {pair{one.cert, one.cert}, []string{"tls.key has no private key: it has CERTIFICATE"}},
		"not PEM":           {pair{[]byte("x"), one.key}, []string{"tls.crt has no certificate: it is not in PEM"}},
		"empty key":         {pair{one.cert, nil}, []string{"tls.key has no private key: it is not in PEM"}},
		"encrypted key":     {pair{one.cert, encrypted}, []string{"tls.key is encrypted", "openssl pkey"}},
		"key of older form": {pair{one.cert, older}, []string{"tls.key is encrypted"}},
		"broken":            {pair{broken, one.key}, []string{"tls.crt", "x509"}},
		"too large":         {pair{bytes.Repeat([]byte("x"), 2<<20), one.key}, []string{"read the TLS certificate", "tls.crt is larger"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tlscert.New(t.Context(), files(t, test.pair))
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
	t.Run("missing", func(t *testing.T) {
		cfg := tlscert.Config{CertFile: "/nowhere/tls.crt", KeyFile: "/nowhere/tls.key"}
		_, err := tlscert.New(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "certificate: open /nowhere/tls.crt: no such file") ||
			!strings.Contains(err.Error(), "private key: open /nowhere/tls.key: no such file") {
			t.Errorf("got %v, want both files named", err)
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		cfg := files(t, one)
		cfg.KeyFile = filepath.Dir(cfg.KeyFile)
		if _, err := tlscert.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "read the TLS private key") {
			t.Errorf("got %v, want the key named", err)
		}
	})
	if _, err := tlscert.New(t.Context(), tlscert.Config{CertFile: "x"}); err == nil {
		t.Error("opened without a key file")
	}
}

func TestNew_WarnsOfACertificateThatIsNotValidNow(t *testing.T) {
	for name, test := range map[string]struct {
		valid time.Duration
		now   time.Duration
		want  string
	}{
		"expired":       {30 * time.Minute, 0, "the TLS certificate has expired"},
		"not valid yet": {longValid, -2 * time.Hour, "the TLS certificate is not valid yet"},
		"valid":         {longValid, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			cfg := files(t, newPair(t, "one", test.valid))
			cfg.Clock = offset(test.now)
			cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			if got := serving(t, open(t, cfg)); got != "one" {
				t.Errorf("serving %s", got)
			}
			if (log.Len() > 0) != (test.want != "") || !strings.Contains(log.String(), test.want) {
				t.Errorf("logged %q, want %q", &log, test.want)
			}
		})
	}
}

// offset is a clock that is ahead of the machine's.
type offset time.Duration

func (o offset) Now() time.Time { return time.Now().Add(time.Duration(o)) }

func TestCheck_FollowsTheFiles(t *testing.T) {
	one, two := newPair(t, "one", longValid), newPair(t, "two", longValid)
	for name, replace := range map[string]func(t *testing.T, cfg tlscert.Config){
		"written in place": func(t *testing.T, cfg tlscert.Config) {
			write(t, cfg.CertFile, two.cert)
			write(t, cfg.KeyFile, two.key)
		},
		"renamed": func(t *testing.T, cfg tlscert.Config) {
			for path, text := range map[string][]byte{cfg.CertFile: two.cert, cfg.KeyFile: two.key} {
				if err := os.Rename(write(t, path+".new", text), path); err != nil {
					t.Fatal(err)
				}
			}
		},
		"with the times of the old": func(t *testing.T, cfg tlscert.Config) {
			for path, text := range map[string][]byte{cfg.CertFile: two.cert, cfg.KeyFile: two.key} {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				write(t, path, text)
				if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := files(t, one)
			r := open(t, cfg)
			r.Check(t.Context())
			if got := serving(t, r); got != "one" {
				t.Errorf("serving %s before the change", got)
			}
			replace(t, cfg)
			r.Check(t.Context())
			if got := serving(t, r); got != "two" {
				t.Errorf("serving %s after the change", got)
			}
		})
	}
}

// Kubernetes mounts a folder whose files are links through a link that it swaps.
func TestCheck_FollowsSwappedLinks(t *testing.T) {
	dir := t.TempDir()
	swap := func(name string, p pair) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "tls.crt"), p.cert)
		write(t, filepath.Join(dir, name, "tls.key"), p.key)
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", newPair(t, "one", longValid))
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, tlscert.Config{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")})
	swap("..2", newPair(t, "two", longValid))
	r.Check(t.Context())
	if got := serving(t, r); got != "two" {
		t.Errorf("serving %s after the swap", got)
	}
}

func TestCheck_ABrokenPairKeepsTheOldOneAndIsToldOnce(t *testing.T) {
	one, two := newPair(t, "one", longValid), newPair(t, "two", longValid)
	var log bytes.Buffer
	cfg := files(t, one)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var results []error
	cfg.Checked = func(err error) { results = append(results, err) }
	r := open(t, cfg)
	look := func(name, want string, told int) {
		t.Helper()
		r.Check(t.Context())
		if got, lines := serving(t, r), strings.Count(log.String(), "\n"); got != want || lines != told {
			t.Errorf("%s: serving %s with %d lines, want %s and %d:\n%s", name, got, lines, want, told, &log)
		}
	}
	write(t, cfg.CertFile, two.cert)
	look("one of two files written", "one", 0)
	look("left so", "one", 1)
	look("left so longer", "one", 1)
	write(t, cfg.CertFile, []byte("nonsense"))
	look("broken otherwise", "one", 1)
	look("left so", "one", 2)
	if err := os.Remove(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	look("a file away", "one", 2)
	look("left so", "one", 3)
	look("left so longer", "one", 3)
	write(t, cfg.CertFile, one.cert)
	write(t, cfg.KeyFile, one.key)
	look("the old pair again", "one", 3)
	write(t, cfg.CertFile, two.cert)
	look("half of the new pair", "one", 3)
	write(t, cfg.KeyFile, two.key)
	look("the new pair", "two", 3)
	if len(results) != 4 || results[0] == nil || results[3] != nil {
		t.Errorf("the hook was told %v", results)
	}
}

func TestRun_LooksAtTheFilesUntilItsContextEnds(t *testing.T) {
	one, two := newPair(t, "one", longValid), newPair(t, "two", longValid)
	synctest.Test(t, func(t *testing.T) {
		cfg := files(t, one)
		r := open(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		write(t, cfg.CertFile, two.cert)
		write(t, cfg.KeyFile, two.key)
		timer := time.NewTimer(5*time.Second + time.Millisecond)
		<-timer.C
		synctest.Wait()
		if got := serving(t, r); got != "two" {
			t.Errorf("serving %s after a poll", got)
		}
		cancel()
		wg.Wait()
	})
}

func TestTLS_NewConnectionsGetTheNewCertificateAndOpenOnesGoOn(t *testing.T) {
	one, two := newPair(t, "one", longValid), newPair(t, "two", longValid)
	cfg := files(t, one)
	r := open(t, cfg)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", r.TLS())
	if err != nil {
		t.Fatal(err)
	}
	streaming, end := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			close(streaming)
			<-end
		}
		_, _ = io.WriteString(w, "last "+req.Proto)
	})}
	var serve sync.WaitGroup
	serve.Go(func() { _ = srv.Serve(listener) })
	defer serve.Wait()
	defer srv.Close()

	roots := x509.NewCertPool()
	for _, p := range []pair{one, two} {
		if !roots.AppendCertsFromPEM(p.cert) {
			t.Fatal("no certificate")
		}
	}
	client := func() *http.Client {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	get := func(c *http.Client, path string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+listener.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	name := func(resp *http.Response) string { return resp.TLS.PeerCertificates[0].Subject.CommonName }

	old := client()
	stream := get(old, "/stream")
	defer stream.Body.Close()
	<-streaming
	write(t, cfg.CertFile, two.cert)
	write(t, cfg.KeyFile, two.key)
	r.Check(t.Context())

	fresh := get(client(), "/")
	_ = fresh.Body.Close()
	if name(fresh) != "two" || fresh.ProtoMajor != 2 {
		t.Errorf("a new connection got %s over %s, want two over HTTP/2", name(fresh), fresh.Proto)
	}
	again := get(old, "/")
	_ = again.Body.Close()
	if name(again) != "one" {
		t.Errorf("a call on the open connection got %s", name(again))
	}
	close(end)
	if body, err := io.ReadAll(stream.Body); err != nil || string(body) != "firstlast HTTP/2.0" {
		t.Errorf("the open stream had %q, %v", body, err)
	}

	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":        {RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"other protocol": {RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"ftp"}},
	} {
		conn, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

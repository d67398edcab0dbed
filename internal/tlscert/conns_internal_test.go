package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Who replaces an authority during a handshake finds no connection to close yet: the
// handshake itself must see to it.
func TestWatch_AHandshakeThatBeganUnderAnAuthorityBeforeFails(t *testing.T) {
	dir := t.TempDir()
	issue := func(name string) (cert *x509.Certificate, text []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		for name, text := range map[string][]byte{name + ".crt": text, name + ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return cert, text
	}
	one, _ := issue("one")
	_, two := issue("two")
	ca := filepath.Join(dir, "one.crt")
	r, err := New(t.Context(), Config{CertFile: filepath.Join(dir, "two.crt"), KeyFile: filepath.Join(dir, "two.key"), ClientCAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	begin := func() (c *conn, verify func() error) {
		c = &conn{Conn: near, of: r}
		cfg, err := r.forClient(&tls.ClientHelloInfo{Conn: c})
		if err != nil {
			t.Fatal(err)
		}
		return c, func() error {
			return cfg.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{one}, VerifiedChains: [][]*x509.Certificate{{one}}})
		}
	}
	if _, verify := begin(); verify() != nil {
		t.Error("a handshake without a change was refused")
	}
	_, verify := begin()
	if err := os.WriteFile(ca, two, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Check(t.Context())
	if verify() == nil {
		t.Error("an authority was replaced during the handshake, and its client is let in")
	}
	if len(r.conns.open) != 0 {
		t.Errorf("%d connections are remembered", len(r.conns.open))
	}
	// Nor is a connection remembered that is closed already, for nobody would forget it.
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Check(t.Context())
	c, verify := begin()
	_ = c.Close()
	if err := verify(); !errors.Is(err, net.ErrClosed) || len(r.conns.open) != 0 {
		t.Errorf("a closed connection: %v, %d remembered", err, len(r.conns.open))
	}
}

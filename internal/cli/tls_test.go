package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// commandVariable has the arguments of a command that a test process is to run.
const commandVariable = "SIGNALBOX_TEST_COMMAND"

// A gateway with a certificate that this machine does not know is reached when
// SSL_CERT_FILE names it; without, the error says what to do. A process reads that
// variable once, so that each command has a process of its own.
func TestCommands_SpeakTLSWithWhomSSLCertFileTrusts(t *testing.T) {
	certFile, keyFile := selfSigned(t)
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.DatabaseURL, cfg.DataDir, cfg.AdminKey = "127.0.0.1:0", config.Secret(pgtest.ConnString(t)), t.TempDir(), ""
	cfg.TLS = config.TLS{CertFile: certFile, KeyFile: keyFile}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("the gateway stopped with: %v", err)
		}
	})
	<-a.Ready()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  []string
		want []string
	}{
		"trusted":     {[]string{"SSL_CERT_FILE=" + certFile}, []string{"exit code 0"}},
		"not trusted": {[]string{"SSL_CERT_FILE=" + os.DevNull, "SSL_CERT_DIR=" + t.TempDir()}, []string{"exit code 1", "add its CA to this machine (SSL_CERT_FILE)"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, self, "-test.run=^TestCommands_InAnotherProcess$", "-test.v")
		cmd.Env = append(os.Environ(), commandVariable+"=teams list --server "+a.URL(), "SIGNALBOX_KEY="+a.AdminKey(), "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
		cmd.Env = append(cmd.Env, tt.env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: the process ended with %v", name, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
	}
}

// TestCommands_InAnotherProcess runs a command that another test asks for.
func TestCommands_InAnotherProcess(t *testing.T) {
	command := os.Getenv(commandVariable)
	if command == "" {
		t.Skip("another test starts it")
	}
	r := runWith(t, map[string]string{"SIGNALBOX_KEY": os.Getenv("SIGNALBOX_KEY"), "HOME": os.Getenv("HOME")}, "", strings.Fields(command)...)
	t.Logf("exit code %d\n%s\n%s", r.code, r.out, r.err)
}

// selfSigned writes a certificate for this machine, and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

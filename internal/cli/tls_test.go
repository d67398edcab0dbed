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

// startTLS runs a gateway with a certificate.
func startTLS(t *testing.T, files config.TLS) *app.App {
	t.Helper()
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.DatabaseURL, cfg.DataDir, cfg.AdminKey = "127.0.0.1:0", config.Secret(pgtest.ConnString(t)), t.TempDir(), ""
	cfg.TLS = files
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
	return a
}

// inAnotherProcess runs a command, because a process reads SSL_CERT_FILE once, and wants
// its output to have some texts.
func inAnotherProcess(t *testing.T, name, command string, env []string, want ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-test.run=^TestCommands_InAnotherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), commandVariable+"="+command, "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: the process ended with %v", name, err)
	}
	for _, want := range want {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: no %q in\n%s", name, want, out)
		}
	}
}

// A gateway with a certificate that this machine does not know is reached when
// SSL_CERT_FILE names it; without, the error says what to do.
func TestCommands_SpeakTLSWithWhomSSLCertFileTrusts(t *testing.T) {
	certFile, keyFile := selfSigned(t)
	a := startTLS(t, config.TLS{CertFile: certFile, KeyFile: keyFile})
	for name, tt := range map[string]struct {
		env  []string
		want []string
	}{
		"trusted":     {[]string{"SSL_CERT_FILE=" + certFile}, []string{"exit code 0"}},
		"not trusted": {[]string{"SSL_CERT_FILE=" + os.DevNull, "SSL_CERT_DIR=" + t.TempDir()}, []string{"exit code 1", "add its CA to this machine (SSL_CERT_FILE)"}},
	} {
		inAnotherProcess(t, name, "teams list --server "+a.URL(), append(tt.env, "SIGNALBOX_KEY="+a.AdminKey()), tt.want...)
	}
}

// A gateway that wants certificates of its callers gets that of --cert.
func TestCommands_ShowACertificate(t *testing.T) {
	certFile, keyFile := selfSigned(t)
	clientCert, clientKey := selfSigned(t)
	otherCert, otherKey := selfSigned(t)
	a := startTLS(t, config.TLS{CertFile: certFile, KeyFile: keyFile, ClientCA: clientCert, ClientAuth: "require"})
	list := "teams list --server " + a.URL()
	trusted, key := "SSL_CERT_FILE="+certFile, "SIGNALBOX_KEY="+a.AdminKey()
	for name, tt := range map[string]struct {
		command string
		env     []string
		want    []string
	}{
		"with a key":           {list + " --cert " + clientCert + " --cert-key " + clientKey, []string{key}, []string{"exit code 0"}},
		"of variables":         {list, []string{key, "SIGNALBOX_CERT=" + clientCert, "SIGNALBOX_CERT_KEY=" + clientKey}, []string{"exit code 0"}},
		"which is all":         {list + " --cert " + clientCert + " --cert-key " + clientKey, nil, []string{"exit code 1", "no key here has a name of your client certificate"}},
		"none":                 {list, []string{key}, []string{"exit code 1", "give one with --cert and --cert-key"}},
		"of another authority": {list + " --cert " + otherCert + " --cert-key " + otherKey, []string{key}, []string{"exit code 1", "it may not accept the certificate of --cert"}},
	} {
		inAnotherProcess(t, name, tt.command, append(tt.env, trusted), tt.want...)
	}
}

// TestCommands_InAnotherProcess runs a command that another test asks for.
func TestCommands_InAnotherProcess(t *testing.T) {
	command := os.Getenv(commandVariable)
	if command == "" {
		t.Skip("another test starts it")
	}
	env := map[string]string{}
	for _, name := range []string{"SIGNALBOX_KEY", "SIGNALBOX_CERT", "SIGNALBOX_CERT_KEY", "HOME"} {
		env[name] = os.Getenv(name)
	}
	r := runWith(t, env, "", strings.Fields(command)...)
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
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
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

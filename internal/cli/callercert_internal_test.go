package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pemPair makes a certificate with a serial number, and its key.
func pemPair(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", secret)
}

func TestSettings_TheCertificateThatIsShown(t *testing.T) {
	const server = "https://127.0.0.1:7000"
	files := map[string]string{
		configFile:                    "server: " + server + "\ncert: file.crt\ncert_key: ~/file.key\n",
		localDir + "/" + adminKeyFile: "sb_admin\n",
	}
	for i, name := range []string{"flag", "variable", "file"} {
		cert, key := pemPair(t, int64(i+1))
		files[name+".crt"], files[name+".key"], files[name+".pem"] = cert, key, key+cert
	}
	files[".config/signalbox/file.crt"] = files["file.crt"]
	dir := place(t, files)
	at := func(name string) string { return filepath.Join(dir, name) }
	variables := map[string]string{varCert: at("variable.crt"), varCertKey: at("variable.key")}
	for _, tt := range []struct {
		name    string
		env     map[string]string
		flags   clientFlags
		serial  int64 // 0 for none
		key     string
		warning string
	}{
		{name: "the configuration file", serial: 3},
		{name: "the variables over the file", env: variables, serial: 2},
		{name: "the flags over both", env: variables, flags: clientFlags{cert: certFiles{at("flag.crt"), at("flag.key")}}, serial: 1},
		{name: "one file for both", flags: clientFlags{cert: certFiles{Cert: at("flag.pem")}}, serial: 1},
		{name: "a key goes beside it", flags: clientFlags{key: "sb_given"}, serial: 3, key: "sb_given"},
		// Who calls by no certificate calls by the key that lies here.
		{name: "the file's is not for another server", env: map[string]string{varServer: "https://127.0.0.1:7001"}, key: "sb_admin"},
		{name: "none without TLS", env: variables, flags: clientFlags{server: "http://127.0.0.1:7000"}, key: "sb_admin", warning: "takes https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newProgram(Config{WorkDir: dir, Getenv: func(name string) string {
				if name == varHome {
					return dir
				}
				return tt.env[name]
			}})
			p.flags = tt.flags
			got, err := p.settings(adminKeyFile)
			if err != nil {
				t.Fatal(err)
			}
			var serial int64
			if got.tls.certificate != nil {
				serial = got.tls.certificate.Leaf.SerialNumber.Int64()
			}
			if serial != tt.serial || got.key != tt.key {
				t.Errorf("certificate %d and key %q, want %d and %q", serial, got.key, tt.serial, tt.key)
			}
			if warnings := strings.Join(got.warnings, "; "); (warnings != "") != (tt.warning != "") || !strings.Contains(warnings, tt.warning) {
				t.Errorf("warnings %q, want %q", warnings, tt.warning)
			}
			shown, err := newTransport(got).TLSClientConfig.GetClientCertificate(nil)
			if err != nil || (len(shown.Certificate) > 0) != (tt.serial != 0) || !got.tls.asked.Load() {
				t.Errorf("connections show %v, %v", shown, err)
			}
		})
	}
	p := newProgram(Config{WorkDir: dir, Getenv: func(string) string { return "" }})
	p.flags = clientFlags{server: server, cert: certFiles{at("flag.crt"), at("flag.key")}}
	if err := os.Chmod(at("flag.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := p.settings(adminKeyFile); err != nil || len(got.warnings) != 1 || !strings.Contains(got.warnings[0], "chmod 600") {
		t.Errorf("a key that others can read: %v, %v", got.warnings, err)
	}
	for name, tt := range map[string]struct {
		files certFiles
		want  string
	}{
		"a key alone":         {certFiles{CertKey: at("flag.key")}, "is the key of no certificate"},
		"a certificate alone": {certFiles{Cert: at("flag.crt")}, "read the certificate of --cert"},
		"another key":         {certFiles{at("flag.crt"), at("file.key")}, "read the certificate of --cert"},
		"no such file":        {certFiles{"/no/such", "/no/such"}, "read the certificate of --cert: open /no/such"},
	} {
		p.flags.cert = tt.files
		if _, err := p.settings(adminKeyFile); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

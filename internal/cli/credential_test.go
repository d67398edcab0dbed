package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const marker = "s3cret-marker"

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a certificate and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Company CA"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestAgents_CredentialsComeFromFilesAndAreNeverShown(t *testing.T) {
	g := startGateway(t)
	dir := t.TempDir()
	token := writeFile(t, dir, "token", marker+"\n")
	pair := writeFile(t, dir, "pair", "gw:"+marker+"\n")
	writeFile(t, dir, "secret", "0123"+marker+"\n")
	oauth := writeFile(t, dir, "oauth.yaml", "token_url: http://127.0.0.1:1/token\nclient_id: gateway\nclient_secret_file: secret\nscopes: [call, list]\nclient_authentication: body\n")
	aws := writeFile(t, dir, "aws.yaml", "region: eu-central-1\nservice: bedrock-agentcore\naccess_key_id: AKIDEXAMPLE\nsecret_access_key_env: AWS_KEY\n")
	entra := writeFile(t, dir, "entra.yaml", "tenant: contoso.example\nclient_id: app\nclient_secret: "+marker+"\nscopes: api://agent/.default\nauthority: http://127.0.0.1:1\n")
	exchange := writeFile(t, dir, "exchange.yaml", "token_url: http://127.0.0.1:1/token\nclient_id: gateway\nclient_secret_file: secret\naudience: planner\nresource: https://planner.example\nsubject_token_type: access_token\nactor_token: true\n")
	badType := writeFile(t, dir, "bad.yaml", "token_url: http://127.0.0.1:1/token\nclient_id: gateway\nclient_secret_file: secret\nsubject_token_type: saml2\n")
	wrong := writeFile(t, dir, "wrong.yaml", "token_url: http://127.0.0.1:1/token\nsecret: "+marker+"\n")
	cert, key := certificate(t)
	certFile, keyFile := writeFile(t, dir, "cert.pem", cert), writeFile(t, dir, "key.pem", key)

	run := func(stdin string, args ...string) result {
		t.Helper()
		got := runWith(t, map[string]string{"SIGNALBOX_SERVER": g.url, "SIGNALBOX_KEY": g.admin, "HOME": g.home, "TOKEN": marker, "AWS_KEY": marker}, stdin, args...)
		if all := got.out + got.err; strings.Contains(all, marker) || strings.Contains(all, "PRIVATE KEY") {
			t.Errorf("%s printed a secret:\n%s", strings.Join(args, " "), all)
		}
		return got
	}
	run("", "agents", "create", "a", "--team", "demo", "--url", "http://127.0.0.1:1", "--credential-bearer-file", token).ok(t)
	update := []string{"agents", "update", "a"}
	for _, tc := range []struct {
		args  []string
		stdin string
		code  int
		want  string // part of what is printed
	}{
		{args: []string{"--display-name", "A"}, want: "credential    bearer token\n"},
		{args: []string{"--credential-bearer-file", "-"}, stdin: marker + "2", want: "bearer token\n"},
		{args: []string{"--credential-bearer-file", "env:TOKEN"}, want: "sent to http://127.0.0.1:1\n"},
		{args: []string{"--credential-header", "x-agent-key", "--credential-value-file", token}, want: "API key in X-Agent-Key\n"},
		{args: []string{"--credential-basic-file", pair, "--credential-origin", "https://h.example.com:8443"}, want: "user gw with password\n"},
		{args: []string{"--credential-oauth2", oauth}, want: "OAuth 2.0 client gateway at http://127.0.0.1:1/token, scopes call list\n"},
		{args: []string{"--credential-aws", aws}, want: "AWS signature of AKIDEXAMPLE for bedrock-agentcore in eu-central-1\n"},
		{args: []string{"--credential-entra", entra}, want: "Entra application app of contoso.example, scopes api://agent/.default\n"},
		{args: []string{"--credential-exchange", exchange}, want: "token in exchange for the caller's, by OAuth 2.0 client gateway at http://127.0.0.1:1/token, audience planner, resource https://planner.example\n"},
		{args: []string{"--credential-exchange", badType}, code: 2, want: "subject_token_type is not one of access_token, id_token, jwt"},
		{args: []string{"--credential-identity-token"}, want: "token of the gateway's own, which says who calls, in Authorization\n"},
		{args: []string{"--credential-identity-token=x-who-calls", "--credential-audience", "http://127.0.0.1:1"}, want: "in X-Who-Calls, audience http://127.0.0.1:1\n"},
		{args: []string{"--credential-identity-token", "--credential-audience", "https://billing.example"}, code: 1, want: "must not be sent to http://127.0.0.1:1"},
		{args: []string{"--credential-identity-token", "--credential-scope", "x"}, code: 2, want: "--credential-google"},
		{args: []string{"--credential-entra", entra}, want: "Entra application app of contoso.example"},
		{args: []string{"--ca-file", certFile}, want: "trusts CN=Company CA, SHA-256 "},
		{args: []string{"--client-cert", certFile, "--client-key", keyFile}, want: "shows the certificate with SHA-256 "},
		{args: []string{"--tls-server-name", "agent.internal"}, want: "trusts CN=Company CA, SHA-256 "},
		{args: []string{"--tag", "x"}, want: "expects a certificate for agent.internal\n"},
		{args: []string{"--url", "http://127.0.0.2:1"}, code: 1, want: "it was not given for http://127.0.0.2:1"},
		{args: []string{"--credential-bearer-file", filepath.Join(dir, "none")}, code: 1, want: "read --credential-bearer-file"},
		{args: []string{"--credential-bearer-file", "env:NONE"}, code: 1, want: "the variable NONE is not set"},
		{args: []string{"--credential-basic-file", token}, code: 2, want: "no USER:PASSWORD"},
		{args: []string{"--credential-oauth2", wrong}, code: 2, want: `has "secret", which is none of: token_url, client_id, client_secret`},
		{args: []string{"--credential-oauth2", token}, code: 2, want: "is no YAML of names and values"},
		{args: []string{"--credential-bearer-file", token, "--credential-basic-file", pair}, code: 2, want: "none of the others can be"},
		{args: []string{"--credential-header", "x-key"}, code: 2, want: "credential-value-file"},
		{args: []string{"--tag", "y", "--credential-origin", "https://h"}, code: 2, want: "give that too"},
		{args: []string{"--credential-bearer-file", "-", "--ca-file", "-"}, code: 2, want: "cannot both be read"},
		{args: []string{"--credential-scope", "x", "--credential-bearer-file", token}, code: 2, want: "--credential-google"},
	} {
		got := run(tc.stdin, append(update, tc.args...)...)
		if got.code != tc.code || !strings.Contains(got.out+got.err, tc.want) {
			t.Errorf("%v: exit code %d, want %d with %q\nstdout:\n%s\nstderr:\n%s", tc.args, got.code, tc.code, tc.want, got.out, got.err)
		}
	}
	shown := run("", append(update, "--clear-credential", "--clear-tls")...).ok(t)
	if strings.Contains(shown.out, "Entra") || strings.Contains(shown.out, "Company CA") {
		t.Errorf("cleared, and still shown:\n%s", shown.out)
	}
	if got := run("", "agents", "create", "b", "--team", "demo", "--url", "http://127.0.0.1:1", "--clear-credential"); got.code != 2 {
		t.Errorf("there is something to clear on create: %d", got.code)
	}
}

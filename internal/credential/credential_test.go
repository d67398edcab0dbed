package credential_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/seal"
)

const marker = "s3cret-marker"

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

func bearer(secret string) credential.Given {
	return credential.Given{Credential: credential.Credential{Kind: credential.Bearer}, Secret: credential.Text(secret)}
}

func oauth(tokenURL, secret string) credential.Given {
	return credential.Given{
		Credential: credential.Credential{Kind: credential.OAuth2, TokenURL: tokenURL, ClientID: "gateway", Scopes: []string{"call"}},
		Secret:     credential.Text(secret),
	}
}

var endpoints = []string{"https://agent.example.com/a2a", "https://AGENT.example.com:443/b", "http://10.0.0.1:9000"}

func mustMake(t *testing.T, r *seal.Ring, uid uuid.UUID, g credential.Given, was *credential.Credential, at []string) *credential.Credential {
	t.Helper()
	c, err := credential.Make(r, uid, g, was, at, time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMake_KeepsTheSecretSealedForItsAgentAndOrigins(t *testing.T) {
	r, uid := ring(t, 1), uuid.New()
	c := mustMake(t, r, uid, bearer(marker), nil, endpoints)
	if diff := cmp.Diff([]string{"http://10.0.0.1:9000", "https://agent.example.com"}, c.SentTo); diff != "" {
		t.Errorf("sent to (-want +got):\n%s", diff)
	}
	shown, err := json.Marshal(c)
	if err != nil || strings.Contains(string(shown), marker) || strings.Contains(string(c.Sealed.Data), marker) {
		t.Errorf("the secret stands in what is stored: %s, %v", shown, err)
	}
	secret, err := credential.Open(r, uid, c)
	if err != nil || string(secret.Value) != marker || !cmp.Equal(secret.SentTo, c.SentTo) {
		t.Fatalf("opened %v, %v", secret.SentTo, err)
	}
	if _, err := credential.Open(r, uuid.New(), c); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("another agent opens it: %v", err)
	}
	// Who can write to the database cannot have it shown in another way, or elsewhere.
	moved := *c
	moved.Kind = credential.APIKey
	if _, err := credential.Open(r, uid, &moved); !errors.Is(err, seal.ErrNotAuthentic) {
		t.Errorf("as another kind it opens: %v", err)
	}
	moved = *c
	moved.SentTo = []string{"https://evil.example.com"}
	secret, err = credential.Open(r, uid, &moved)
	evil := &url.URL{Scheme: "https", Host: "evil.example.com"}
	if err != nil || secret.Allows(evil) {
		t.Errorf("the origins that are stored in clear count: %v", err)
	}
	if _, err := credential.Open(ring(t, 2), uid, c); err == nil {
		t.Error("another key opens it")
	}
}

func TestMake_KeepsAStoredSecretOnlyForWhereItWent(t *testing.T) {
	r, uid := ring(t, 1), uuid.New()
	const tokenURL = "https://idp.example.com/token"
	was := mustMake(t, r, uid, oauth(tokenURL, marker), nil, endpoints)

	if same := mustMake(t, r, uid, oauth(tokenURL, ""), was, endpoints); same != was {
		t.Error("writing back what was read is a change")
	}
	if same := mustMake(t, r, uid, oauth(tokenURL, marker), was, endpoints); same != was {
		t.Error("giving the same secret again is a change")
	}
	other := mustMake(t, r, uid, oauth(tokenURL, "another"), was, endpoints)
	if other.Fingerprint == was.Fingerprint {
		t.Error("another secret has the same fingerprint")
	}
	wider := oauth(tokenURL, "")
	wider.Scopes = []string{"call", "more"}
	next, err := credential.Make(r, uid, wider, was, endpoints[:1], time.Unix(2000, 0))
	if err != nil || next.Fingerprint != was.Fingerprint || !next.SetTime.Equal(time.Unix(2000, 0)) || len(next.SentTo) != 1 {
		t.Fatalf("other scopes: %+v, %v", next, err)
	}
	if secret, err := credential.Open(r, uid, next); err != nil || string(secret.Value) != marker || len(secret.SentTo) != 1 {
		t.Errorf("the secret was not kept: %v, %v", secret.SentTo, err)
	}

	extra := oauth(tokenURL, "")
	extra.ExtraOrigins = []string{"https://evil.example.com"}
	for name, try := range map[string]struct {
		given credential.Given
		was   *credential.Credential
		at    []string
	}{
		"another token endpoint": {oauth("https://evil.example.com/token", ""), was, endpoints},
		"another path there":     {oauth("https://idp.example.com/echo", ""), was, endpoints},
		"a new endpoint":         {oauth(tokenURL, ""), was, append(endpoints, "https://evil.example.com")},
		"the same host in clear": {oauth(tokenURL, ""), was, []string{"http://agent.example.com"}},
		"an extra origin":        {extra, was, endpoints},
		"another kind":           {bearer(""), was, endpoints},
		"nothing to keep":        {oauth(tokenURL, ""), nil, endpoints},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credential.Make(r, uid, try.given, try.was, try.at, time.Unix(1, 0))
			fault, ok := errors.AsType[*credential.FaultError](err)
			if !ok || fault.Field == "" || strings.Contains(err.Error(), marker) {
				t.Errorf("got %v, want a fault of the secret's field", err)
			}
		})
	}
	if err := was.CheckEndpoints([]string{"https://evil.example.com"}); err == nil {
		t.Error("endpoints can be pointed elsewhere without the secret")
	}
	if err := was.CheckEndpoints(endpoints[1:]); err != nil {
		t.Errorf("fewer endpoints: %v", err)
	}
	// A replica that cannot read the stored secret cannot keep it.
	if _, err := credential.Make(ring(t, 2), uid, oauth(tokenURL, ""), was, endpoints, time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), was.Sealed.KeyID) {
		t.Errorf("with another key: %v, want that names %s", err, was.Sealed.KeyID)
	}
}

func TestMake_RefusesWhatCannotBeSent(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	google := func(change func(map[string]string)) credential.Given {
		file := map[string]string{
			"type": "service_account", "client_email": "gw@p.iam.gserviceaccount.com", "private_key_id": "k1", "private_key": pemKey,
			"token_uri": "https://oauth2.example.com/token",
		}
		change(file)
		raw, _ := json.Marshal(file)
		return credential.Given{Credential: credential.Credential{Kind: credential.Google, Audience: "https://agent.example.com"}, Secret: credential.Text(raw)}
	}
	header := func(name, value string) credential.Given {
		return credential.Given{Credential: credential.Credential{Kind: credential.APIKey, Header: name}, Secret: credential.Text(value)}
	}
	origin := func(o string) credential.Given {
		g := bearer("x")
		g.ExtraOrigins = []string{o}
		return g
	}
	blank := oauth("https://idp.example.com", marker)
	blank.Scopes = []string{"a b"}
	both := google(func(map[string]string) {})
	both.Scopes = []string{"x"}
	for name, tc := range map[string]struct {
		given credential.Given
		field string // "" when it is taken
	}{
		"a token":                   {bearer("abc.def~+/=-_"), ""},
		"a token with a line end":   {bearer(marker + "\n"), "bearer.token"},
		"a token with a header":     {bearer(marker + "\r\nX-Evil: 1"), "bearer.token"},
		"a header":                  {header("x-api-key", marker), ""},
		"the authorization header":  {header("authorization", "ApiKey "+marker), ""},
		"the host header":           {header("Host", marker), "api_key.header"},
		"a header of the protocol":  {header("A2A-Version", marker), "api_key.header"},
		"a header of gRPC":          {header("grpc-timeout", marker), "api_key.header"},
		"a binary header":           {header("x-key-bin", marker), "api_key.header"},
		"a value with a line end":   {header("X-Key", marker+"\n"), "api_key.value"},
		"a token endpoint of ftp":   {oauth("ftp://idp.example.com", marker), "oauth2.token_url"},
		"one with a password":       {oauth("https://u:"+marker+"@idp.example.com", marker), "oauth2.token_url"},
		"a scope with a blank":      {blank, "scopes"},
		"an origin with a path":     {origin("https://h/x"), "extra_origins"},
		"an origin with a user":     {origin("https://u:p@h"), "extra_origins"},
		"a key file":                {google(func(map[string]string) {}), ""},
		"one of a user":             {google(func(f map[string]string) { f["type"] = "authorized_user" }), "google.key_json"},
		"one without a key":         {google(func(f map[string]string) { f["private_key"] = marker }), "google.key_json"},
		"one for files":             {google(func(f map[string]string) { f["token_uri"] = "file:///etc/passwd" }), "google.key_json"},
		"scopes and audience":       {both, "google"},
		"text instead of key files": {credential.Given{Credential: credential.Credential{Kind: credential.Google, Audience: "a"}, Secret: marker}, "google.key_json"},
		"no kind":                   {credential.Given{Secret: marker}, "scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credential.Make(ring(t, 1), uuid.New(), tc.given, nil, endpoints, time.Unix(1, 0))
			if tc.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			fault, ok := errors.AsType[*credential.FaultError](err)
			if !ok || fault.Field != tc.field {
				t.Errorf("got %v, want a fault of %s", err, tc.field)
			}
			if err != nil && strings.Contains(err.Error(), marker) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
}

func TestText_IsPrintedByNothing(t *testing.T) {
	g := bearer(marker)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("g", g), slog.Any("s", g.Secret))
	slog.New(slog.NewJSONHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("g", g), slog.Any("s", g.Secret))
	raw, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		log.String(), string(raw), fmt.Sprint(g), fmt.Sprintf("%+v %#v %q %x %s", g, g, g.Secret, g.Secret, g.Secret),
		fmt.Sprintf("%+v", credential.Secret{Value: marker}),
	} {
		if strings.Contains(text, marker) || strings.Contains(text, fmt.Sprintf("%x", marker)) {
			t.Errorf("the secret is printed: %s", text)
		}
	}
}

func TestReseal_SealsWithTheFirstKeyAndLeavesTheRest(t *testing.T) {
	uid := uuid.New()
	c := mustMake(t, ring(t, 1), uid, bearer(marker), nil, endpoints)
	two := func() *seal.Ring {
		key := func(n byte) string {
			k := make([]byte, seal.KeySize)
			for i := range k {
				k[i] = byte(i) + n
			}
			return base64.StdEncoding.EncodeToString(k)
		}
		r, err := seal.Open(t.Context(), seal.Config{Env: key(2) + "\n" + key(1), DataDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}()
	fresh, err := credential.Reseal(two, uid, credential.Field(c.Kind), c.Sealed)
	if err != nil || fresh.KeyID != two.ID() {
		t.Fatalf("sealed with %s, %v", fresh.KeyID, err)
	}
	c.Sealed = fresh
	if secret, err := credential.Open(ring(t, 2), uid, c); err != nil || string(secret.Value) != marker {
		t.Errorf("with the new key alone: %v", err)
	}
	if again, err := credential.Reseal(two, uid, credential.Field(c.Kind), fresh); err != nil || !cmp.Equal(again, fresh) {
		t.Errorf("what the first key sealed changed: %v", err)
	}
	if _, err := credential.Reseal(ring(t, 3), uid, credential.Field(c.Kind), fresh); err == nil {
		t.Error("what cannot be read is resealed")
	}
}

// pair makes a certificate of its own authority and its key.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, NotAfter: time.Now().Add(time.Hour)}
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

func TestMakeTLS(t *testing.T) {
	r, uid := ring(t, 1), uuid.New()
	cert, key := pair(t)
	otherCert, otherKey := pair(t)
	was, err := credential.MakeTLS(r, uid, credential.GivenTLS{CA: cert, Certificate: cert, Key: credential.Text(key), ServerName: "Agent.Internal"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if was.ServerName != "agent.internal" || was.ExpireTime.IsZero() || len(was.CertificateSHA256) != 64 || strings.Contains(string(was.Sealed.Data), "PRIVATE KEY") {
		t.Errorf("made %+v", was)
	}
	if cfg, err := was.Config(r, uid); err != nil || cfg.RootCAs == nil || cfg.GetClientCertificate == nil || cfg.ServerName != "agent.internal" {
		t.Errorf("%v", err)
	}
	if _, err := was.Config(ring(t, 2), uid); err == nil {
		t.Error("another key opens the private key")
	}
	if _, err := was.Config(r, uuid.New()); err == nil {
		t.Error("another agent opens the private key")
	}
	kept, err := credential.MakeTLS(r, uid, credential.GivenTLS{CA: cert, Certificate: cert, ServerName: "agent.internal"}, was)
	if err != nil || !kept.Same(was) {
		t.Errorf("writing back what was read: %v", err)
	}
	if again, err := credential.MakeTLS(r, uid, credential.GivenTLS{CA: cert, Certificate: cert, Key: credential.Text(key), ServerName: "agent.internal"}, was); err != nil || !again.Same(was) {
		t.Errorf("giving the same again: %v", err)
	}
	if none, err := credential.MakeTLS(r, uid, credential.GivenTLS{}, was); none != nil || err != nil {
		t.Errorf("nothing makes %v, %v", none, err)
	}
	for name, tc := range map[string]struct {
		given credential.GivenTLS
		field string
	}{
		"another certificate, old key": {credential.GivenTLS{Certificate: otherCert}, "client_key"},
		"the key of another":           {credential.GivenTLS{Certificate: cert, Key: credential.Text(otherKey)}, "client_key"},
		"a key alone":                  {credential.GivenTLS{Key: credential.Text(key)}, "client_certificate"},
		"no certificate in it":         {credential.GivenTLS{CA: "hello"}, "ca_certificates"},
		"a key for an authority":       {credential.GivenTLS{CA: cert + key}, "ca_certificates"},
		"a key in the chain":           {credential.GivenTLS{Certificate: cert + key, Key: credential.Text(key)}, "client_certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credential.MakeTLS(r, uid, tc.given, was)
			if fault, ok := errors.AsType[*credential.FaultError](err); !ok || fault.Field != tc.field || strings.Contains(err.Error(), "MI") {
				t.Errorf("got %v, want a fault of %s", err, tc.field)
			}
		})
	}
}

package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// issuerURL is that of the issuer of most tests. Nobody dials it.
const issuerURL = "https://id.example.com"

// epoch is when most tests take place.
var epoch = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// signer is a key pair of an issuer.
type signer struct {
	kid, alg string
	private  crypto.Signer
}

// testKeys are made once: RSA keys take long.
var testKeys = sync.OnceValue(func() map[string]signer {
	must := func(key crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return key
	}
	rsaKey := func(bits int) crypto.Signer { key, err := rsa.GenerateKey(rand.Reader, bits); return must(key, err) }
	ecKey := func(c elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		return must(key, err)
	}
	// Always the same, and its signatures too: what fuzzing finds stays found.
	edKey := func() crypto.Signer { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)) }
	big := rsaKey(2048)
	return map[string]signer{
		"RS256": {"rs256", "RS256", big}, "RS384": {"rs384", "RS384", big}, "RS512": {"rs512", "RS512", big},
		"ES256": {"es256", "ES256", ecKey(elliptic.P256())}, "ES384": {"es384", "ES384", ecKey(elliptic.P384())},
		"ES512": {"es512", "ES512", ecKey(elliptic.P521())}, "EdDSA": {"eddsa", "EdDSA", edKey()},
		"other": {"other", "ES256", ecKey(elliptic.P256())}, "third": {"third", "ES256", ecKey(elliptic.P256())},
		"small": {"small", "RS256", rsaKey(1024)},
	}
})

// allAlgorithms are those that an issuer may sign with.
func allAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// jwks returns the public keys as a key set.
func jwks(t testing.TB, signers ...signer) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.private.Public(), KeyID: s.kid, Algorithm: s.alg, Use: "sig"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// claims are those of a token that holds, with some of them replaced, or left out where
// they are nil.
func claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerURL, "sub": "ada", "aud": "signalbox", "iat": epoch.Unix(), "exp": epoch.Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

// sign makes a token of a header and claims.
func (s signer) sign(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": s.alg, "typ": "JWT", "kid": s.kid}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, value any) bool { return value == nil })
	hb, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	cb, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return s.signRaw(t, string(hb), string(cb))
}

// signRaw signs whatever a header and a payload are.
func (s signer) signRaw(t testing.TB, header, payload string) string {
	t.Helper()
	signed := b64(header) + "." + b64(payload)
	sig, err := jwt.GetSigningMethod(s.alg).Sign(signed, s.private)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(string(sig))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// issuer returns an issuer with configured keys.
func issuer(keys string) *identity.Issuer {
	return &identity.Issuer{
		UID: uuid.New(), ID: "okta", URL: issuerURL, JWKS: keys,
		Audiences: []string{"signalbox"}, Algorithms: allAlgorithms(), Skew: time.Minute,
		NameClaim: "name", EmailClaim: "email",
	}
}

// issuers is one revision of the configuration.
type issuers map[string]*identity.Issuer

func (m issuers) IssuerByURL(iss string) (*identity.Issuer, bool) { i, ok := m[iss]; return i, ok }

func known(list ...*identity.Issuer) issuers {
	m := issuers{}
	for _, i := range list {
		m[i.URL] = i
	}
	return m
}

// transport answers requests in this process.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// reply makes an answer.
func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

// noFetch fails the test when anything is fetched.
func noFetch(t testing.TB) *http.Client {
	return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s was fetched", r.URL)
		return reply(http.StatusNotFound, ""), nil
	})}
}

func newVerifier(t testing.TB, cfg token.Config) *token.Verifier {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client = noFetch(t)
	}
	v, err := token.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// revealed returns a part of a token that a text repeats, or nothing.
func revealed(text, secret string) string {
	const length = 12
	for i := 0; i+length <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+length]) {
			return secret[i : i+length]
		}
	}
	return ""
}

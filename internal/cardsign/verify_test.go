package cardsign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/signalbox-dev/signalbox/internal/cardsign"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// agentKeys are keys of agents, made once for all cases.
type agentKeys struct {
	p256, p384, p521 *ecdsa.PrivateKey
	rsa              *rsa.PrivateKey
	ed               ed25519.PrivateKey
}

func newAgentKeys(t *testing.T) agentKeys {
	t.Helper()
	var k agentKeys
	var errs [5]error
	k.p256, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, errs[1] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, errs[2] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	k.rsa, errs[3] = rsa.GenerateKey(rand.Reader, 2048)
	_, k.ed, errs[4] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return k
}

// publish makes a key set of the public halves.
func publish(t *testing.T, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		if private, ok := k.Key.(crypto.Signer); ok {
			k.Key = private.Public()
		}
		set.Keys = append(set.Keys, k)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// signature signs the first canonical form of a card.
func signature(t *testing.T, text []byte, alg jose.SignatureAlgorithm, kid string, key any) a2a.Signature {
	t.Helper()
	read, err := a2a.ParseCard(text)
	if err != nil {
		t.Fatal(err)
	}
	form, err := a2a.CanonicalCard(text, read.Shape)
	if err != nil {
		t.Fatal(err)
	}
	opts := new(jose.SignerOptions).WithType("JOSE")
	if kid != "" {
		opts = opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(form)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(compact, ".")
	return a2a.Signature{Protected: parts[0], Signature: parts[2]}
}

func TestVerify_TakesEveryAlgorithmWithItsKeyAlone(t *testing.T) {
	keys := newAgentKeys(t)
	all := map[string]any{"p256": keys.p256, "p384": keys.p384, "p521": keys.p521, "rsa": keys.rsa, "ed": keys.ed}
	plain := card(t, "plain")
	for alg, owner := range map[jose.SignatureAlgorithm]string{
		jose.ES256: "p256", jose.ES384: "p384", jose.ES512: "p521", jose.EdDSA: "ed",
		jose.RS256: "rsa", jose.RS384: "rsa", jose.RS512: "rsa", jose.PS256: "rsa", jose.PS384: "rsa", jose.PS512: "rsa",
	} {
		t.Run(string(alg), func(t *testing.T) {
			signed := a2a.SetSignatures(plain, []a2a.Signature{signature(t, plain, alg, "k", all[owner])})
			for name, key := range all {
				kid, err := cardsign.Verify(signed, publish(t, jose.JSONWebKey{Key: key, KeyID: "k"}))
				switch {
				case name == owner && (err != nil || kid != "k"):
					t.Errorf("with its own key: %q, %v", kid, err)
				case name != owner && !errors.Is(err, cardsign.ErrInvalid):
					t.Errorf("with the key %s: %q, %v, want ErrInvalid", name, kid, err)
				}
			}
			if kid, err := cardsign.Verify(signed, publish(t, jose.JSONWebKey{Key: all[owner], KeyID: "k", Algorithm: string(alg)})); err != nil {
				t.Errorf("with a key that names the algorithm: %q, %v", kid, err)
			}
		})
	}
}

func TestVerify_OneSignatureByAKnownKeyIsEnough(t *testing.T) {
	keys := newAgentKeys(t)
	plain := card(t, "plain")
	jwks := publish(t, jose.JSONWebKey{Key: keys.p256, KeyID: "known"}, jose.JSONWebKey{Key: keys.ed, KeyID: "other"})
	known := signature(t, plain, jose.ES256, "known", keys.p256)
	unknown := signature(t, plain, jose.ES384, "unknown", keys.p384)
	forged := signature(t, plain, jose.ES384, "other", keys.p384)
	broken := a2a.Signature{Protected: "!", Signature: "!"}
	noKID := signature(t, plain, jose.ES256, "", keys.p256)
	wrongCard := signature(t, card(t, "rich"), jose.ES256, "known", keys.p256)
	header := known
	header.Header = []byte(`{"kid":"other","alg":"none","crit":["x"],"jku":"https://evil.example"}`)
	repeat := func(s a2a.Signature, n int) []a2a.Signature {
		list := make([]a2a.Signature, n)
		for i := range list {
			list[i] = s
		}
		return list
	}
	for _, test := range []struct {
		name       string
		signatures []a2a.Signature
		kid        string
		err        error
	}{
		{"none", nil, "", cardsign.ErrUnsigned},
		{"alone", []a2a.Signature{known}, "known", nil},
		{"behind others", []a2a.Signature{broken, unknown, forged, known}, "known", nil},
		{"an unknown key", []a2a.Signature{unknown}, "", cardsign.ErrNoKey},
		{"unreadable", []a2a.Signature{broken, {}}, "", cardsign.ErrNoKey},
		{"without a key id", []a2a.Signature{noKID}, "", cardsign.ErrNoKey},
		{"a known key's id on another's signature", []a2a.Signature{forged}, "", cardsign.ErrInvalid},
		{"of another card", []a2a.Signature{wrongCard, unknown}, "", cardsign.ErrInvalid},
		{"cut", []a2a.Signature{{Protected: known.Protected, Signature: known.Signature[:20]}}, "", cardsign.ErrInvalid},
		{"empty", []a2a.Signature{{Protected: known.Protected}}, "", cardsign.ErrInvalid},
		{"the unprotected header does not matter", []a2a.Signature{header}, "known", nil},
		{"as many as may be", append(repeat(unknown, 15), known), "known", nil},
		{"too many", append(repeat(unknown, 16), known), "", cardsign.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			kid, err := cardsign.Verify(a2a.SetSignatures(plain, test.signatures), jwks)
			if kid != test.kid || !errors.Is(err, test.err) {
				t.Errorf("got %q, %v, want %q, %v", kid, err, test.kid, test.err)
			}
		})
	}
}

func TestVerify_RefusesHeadersThatProveNothing(t *testing.T) {
	keys := newAgentKeys(t)
	plain := card(t, "plain")
	known := jose.JSONWebKey{Key: &keys.p256.PublicKey, KeyID: "k"}
	jwks := publish(t, known)
	public, err := json.Marshal(known)
	if err != nil {
		t.Fatal(err)
	}
	good := signature(t, plain, jose.ES256, "k", keys.p256)
	hmac := signature(t, plain, jose.HS256, "k", append(public, make([]byte, 32)...))
	embedded, err := json.Marshal(jose.JSONWebKey{Key: &keys.p384.PublicKey, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]a2a.Signature{
		"none":             {Protected: encode(`{"alg":"none","kid":"k"}`)},
		"None":             {Protected: encode(`{"alg":"None","kid":"k"}`), Signature: good.Signature},
		"no alg":           {Protected: encode(`{"kid":"k"}`), Signature: good.Signature, Header: []byte(`{"alg":"ES256"}`)},
		"HMAC":             hmac,
		"unknown critical": {Protected: encode(`{"alg":"ES256","kid":"k","crit":["exp"],"exp":1}`), Signature: good.Signature},
		"header changed":   {Protected: encode(`{"alg":"ES256","kid":"k"}`), Signature: good.Signature},
		"key along":        {Protected: encode(`{"alg":"ES384","kid":"k","jwk":` + string(embedded) + `}`), Signature: signature(t, plain, jose.ES384, "k", keys.p384).Signature},
		"kid twice":        {Protected: encode(`{"alg":"ES256","kid":"x","kid":"k"}`), Signature: good.Signature},
	} {
		t.Run(name, func(t *testing.T) {
			if kid, err := cardsign.Verify(a2a.SetSignatures(plain, []a2a.Signature{s}), jwks); !errors.Is(err, cardsign.ErrInvalid) {
				t.Errorf("got %q, %v, want ErrInvalid", kid, err)
			}
		})
	}
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// tampered are changes of signed cards that a reader would act on.
func tampered(signed []byte) map[string][]byte {
	changed := map[string][]byte{}
	for name, swap := range map[string][2]string{
		"address":       {"https://gateway.example/a2a", "https://evil.example/a2a"},
		"binding":       {`"JSONRPC"`, `"GRPC"`},
		"version":       {`"protocolVersion":"1.0"`, `"protocolVersion":"0.3"`},
		"name":          {`"name":"`, `"name":"x`},
		"capability":    {`"streaming":true`, `"streaming":false`},
		"skill":         {`"id":"s`, `"id":"t`},
		"member away":   {`"capabilities"`, `"x-capabilities"`},
		"scope":         {`"see"]`, `"all"]`},
		"false removed": {`"pushNotifications":false`, `"x":false`},
		"extension":     {`1.5`, `1.6`},
	} {
		text := strings.NewReplacer(`": "`, `":"`, `": t`, `":t`, `": f`, `":f`).Replace(string(signed))
		// Everywhere: of a card of both versions a reader takes one half.
		if other := strings.ReplaceAll(text, swap[0], swap[1]); other != text {
			changed[name] = []byte(other)
		}
	}
	return changed
}

func TestVerify_TakesWhatWasSignedHereAndNothingElse(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	signer := newSigner(t, keys)
	for _, name := range []string{"plain", "rich", "union", "old"} {
		t.Run(name, func(t *testing.T) {
			signed := sign(t, signer, card(t, name))
			if got, want := signedBy(t, signed, keys.JWKS()), kids(t, keys.JWKS())[0]; got != want {
				t.Errorf("signed by %s, want %s", got, want)
			}
			changes := tampered(signed)
			if len(changes) < 3 {
				t.Fatalf("only %d changes", len(changes))
			}
			for change, text := range changes {
				if kid, err := cardsign.Verify(text, keys.JWKS()); !errors.Is(err, cardsign.ErrInvalid) {
					t.Errorf("%s: %q, %v, want ErrInvalid", change, kid, err)
				}
			}
		})
	}
}

// Who can change a card must not win by changing the half that the signature at hand
// says nothing about, when that is the half that readers prefer.
func TestVerify_TheMembersOf10MustBeSignedWhenThereAreAny(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	signed := sign(t, newSigner(t, keys), card(t, "union"))
	changed := strings.Replace(string(signed), `"protocolVersion":"1.0"`, `"protocolVersion":"1.1"`, 1)
	if kid, err := cardsign.Verify([]byte(changed), keys.JWKS()); changed == string(signed) || !errors.Is(err, cardsign.ErrInvalid) {
		t.Errorf("a union card with another 1.0 half: %q, %v, want ErrInvalid", kid, err)
	}
	added := strings.Replace(string(sign(t, newSigner(t, keys), card(t, "old"))), "{",
		`{"supportedInterfaces":[{"url":"https://evil.example","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],`, 1)
	if kid, err := cardsign.Verify([]byte(added), keys.JWKS()); !errors.Is(err, cardsign.ErrInvalid) {
		t.Errorf("a 0.3 card with a 1.0 half: %q, %v, want ErrInvalid", kid, err)
	}
}

func TestVerify_WhatIsNoCardIsInvalid(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	for _, text := range []string{``, `[]`, `{"name":"a","name":"b","signatures":[{}]}`, `{"name":1,"signatures":[{"protected":"a","signature":"b"}]}`} {
		if _, err := cardsign.Verify([]byte(text), keys.JWKS()); !errors.Is(err, cardsign.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", text, err)
		}
	}
}

func TestCheckJWKS_TakesPublicKeysForSignatures(t *testing.T) {
	keys := newAgentKeys(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	jwk := func(key any, more string) string {
		t.Helper()
		text, err := json.Marshal(jose.JSONWebKey{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(text), "{", `{`+more+`,`, 1)
	}
	p256 := jwk(&keys.p256.PublicKey, `"kid":"a"`)
	encryption := jwk(&keys.rsa.PublicKey, `"use":"enc"`)
	var many []string
	for i := range 65 {
		many = append(many, jwk(&keys.p256.PublicKey, fmt.Sprintf(`"kid":"k%d"`, i)))
	}
	for _, test := range []struct{ name, jwks, want string }{
		{"one", set(p256), ""},
		{"all kinds", set(p256, jwk(&keys.p384.PublicKey, `"kid":"b"`), jwk(&keys.p521.PublicKey, `"kid":"c"`),
			jwk(&keys.rsa.PublicKey, `"kid":"d"`), jwk(keys.ed.Public(), `"kid":"e","alg":"Ed25519"`)), ""},
		{"beside a key for encryption", set(encryption, p256), ""},
		{"operations", set(jwk(&keys.p256.PublicKey, `"kid":"a","key_ops":["verify"]`)), ""},
		{"as many as may be", set(many[:64]...), ""},
		{"not JSON", "-----BEGIN PUBLIC KEY-----", "not a usable JSON Web Key Set"},
		{"a key without a set", p256, `it has no "keys"`},
		{"empty", set(), "it has no key that verifies"},
		{"for encryption alone", set(encryption), "it has no key that verifies"},
		{"for other operations", set(jwk(&keys.p256.PublicKey, `"kid":"a","key_ops":["encrypt"]`)), "it has no key that verifies"},
		{"private EC", set(p256, jwk(keys.p384, `"kid":"b"`)), `key 2: it has the private member "d"`},
		{"private RSA", set(jwk(keys.rsa, `"kid":"b"`)), `key 1: it has the private member "d"`},
		{"private for encryption", set(p256, jwk(keys.rsa, `"use":"enc"`)), "private"},
		{"symmetric", set(`{"kty":"oct","kid":"a","k":"c2VjcmV0"}`), `private member "k"`},
		{"symmetric without its key", set(`{"kty":"oct","kid":"a"}`), "symmetric"},
		{"no kid", set(jwk(&keys.p256.PublicKey, `"use":"sig"`)), "no kid"},
		{"same kid", set(p256, jwk(&keys.p384.PublicKey, `"kid":"a"`)), "key 2: another key has its kid"},
		{"small RSA", set(jwk(&small.PublicKey, `"kid":"a"`)), "an RSA key of 1024 bits"},
		{"algorithm of another kind", set(jwk(&keys.p256.PublicKey, `"kid":"a","alg":"RS256"`)), `alg "RS256" does not fit`},
		{"symmetric algorithm", set(jwk(&keys.p256.PublicKey, `"kid":"a","alg":"HS256"`)), `alg "HS256" does not fit`},
		{"Ed25519 of another kind", set(jwk(&keys.p256.PublicKey, `"kid":"a","alg":"Ed25519"`)), "does not fit"},
		{"unknown curve", set(`{"kty":"EC","crv":"secp256k1","kid":"a","x":"AA","y":"AA"}`), "key 1: "},
		{"unknown type", set(`{"kty":"XY","kid":"a"}`), "key 1: "},
		{"point off the curve", set(`{"kty":"EC","crv":"P-256","kid":"a","x":"` + strings.Repeat("A", 42) + `E","y":"` + strings.Repeat("A", 42) + `E"}`), "key 1: "},
		{"too many", set(many...), "more than 64 keys"},
		{"too large", set(p256) + strings.Repeat(" ", 64<<10), "more than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := cardsign.CheckJWKS([]byte(test.jwks))
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err == nil {
				return
			}
			_, verr := cardsign.Verify(card(t, "plain"), []byte(test.jwks))
			for _, other := range []error{cardsign.ErrUnsigned, cardsign.ErrNoKey, cardsign.ErrInvalid} {
				if verr == nil || errors.Is(verr, other) {
					t.Errorf("Verify: %v, want an error about the keys", verr)
				}
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	keys := openKeys(f, signkey.Config{})
	f.Add([]byte(`{"name":"a","signatures":[{"protected":"e30","signature":""}]}`), keys.JWKS())
	f.Add([]byte(`{"url":"u","signatures":[{"protected":"eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ","signature":"AA"}]}`), []byte(`{"keys":[{"kty":"EC"}]}`))
	f.Fuzz(func(t *testing.T, card, jwks []byte) {
		if kid, err := cardsign.Verify(card, jwks); (err == nil) == (kid == "") {
			t.Errorf("got %q, %v", kid, err)
		}
	})
}

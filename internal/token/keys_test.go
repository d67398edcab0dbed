package token_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/signalbox-dev/signalbox/internal/token"
)

func TestCheckKeySet(t *testing.T) {
	es, rs, ed := testKeys()["ES256"], testKeys()["RS256"], testKeys()["EdDSA"]
	one := strings.TrimSuffix(strings.TrimPrefix(jwks(t, es), `{"keys":[`), `]}`)
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	// changed is the key with members replaced.
	changed := func(s signer, changes map[string]any) string {
		var members map[string]any
		if err := json.Unmarshal([]byte(jwks(t, s)[9:len(jwks(t, s))-2]), &members); err != nil {
			t.Fatal(err)
		}
		maps.Copy(members, changes)
		b, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	encode := base64.RawURLEncoding.EncodeToString
	modulus := func(bits int) string {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return encode(n.SetBit(n, 0, 1).Bytes())
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = changed(es, map[string]any{"kid": fmt.Sprint(i)})
	}
	even := new(big.Int).Add(rs.private.Public().(*rsa.PublicKey).N, big.NewInt(1))
	for name, tt := range map[string]struct {
		document string
		ok       bool
	}{
		"one key":                           {set(one), true},
		"every type":                        {jwks(t, es, rs, ed, testKeys()["ES384"], testKeys()["ES512"]), true},
		"a hundred keys":                    {set(many[:100]...), true},
		"more than a hundred":               {set(many...), false},
		"nothing":                           {"", false},
		"not JSON":                          {"<html>", false},
		"a list":                            {"[" + one + "]", false},
		"no keys":                           {"{}", false},
		"an empty list":                     {set(), false},
		"keys is an object":                 {`{"keys":{}}`, false},
		"keys twice":                        {`{"keys":[],"keys":[` + one + `]}`, false},
		"something behind":                  {set(one) + "x", false},
		"a key that is no object":           {set("7"), false},
		"beside keys that cannot be used":   {set("7", `{"kty":"oct","k":"c2VjcmV0"}`, `{"kty":"XX"}`, changed(rs, map[string]any{"use": "enc"}), one), true},
		"only for encryption":               {set(changed(rs, map[string]any{"use": "enc"})), false},
		"key_ops without verify":            {set(changed(es, map[string]any{"key_ops": []string{"encrypt"}})), false},
		"key_ops with verify":               {set(changed(es, map[string]any{"key_ops": []string{"verify"}})), true},
		"key_ops is null":                   {set(changed(es, map[string]any{"key_ops": nil})), false},
		"a shared secret":                   {set(`{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}`), false},
		"a private key":                     {set(changed(es, map[string]any{"d": "AAAA"})), false},
		"a kid that is a number":            {set(changed(es, map[string]any{"kid": 7})), false},
		"certificates that are none":        {set(changed(es, map[string]any{"x5c": []string{"x"}, "x5t": 1, "x5u": "file:///etc/passwd"})), true},
		"a point off the curve":             {set(changed(es, map[string]any{"x": encode(make([]byte, 32))})), false},
		"a short coordinate":                {set(changed(es, map[string]any{"x": encode(make([]byte, 31))})), false},
		"an unknown curve":                  {set(changed(es, map[string]any{"crv": "secp256k1"})), false},
		"a key of X25519":                   {set(`{"kty":"OKP","crv":"X25519","x":"` + encode(make([]byte, 32)) + `"}`), false},
		"a short Ed25519 key":               {set(`{"kty":"OKP","crv":"Ed25519","x":"` + encode(make([]byte, 31)) + `"}`), false},
		"RSA of 1024 bits":                  {jwks(t, testKeys()["small"]), false},
		"RSA of 2047 bits":                  {set(changed(rs, map[string]any{"n": modulus(2047)})), false},
		"RSA of 4096 bits":                  {set(changed(rs, map[string]any{"n": modulus(4096)})), true},
		"RSA of 4097 bits":                  {set(changed(rs, map[string]any{"n": modulus(4097)})), false},
		"RSA of a million bits":             {set(changed(rs, map[string]any{"n": modulus(1 << 20)})), false},
		"an even modulus":                   {set(changed(rs, map[string]any{"n": encode(even.Bytes())})), false},
		"exponent 1":                        {set(changed(rs, map[string]any{"e": encode([]byte{1})})), false},
		"exponent 2":                        {set(changed(rs, map[string]any{"e": encode([]byte{2})})), false},
		"exponent 3":                        {set(changed(rs, map[string]any{"e": encode([]byte{3})})), true},
		"an exponent of 31 bits":            {set(changed(rs, map[string]any{"e": encode([]byte{0x7f, 0xff, 0xff, 0xff})})), true},
		"an exponent of 32 bits":            {set(changed(rs, map[string]any{"e": encode([]byte{0xff, 0xff, 0xff, 0xff})})), false},
		"an exponent of 65 bits":            {set(changed(rs, map[string]any{"e": encode([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})})), false},
		"no exponent":                       {set(changed(rs, map[string]any{"e": ""})), false},
		"nested too deep":                   {`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,"keys":[` + one + `]}`, false},
		"nested as deep as a parser can go": {`{"keys":` + strings.Repeat("[", 500_000), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := token.CheckKeySet(tt.document); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestVerify_TokensThatDoNotNameTheirKey(t *testing.T) {
	es, other, rs := testKeys()["ES256"], testKeys()["other"], testKeys()["RS256"]
	nameless := es
	nameless.kid = ""
	secret := es.sign(t, map[string]any{"kid": nil}, claims(nil))
	for name, tt := range map[string]struct {
		keys string
		ok   bool
	}{
		"one key":                      {jwks(t, es), true},
		"one key, without a name":      {jwks(t, nameless), true},
		"one for the algorithm":        {jwks(t, rs, es), true},
		"the same twice":               {jwks(t, es, es), true},
		"two for the algorithm":        {jwks(t, es, other), false},
		"the same under another name":  {jwks(t, es, nameless), false},
		"one for the algorithm, wrong": {jwks(t, other, rs), false},
		"none for the algorithm":       {jwks(t, rs), false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(issuer(tt.keys)), secret, epoch); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
	// One that names a key is not of a key that has no name, nor of another's.
	for _, keys := range []string{jwks(t, nameless), jwks(t, signer{kid: "x", alg: es.alg, private: es.private})} {
		if _, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(issuer(keys)), es.sign(t, nil, claims(nil)), epoch); err == nil {
			t.Error("a token of a key that the issuer does not have is accepted")
		}
	}
	// Two keys of one name: each may have signed.
	twin := other
	twin.kid = es.kid
	for _, s := range []signer{es, twin} {
		if _, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(issuer(jwks(t, es, twin))), s.sign(t, nil, claims(nil)), epoch); err != nil {
			t.Errorf("a token of one of two keys of a name: %v", err)
		}
	}
}

// TestVerify_KeysAreUsedWithTheirOwnCurve has the issuer's key sign with an algorithm of
// another curve, which ECDSA itself does not mind.
func TestVerify_KeysAreUsedWithTheirOwnCurve(t *testing.T) {
	for _, own := range []string{"ES256", "ES384", "ES512"} {
		for _, said := range []string{"ES256", "ES384", "ES512"} {
			s := testKeys()[own]
			keys := jwks(t, signer{kid: s.kid, private: s.private})
			method := jwt.GetSigningMethod(said).(*jwt.SigningMethodECDSA)
			signed := b64(`{"alg":"`+said+`","kid":"`+s.kid+`"}`) + "." +
				b64(fmt.Sprintf(`{"iss":%q,"sub":"ada","aud":"signalbox","exp":%d}`, issuerURL, epoch.Unix()+60))
			hash := method.Hash.New()
			hash.Write([]byte(signed))
			var sig []byte
			for range 100 { // numbers of a longer curve mostly do not fit
				r, v, err := ecdsa.Sign(rand.Reader, s.private.(*ecdsa.PrivateKey), hash.Sum(nil))
				if err != nil {
					t.Fatal(err)
				}
				if size := method.KeySize; len(r.Bytes()) <= size && len(v.Bytes()) <= size {
					sig = append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...)
					break
				}
			}
			if sig == nil {
				continue
			}
			_, err := newVerifier(t, token.Config{}).Verify(t.Context(), known(issuer(keys)), signed+"."+b64(string(sig)), epoch)
			if (err == nil) != (own == said) {
				t.Errorf("a token that says %s of a key for %s: %v", said, own, err)
			}
		}
	}
}

package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// malformed returns tokens of every kind that must not be believed, by what is wrong.
// All but those about signatures are signed by the issuer, and would hold otherwise.
func malformed(t testing.TB) map[string]string {
	s, forger := testKeys()["ES256"], testKeys()["other"]
	good := s.sign(t, nil, claims(nil))
	parts := strings.Split(good, ".")
	header := `{"alg":"ES256","kid":"es256"}`
	payload := fmt.Sprintf(`{"iss":%q,"sub":"ada","aud":"signalbox","exp":%d}`, issuerURL, epoch.Unix()+3600)
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	inHeader := func(h string) string { return s.signRaw(t, h, payload) }
	inPayload := func(p string) string { return s.signRaw(t, header, p) }
	with := func(name string, value any) string { return s.sign(t, nil, claims(map[string]any{name: value})) }
	// replaced puts raw JSON into the payload.
	replaced := func(old, by string) string {
		if !strings.Contains(payload, old) {
			t.Fatalf("the payload has no %s", old)
		}
		return inPayload(strings.Replace(payload, old, by, 1))
	}
	forgedHeader := func(h string) string { f := forger; return f.signRaw(t, h, payload) }
	hmacSigned := func(alg string, secret []byte) string {
		signed := b64(`{"alg":"`+alg+`","kid":"es256"}`) + "." + b64(payload)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + b64(string(mac.Sum(nil)))
	}
	der, err := x509.MarshalPKIXPublicKey(s.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	forgerJWK := strings.TrimSuffix(strings.TrimPrefix(jwks(t, forger), `{"keys":[`), `]}`)
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, signature...)
	flipped[10] ^= 1
	swapped := append(append([]byte{}, signature[32:]...), signature[:32]...)
	deep := func(depth int) string { return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) }

	return map[string]string{
		// Form.
		"empty":                         "",
		"one part":                      parts[0],
		"two parts":                     join(parts[0], parts[1]),
		"four parts":                    join(good, parts[2]),
		"five parts, as if encrypted":   join(good, parts[1], parts[2]),
		"dots alone":                    "..",
		"no header":                     join("", parts[1], parts[2]),
		"no payload":                    join(parts[0], "", parts[2]),
		"no signature":                  join(parts[0], parts[1], ""),
		"a space before":                " " + good,
		"a space behind":                good + " ",
		"a line break behind":           good + "\n",
		"a line break in the payload":   join(parts[0], parts[1][:8]+"\r\n"+parts[1][8:], parts[2]),
		"a line break in the signature": join(parts[0], parts[1], parts[2][:8]+"\n"+parts[2][8:]),
		"NUL":                           join(parts[0], parts[1], parts[2]+"\x00"),
		"padded":                        join(parts[0], parts[1], parts[2]+"=="),
		"standard base64":               join(b64url2std(parts[0])+"+/", parts[1], parts[2]),
		"bits that mean nothing":        join(parts[0], parts[1], nonCanonical(parts[2])),
		"percent signs":                 strings.ReplaceAll(good, ".", "%2e"),
		"no base64":                     "eyJ!.eyJ!.!!!!",
		"no UTF-8":                      "eyJ\xff.\xfe.\xfd",
		"two tokens":                    good + "," + good,
		"with its scheme":               "Bearer " + good,

		// Header.
		"a header that is no JSON":       inHeader("{alg:ES256}"),
		"a header that is a list":        inHeader(`["ES256"]`),
		"a header that is null":          inHeader("null"),
		"a header that ends early":       inHeader(`{"alg":"ES256"`),
		"two headers":                    inHeader(header + header),
		"a header with a comment":        inHeader(`{"alg":"ES256"/**/}`),
		"a byte order mark":              inHeader("\ufeff" + header),
		"alg twice":                      inHeader(`{"alg":"none","alg":"ES256","kid":"es256"}`),
		"alg twice, once with an escape": inHeader(`{"\u0061lg":"none","alg":"ES256","kid":"es256"}`),
		"kid twice":                      inHeader(`{"alg":"ES256","kid":"x","kid":"es256"}`),
		"a name twice within an object":  inHeader(`{"alg":"ES256","kid":"es256","x":{"y":1,"y":1}}`),
		"no alg":                         inHeader(`{"kid":"es256"}`),
		"alg is a number":                inHeader(`{"alg":256,"kid":"es256"}`),
		"alg is a list":                  inHeader(`{"alg":["ES256"],"kid":"es256"}`),
		"alg in lower case":              inHeader(`{"alg":"es256","kid":"es256"}`),
		"alg with a space":               inHeader(`{"alg":"ES256 ","kid":"es256"}`),
		"Alg":                            inHeader(`{"Alg":"ES256","kid":"es256"}`),
		"alg PS256":                      inHeader(`{"alg":"PS256","kid":"es256"}`),
		"alg ES256K":                     inHeader(`{"alg":"ES256K","kid":"es256"}`),
		"alg of another curve":           inHeader(`{"alg":"ES384","kid":"es256"}`),
		"alg of another type":            inHeader(`{"alg":"RS256","kid":"es256"}`),
		"critical extensions":            inHeader(`{"alg":"ES256","kid":"es256","crit":["exp"],"exp":1}`),
		"critical: b64":                  inHeader(`{"alg":"ES256","kid":"es256","crit":["b64"],"b64":false}`),
		"critical: none":                 inHeader(`{"alg":"ES256","kid":"es256","crit":[]}`),
		"critical: null":                 inHeader(`{"alg":"ES256","kid":"es256","crit":null}`),
		"a type of other tokens":         inHeader(`{"alg":"ES256","kid":"es256","typ":"logout+jwt"}`),
		"a type that is null":            inHeader(`{"alg":"ES256","kid":"es256","typ":null}`),
		"kid is a number":                inHeader(`{"alg":"ES256","kid":1}`),
		"kid is null":                    inHeader(`{"alg":"ES256","kid":null}`),
		"kid is long":                    inHeader(`{"alg":"ES256","kid":"` + strings.Repeat("k", 2000) + `"}`),
		"kid of a file":                  inHeader(`{"alg":"ES256","kid":"../../../dev/null"}`),
		"kid with a quote":               inHeader(`{"alg":"ES256","kid":"es256' OR '1'='1"}`),
		"a header that nests deep":       inHeader(`{"alg":"ES256","kid":"es256","x":` + deep(40) + `}`),
		"a header that nests very deep":  inHeader(`{"alg":"ES256","kid":"es256","x":` + strings.Repeat("[", 4000) + `}`),
		"a header with a lone surrogate": inHeader(`{"alg":"ES256","kid":"\ud800"}`),
		"a header that is not in UTF-8":  inHeader("{\"alg\":\"ES256\",\"kid\":\"es256\",\"x\":\"\xff\"}"),

		// Signatures.
		"alg none":                       join(b64(`{"alg":"none"}`), parts[1], ""),
		"alg none with a signature":      join(b64(`{"alg":"none","kid":"es256"}`), parts[1], parts[2]),
		"alg None":                       join(b64(`{"alg":"None","kid":"es256"}`), parts[1], parts[2]),
		"alg empty":                      join(b64(`{"alg":"","kid":"es256"}`), parts[1], parts[2]),
		"HS256 with the public key":      hmacSigned("HS256", public),
		"HS256 with nothing":             hmacSigned("HS256", nil),
		"HS512 with the public key":      hmacSigned("HS512", der),
		"an HMAC said to be ES256":       hmacSigned("ES256", public),
		"signed by somebody else":        forgedHeader(header),
		"with a key of its own":          forgedHeader(`{"alg":"ES256","jwk":` + forgerJWK + `}`),
		"with a key of its own, named":   forgedHeader(`{"alg":"ES256","kid":"es256","jwk":` + forgerJWK + `}`),
		"with keys at a URL":             forgedHeader(`{"alg":"ES256","kid":"other","jku":"https://forger.example.com/jwks"}`),
		"with a certificate at a URL":    forgedHeader(`{"alg":"ES256","kid":"other","x5u":"https://forger.example.com/cert"}`),
		"with a certificate":             forgedHeader(`{"alg":"ES256","kid":"other","x5c":["` + base64.StdEncoding.EncodeToString(der) + `"]}`),
		"a bit of the signature":         join(parts[0], parts[1], b64(string(flipped))),
		"the signature's halves swapped": join(parts[0], parts[1], b64(string(swapped))),
		"a signature of zeros":           join(parts[0], parts[1], b64(strings.Repeat("\x00", 64))),
		"a signature of ones":            join(parts[0], parts[1], b64(strings.Repeat("\xff", 64))),
		"a short signature":              join(parts[0], parts[1], b64(string(signature[:63]))),
		"a long signature":               join(parts[0], parts[1], b64(string(signature)+"\x00")),
		"a signature in DER":             join(parts[0], parts[1], b64("0D\x02 "+string(signature[:32])+"\x02 "+string(signature[32:]))),
		"another payload":                join(parts[0], b64(strings.Replace(payload, "ada", "bob", 1)), parts[2]),
		"another header":                 join(b64(header+" "), parts[1], parts[2]),
		"the signature of another token": join(parts[0], parts[1], strings.Split(with("sub", "bob"), ".")[2]),

		// Payload.
		"a payload that is no JSON":       inPayload("iss=x"),
		"a payload that is a text":        inPayload(`"` + issuerURL + `"`),
		"a payload that is a list":        inPayload("[" + payload + "]"),
		"a payload that is empty":         inPayload("{}"),
		"a payload that ends early":       inPayload(payload[:len(payload)-1]),
		"two payloads":                    inPayload(payload + payload),
		"a comma too many":                replaced(`}`, `,}`),
		"a payload with something behind": inPayload(payload + "x"),
		"sub twice":                       replaced(`"sub":"ada"`, `"sub":"bob","sub":"ada"`),
		"sub twice, once with an escape":  replaced(`"sub":"ada"`, `"s\u0075b":"bob","sub":"ada"`),
		"exp twice":                       replaced(`"exp"`, `"exp":1,"exp"`),
		"a payload that is not in UTF-8":  replaced("ada", "ad\xff"),
		"a payload with a lone surrogate": replaced("ada", `ad\udc00`),
		"a payload that nests deep":       replaced(`"ada"`, `"ada","x":`+deep(40)),
		"a payload that nests very deep":  replaced(`"ada"`, `"ada","x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)),
		"NaN":                             replaced(`"ada"`, `"ada","x":NaN`),
		"no iss":                          with("iss", nil),
		"iss is empty":                    with("iss", ""),
		"iss is a list":                   with("iss", []string{issuerURL}),
		"iss of somebody else":            with("iss", "https://forger.example.com"),
		"no sub":                          with("sub", nil),
		"sub is empty":                    with("sub", ""),
		"sub is a number":                 with("sub", 7),
		"sub is null":                     replaced(`"ada"`, "null"),
		"sub is long":                     with("sub", strings.Repeat("s", 256)),
		"sub with NUL":                    with("sub", "ada\x00"),
		"sub with a line break":           with("sub", "ada\nbob"),
		"sub with a control of Latin-1":   with("sub", "ada\u0085"),
		"no aud":                          with("aud", nil),
		"aud is empty":                    with("aud", ""),
		"aud is an empty list":            with("aud", []string{}),
		"aud is of somebody else":         with("aud", "billing"),
		"aud is nearly ours":              with("aud", []string{"Signalbox", "signalbox ", "signalbox/"}),
		"aud is a number":                 with("aud", 1),
		"aud is a list with a number":     with("aud", []any{"signalbox", 1}),
		"aud is an object":                with("aud", map[string]any{"signalbox": true}),
		"no exp":                          with("exp", nil),
		"exp is a text":                   with("exp", "4102444800"),
		"exp is null":                     replaced(`"exp"`, `"exp":null,"x"`),
		"exp is a list":                   with("exp", []int64{epoch.Unix() + 60}),
		"exp is below zero":               with("exp", -1),
		"exp is past any calendar":        with("exp", 1e15),
		"exp is past any number":          replaced(`"exp":`, `"exp":1e999,"x":`),
		"exp has passed":                  with("exp", epoch.Unix()-60),
		"nbf is a text":                   with("nbf", "0"),
		"nbf is later":                    with("nbf", epoch.Unix()+61),
		"iat is a text":                   with("iat", "yesterday"),
		"iat is later":                    with("iat", epoch.Unix()+61),
		"iat is in milliseconds":          with("iat", epoch.UnixMilli()),
	}
}

// b64url2std spells the letters of standard base64.
func b64url2std(s string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) }

// nonCanonical sets bits at the end of base64url that no byte has.
func nonCanonical(s string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, s[len(s)-1])
	return s[:len(s)-1] + string(digits[last|1])
}

func TestVerify_MalformedTokensAreRefused(t *testing.T) {
	is := known(issuer(jwks(t, testKeys()["ES256"])))
	v := newVerifier(t, token.Config{})
	good := testKeys()["ES256"].sign(t, nil, claims(nil))
	if _, err := v.Verify(t.Context(), is, good, epoch); err != nil {
		t.Fatalf("the token that they are made of: %v", err)
	}
	corpus := malformed(t)
	if len(corpus) < 60 {
		t.Errorf("the corpus has %d tokens", len(corpus))
	}
	for name, secret := range corpus {
		t.Run(name, func(t *testing.T) {
			p, err := v.Verify(t.Context(), is, secret, epoch)
			want := identity.ErrTokenInvalid
			switch name {
			case "iss of somebody else":
				want = identity.ErrCredentialsInvalid
			case "exp has passed":
				want = identity.ErrTokenExpired
			}
			if !errors.Is(err, want) {
				t.Errorf("got %v (%+v), want %v", err, p, want)
			} else if part := revealed(err.Error(), secret); part != "" && !strings.Contains(want.Error(), part) {
				t.Errorf("%q repeats %q of the token", err, part)
			}
		})
	}
}

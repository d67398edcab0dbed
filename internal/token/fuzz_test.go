package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// FuzzVerify compares with golang-jwt: what we believe, it does too.
func FuzzVerify(f *testing.F) {
	s := testKeys()["EdDSA"]
	f.Add(s.sign(f, nil, claims(nil)))
	for _, secret := range malformed(f) {
		f.Add(secret)
	}
	is := known(issuer(jwks(f, s)))
	v := newVerifier(f, token.Config{})
	f.Fuzz(func(t *testing.T, secret string) {
		p, err := v.Verify(t.Context(), is, secret, epoch)
		if err != nil {
			if !errors.Is(err, identity.ErrTokenInvalid) && !errors.Is(err, identity.ErrTokenExpired) && !errors.Is(err, identity.ErrCredentialsInvalid) {
				t.Errorf("%q: got %v", secret, err)
			}
			return
		}
		checkBelieved(t, s, secret, p)
	})
}

// FuzzVerifySigned has the issuer sign whatever a header and a payload are.
func FuzzVerifySigned(f *testing.F) {
	s := testKeys()["EdDSA"]
	f.Add(`{"alg":"EdDSA","kid":"eddsa"}`, `{"iss":"https://id.example.com","sub":"ada","aud":"signalbox","exp":1788267600}`)
	f.Add(`{"alg":"EdDSA","typ":"at+jwt"}`, `{"iss":"https://id.example.com","sub":"ada","aud":["signalbox"],"exp":1.7882676e9,"groups":["dev"],"a":{"b":"c"}}`)
	for _, secret := range malformed(f) {
		parts := strings.Split(secret, ".")
		if len(parts) == 3 {
			header, _ := jwt.NewParser().DecodeSegment(parts[0])
			payload, _ := jwt.NewParser().DecodeSegment(parts[1])
			f.Add(strings.NewReplacer("ES256", "EdDSA", "es256", "eddsa").Replace(string(header)), string(payload))
		}
	}
	i := issuer(jwks(f, s))
	i.Mappings = []identity.ClaimMapping{{Claim: "groups", Value: "dev", Team: "t"}, {Claim: "a.b", Value: "c", Team: "u", Role: "auditor"}}
	is := known(i)
	v := newVerifier(f, token.Config{})
	f.Fuzz(func(t *testing.T, header, payload string) {
		secret := s.signRaw(t, header, payload)
		p, err := v.Verify(t.Context(), is, secret, epoch)
		if err != nil {
			return
		}
		checkBelieved(t, s, secret, p)
		again, err := v.Verify(t.Context(), is, secret, epoch)
		if err != nil || again.Claims != p.Claims {
			t.Errorf("remembered: %v, %v", again, err)
		}
	})
}

// checkBelieved checks a token that was believed with another library.
func checkBelieved(t *testing.T, s signer, secret string, p identity.Principal) {
	t.Helper()
	var c jwt.RegisteredClaims
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{s.alg}), jwt.WithAudience("signalbox"), jwt.WithIssuer(issuerURL), jwt.WithExpirationRequired(),
		jwt.WithLeeway(2*token.MaxSkew), jwt.WithTimeFunc(func() time.Time { return epoch }),
	).ParseWithClaims(secret, &c, func(*jwt.Token) (any, error) { return s.private.Public(), nil })
	if err != nil {
		t.Errorf("%q is believed, and golang-jwt says %v", secret, err)
	}
	if p.Claims.Subject != c.Subject || p.UID == (identity.Principal{}).UID || p.Kind != identity.KindUser {
		t.Errorf("%q gave %+v", secret, p)
	}
}

// FuzzKeySet reads documents that an issuer may answer with.
func FuzzKeySet(f *testing.F) {
	for _, s := range testKeys() {
		f.Add(jwks(f, s))
	}
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":""}]}`)
	secret := testKeys()["ES256"].sign(f, nil, claims(nil))
	f.Fuzz(func(t *testing.T, document string) {
		if document == "" {
			t.Skip("that would be to fetch it")
		}
		err := token.CheckKeySet(document)
		_, verr := newVerifier(t, token.Config{}).Verify(t.Context(), known(issuer(document)), secret, epoch)
		if (err != nil) != errors.Is(verr, identity.ErrIssuerUnavailable) {
			t.Errorf("the set: %v; a token: %v", err, verr)
		}
	})
}

package cardsign_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/cardsign"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestSign_GivesTheSameBytesOnEveryReplica(t *testing.T) {
	shared := &memory{}
	want := sign(t, newSigner(t, openKeys(t, signkey.Config{Store: shared})), card(t, "rich"))
	got := sign(t, newSigner(t, openKeys(t, signkey.Config{Store: shared})), card(t, "rich"))
	if !bytes.Equal(got, want) {
		t.Errorf("signed\n%s\nand\n%s", got, want)
	}
}

func TestSign_NamesItsKeyAndTakesThePlaceOfOtherSignatures(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	signer := newSigner(t, keys)
	plain := card(t, "plain")
	stale := a2a.SetSignatures(plain, []a2a.Signature{{Protected: "stale", Signature: "stale"}})
	for name, from := range map[string][]byte{"unsigned": plain, "signed by another": stale, "signed before": sign(t, signer, plain)} {
		t.Run(name, func(t *testing.T) {
			signatures, err := a2a.CardSignatures(sign(t, signer, from))
			if err != nil || len(signatures) != 1 {
				t.Fatalf("%d signatures, %v, want 1", len(signatures), err)
			}
			protected, err := base64.RawURLEncoding.DecodeString(signatures[0].Protected)
			if err != nil {
				t.Fatal(err)
			}
			var header map[string]string
			if err := json.Unmarshal(protected, &header); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"alg": "ES256", "kid": kids(t, keys.JWKS())[0], "typ": "JOSE", "jku": jku}
			if diff := cmp.Diff(want, header); diff != "" {
				t.Errorf("protected header (-want +got)\n%s", diff)
			}
		})
	}
}

func TestSign_LeavesTheRestOfTheCardAsItIs(t *testing.T) {
	plain := card(t, "plain")
	signed := sign(t, newSigner(t, openKeys(t, signkey.Config{})), plain)
	if head := strings.TrimSuffix(strings.TrimSpace(string(plain)), "}"); !strings.HasPrefix(string(signed), head) {
		t.Errorf("signed %s, want it to begin as %s", signed, head)
	}
}

func TestSign_RefusesWhatIsNoCard(t *testing.T) {
	signer := newSigner(t, openKeys(t, signkey.Config{}))
	for _, text := range []string{``, `[]`, `{"name":1}`, `{"name":"a","name":"b"}`} {
		if got, err := signer.Sign([]byte(text), jku); err == nil {
			t.Errorf("signed %s as %s", text, got)
		}
	}
}

// The gateway's keys for tokens are published beside those for cards, so a card must never
// be one.
func TestSign_MakesNoTokenOfACard(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	signer := newSigner(t, keys)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(keys.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for name, claims := range map[string]string{
		"a card of 0.3":               `"iss":"forged","sub":"admin","aud":"agents/billing","exp":9999999999`,
		"one in capitals":             `"Iss":"forged"`,
		"one in letters that fold so": `"i\u017fs":"forged"`,
		"one claim":                   `"aud":"forged"`,
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf(`{"name":"A","description":"d","url":"https://gateway.example/a2a/a","protocolVersion":"0.3.0","version":"1",`+
				`"capabilities":{},"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],"skills":[],%s}`, claims)
			signed, err := signer.Sign([]byte(text), jku)
			if err != nil {
				return
			}
			card, err := a2a.ParseCard(signed)
			if err != nil {
				t.Fatal(err)
			}
			all, err := a2a.CanonicalForms(signed, card.Shape)
			if err != nil {
				t.Fatal(err)
			}
			signatures, err := a2a.CardSignatures(signed)
			if err != nil || len(signatures) == 0 {
				t.Fatalf("%d signatures, %v", len(signatures), err)
			}
			for _, form := range all {
				for _, s := range signatures {
					token := s.Protected + "." + base64.RawURLEncoding.EncodeToString(form) + "." + s.Signature
					jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
					if err != nil {
						t.Fatal(err)
					}
					payload, err := jws.Verify(set.Keys[0])
					if err == nil && bytes.Contains(payload, []byte("forged")) {
						t.Errorf("the gateway signed the token %s", payload)
					}
				}
			}
		})
	}
}

func TestSign_ConcurrentCallersGetTheirOwnCards(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	// Fewer are kept than there are.
	signer, err := cardsign.NewSigner(cardsign.SignerConfig{Keys: keys, CacheSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	jwks := keys.JWKS()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 20 {
				name := fmt.Sprintf("card-%d", i%10)
				signed, err := signer.Sign([]byte(strings.Replace(string(card(t, "plain")), "Plain", name, 1)), jku)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := cardsign.Verify(signed, jwks); err != nil || !strings.Contains(string(signed), `"name":"`+name+`"`) {
					t.Errorf("%s: %s: %v", name, signed, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkSign(b *testing.B) {
	keys := openKeys(b, signkey.Config{})
	text := []byte(`{"name":"Plain","supportedInterfaces":[{"url":"https://gateway.example/a2a/plain","protocolBinding":"JSONRPC"}]}`)
	for name, size := range map[string]int{"cached": 0, "not cached": 1} {
		b.Run(name, func(b *testing.B) {
			signer, err := cardsign.NewSigner(cardsign.SignerConfig{Keys: keys, CacheSize: size})
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				if _, err := signer.Sign(text, []string{jku, jku + "?"}[i%2*size]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

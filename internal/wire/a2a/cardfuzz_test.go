package a2a_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func cardSeeds() []string {
	return []string{
		card03, card10, cardUnion, fullUnion, `{"URL":"http://in","supported_interfaces":[{"Url":"http://in"}]}`,
		`{"url":"http://in","x":{"http:\/\/IN/a":[1,{"b":"see http://in"}]},"version":1.0,"skills":[null,{"tags":"t"}],"name":null}`,
		`{"supportedInterfaces":[{"url":"in:443"}],"capabilities":{"x":"dns:///in:443","extensions":[{"params":{"a":1e400}}]},"skills":[{"x":"\ud83d http:\/\/in:443"}]}`,
	}
}

// FuzzRewriteCard proves that whatever the agent's card is, what is served is a card of the wanted shape that
// leads to the gateway alone, and that rewriting it again changes nothing.
func FuzzRewriteCard(f *testing.F) {
	for _, card := range cardSeeds() {
		for mode := range byte(6) {
			f.Add([]byte(card), mode)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, mode byte) {
		edit := a2a.CardEdit{Shape: a2a.Shape(mode % 3), Interfaces: sixDialects, PushNotifications: mode/3%2 == 1}
		before, parseErr := a2a.ParseCard(raw)
		out, err := a2a.RewriteCard(raw, edit)
		if err != nil {
			if parseErr == nil {
				t.Fatalf("%s was read and is not rewritten: %v", raw, err)
			}
			return
		}
		checkServed(t, out, edit)
		checkAddresses(t, out, addressesIn(raw))
		card, err := a2a.ParseCard(out)
		switch {
		case err == nil:
			if card.Signed || card.Shape != edit.Shape || card.PushNotifications && (!edit.PushNotifications || parseErr == nil && !before.PushNotifications) {
				t.Errorf("%s became %+v", raw, card)
			}
			if parseErr == nil && (card.Streaming != before.Streaming || card.ExtendedCard != before.ExtendedCard) {
				t.Errorf("%+v became %+v", before, card)
			}
		case !strings.Contains(err.Error(), "in extensions"): // they are kept as they are
			t.Fatalf("%s became %s: %v", raw, out, err)
		}
		twice, err := a2a.RewriteCard(out, edit)
		if err != nil || !bytes.Equal(out, twice) {
			t.Errorf("rewriting again gives %s, %v, not %s", twice, err, out)
		}
	})
}

// FuzzCanonicalCard proves that what is signed is canonical, does not depend on the signatures, and, in 1.0,
// is the same for the card and for what was signed.
func FuzzCanonicalCard(f *testing.F) {
	for _, card := range cardSeeds() {
		f.Add([]byte(card), byte(0))
		f.Add([]byte(card), byte(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, shape byte) {
		forms, err := a2a.CanonicalForms(raw, a2a.Shape(shape%3))
		if err != nil {
			return
		}
		for i, form := range forms {
			if i > 0 && shape%3 != 0 {
				break // the others are not in the form of RFC 8785
			}
			again := jsontext.Value(bytes.Clone(form))
			if err := again.Canonicalize(); err != nil || !bytes.Equal(again, form) {
				t.Errorf("%s is not canonical: %s, %v", form, again, err)
			}
		}
		again, err := a2a.CanonicalCard(forms[0], a2a.Shape(shape%3))
		if err != nil || !bytes.Equal(again, forms[0]) {
			t.Errorf("%s became %s, %v", forms[0], again, err)
		}
		signatures := []a2a.Signature{{Protected: "p", Signature: "s"}}
		signed := a2a.SetSignatures(raw, signatures)
		if again, err := a2a.CanonicalCard(signed, a2a.Shape(shape%3)); err != nil || !bytes.Equal(again, forms[0]) {
			t.Errorf("signed it is %s, %v, not %s", again, err, forms[0])
		}
		got, err := a2a.CardSignatures(signed)
		if err != nil || !slices.EqualFunc(got, signatures, func(a, b a2a.Signature) bool { return a.Protected == b.Protected && a.Signature == b.Signature }) {
			t.Errorf("%s has the signatures %v, %v", signed, got, err)
		}
	})
}

// addressesIn returns the absolute addresses of the interfaces in a card, as a lenient reader finds them.
func addressesIn(card []byte) []string {
	type entry struct {
		URL any `json:"url"`
	}
	var top struct {
		URL        any             `json:"url"`
		Supported  json.RawMessage `json:"supportedInterfaces"`
		Additional json.RawMessage `json:"additionalInterfaces"`
	}
	if json.Unmarshal(card, &top) != nil {
		return nil
	}
	values := []any{top.URL}
	for _, list := range []json.RawMessage{top.Supported, top.Additional} {
		var entries []entry
		if json.Unmarshal(list, &entries) != nil {
			continue
		}
		for _, e := range entries {
			values = append(values, e.URL)
		}
	}
	var found []string
	for _, value := range values {
		url, _ := value.(string)
		if scheme, rest, ok := strings.Cut(url, "://"); ok && scheme != "" && rest != "" && !strings.Contains(gatewayURL, url) {
			found = append(found, url)
		}
	}
	return found
}

// checkAddresses looks for addresses of the agent where nobody but the protocol writes.
func checkAddresses(t *testing.T, card []byte, addresses []string) {
	t.Helper()
	top := looselyRead(t, card)
	// What is free text, or the owner's to say.
	for _, name := range []string{"name", "description", "version", "provider", "documentationUrl", "iconUrl", "defaultInputModes", "defaultOutputModes"} {
		delete(top, name)
	}
	if capabilities, ok := top["capabilities"].(map[string]any); ok {
		for _, name := range []string{"extensions", "streaming", "stateTransitionHistory"} {
			delete(capabilities, name)
		}
	}
	skills, _ := top["skills"].([]any)
	for _, skill := range skills {
		for _, name := range []string{"id", "name", "description", "tags", "examples", "inputModes", "outputModes"} {
			delete(skill.(map[string]any), name) //nolint:forcetypeassert // nothing else is a skill
		}
	}
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case string:
			for _, address := range addresses {
				if strings.Contains(v, address) {
					t.Errorf("%s is left in %s", address, card)
				}
			}
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			for name, element := range v {
				walk(name)
				walk(element)
			}
		}
	}
	walk(top)
}

package a2a_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// TestCanonicalForms_AreThoseOfTheSDKs compares with what the SDKs for Python (a2a-sdk 1.3.0) and JavaScript
// (@a2a-js/sdk 1.3.0) make of the same cards. The one for Go has neither signer nor verifier.
func TestCanonicalForms_AreThoseOfTheSDKs(t *testing.T) {
	cards := readVectors(t, "testdata/canonicalcards.json")
	// The cards in which something required, or inside parameters, is empty.
	withEmpty := []string{"empty members", "missing members", "empty parameters", "schemes", "old flows"}
	for _, c := range cards {
		t.Run(c.Name, func(t *testing.T) {
			parsed, err := a2a.ParseCard(c.Card)
			if err != nil {
				t.Fatal(err)
			}
			forms, err := a2a.CanonicalForms(c.Card, parsed.Shape)
			if err != nil {
				t.Fatal(err)
			}
			for sdk, want := range map[string]string{"Python": c.Python, "JavaScript": c.JS, "JavaScript's resolver": c.JSResolved} {
				if !slices.ContainsFunc(forms, func(f []byte) bool { return string(f) == want }) {
					t.Errorf("%s has\n%s\nand we have\n%s", sdk, want, forms)
				}
			}
			first, err := a2a.CanonicalCard(c.Card, parsed.Shape)
			if err != nil || string(first) != string(forms[0]) {
				t.Errorf("the first form is %s, and CanonicalCard returns %s, %v", forms[0], first, err)
			}
			if same := string(first) == c.Python; same == slices.Contains(withEmpty, c.Name) {
				t.Errorf("same as Python: %v\n%s\n%s", same, first, c.Python)
			}
		})
	}
}

// TestCanonicalForms_HasThatOfPythonInVersion03 compares with what a2a-sdk 0.3.26 makes of cards of 0.3. No other
// SDK of that version has signatures.
func TestCanonicalForms_HasThatOfPythonInVersion03(t *testing.T) {
	for _, c := range readVectors(t, "testdata/canonicalcards03.json") {
		t.Run(c.Name, func(t *testing.T) {
			parsed, err := a2a.ParseCard(c.Card)
			if err != nil {
				t.Fatal(err)
			}
			forms, err := a2a.CanonicalForms(c.Card, parsed.Shape)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Python, string(forms[len(forms)-1])); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Python would write another number than ours.
	forms, err := a2a.CanonicalForms([]byte(`{"url":"u","capabilities":{"extensions":[{"params":{"a":1.0}}]}}`), a2a.Shape03)
	if err != nil || len(forms) != 1 {
		t.Errorf("%s, %v", forms, err)
	}
}

// vector is a card and what SDKs make of it.
type vector struct {
	Name       string          `json:"name"`
	Card       json.RawMessage `json:"card"`
	Python     string          `json:"python"`
	JS         string          `json:"js"`
	JSResolved string          `json:"jsResolved"`
}

func readVectors(t *testing.T, file string) []vector {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cards []vector
	if err := json.Unmarshal(raw, &cards); err != nil {
		t.Fatal(err)
	}
	if len(cards) == 0 {
		t.Fatal("there are no cards")
	}
	return cards
}

func TestCanonicalCard_FollowsThePresenceRules(t *testing.T) {
	const empty = `"capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],"description":"","name":"","skills":[],"supportedInterfaces":[],"version":""}`
	tests := []struct {
		name, raw, want string
		shape           a2a.Shape
	}{
		{"required members are always there", `{}`, `{` + empty, a2a.Shape10},
		{
			"also those of its parts", `{"supportedInterfaces":[{}],"provider":{},"skills":[{"examples":[],"x":1}]}`,
			`{"capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],"description":"","name":"","provider":{"organization":"","url":""},` +
				`"skills":[{"description":"","id":"","name":"","tags":[]}],"supportedInterfaces":[{"protocolBinding":"","protocolVersion":"","url":""}],"version":""}`, a2a.Shape10,
		},
		{
			"optional ones when they are set", `{"capabilities":{"streaming":false,"extendedAgentCard":null,"extensions":[{"required":false}]},"documentationUrl":"","iconUrl":null}`,
			`{"capabilities":{"extensions":[{}],"streaming":false},"defaultInputModes":[],"defaultOutputModes":[],"description":"","documentationUrl":"",` +
				strings.TrimPrefix(empty, `"capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],"description":"",`), a2a.Shape10,
		},
		{
			"parameters stay as they are", `{"capabilities":{"extensions":[{"params":{"b":"","a":[],"n":null,"big":9007199254740993}},{"params":{ }}]}}`,
			`{"capabilities":{"extensions":[{"params":{"a":[],"b":"","big":9007199254740992,"n":null}},{}]},` + strings.TrimPrefix(empty, `"capabilities":{},`), a2a.Shape10,
		},
		{
			"a scheme that is only named", `{"securitySchemes":{"m":{"mtlsSecurityScheme":{"description":""}},"o":{"oauth2SecurityScheme":{}}}}`,
			strings.Replace(`{`+empty, `"skills"`, `"securitySchemes":{"m":{"mtlsSecurityScheme":{}},"o":{"oauth2SecurityScheme":{"flows":{}}}},"skills"`, 1), a2a.Shape10,
		},
		{
			"only the half of 1.0 of a union", `{"url":"u","protocolVersion":"0.3.0","securitySchemes":{"a":{"type":"http","scheme":"b","httpAuthSecurityScheme":{"scheme":"B"}}}}`,
			strings.Replace(`{`+empty, `"skills"`, `"securitySchemes":{"a":{"httpAuthSecurityScheme":{"scheme":"B"}}},"skills"`, 1), a2a.ShapeUnion,
		},
		{"other spellings are other members", `{"NAME":"n","iconURL":"i"}`, `{` + empty, a2a.Shape10},
		{
			"all of a card of 0.3", `{ "url":"u","x":[ ],"protocolVersion":"0.3.0","iconUrl":null,"signatures":[1] }`,
			`{"iconUrl":null,"protocolVersion":"0.3.0","url":"u","x":[]}`, a2a.Shape03,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a2a.CanonicalCard([]byte(tt.raw), tt.shape)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCanonicalCard_RefusesWhatHasNoOneForm(t *testing.T) {
	for name, raw := range map[string]string{
		"no JSON":               `{`,
		"no object":             `[]`,
		"a name twice":          `{"name":"a","name":"b"}`,
		"a number for a text":   `{"name":1}`,
		"a text for a flag":     `{"capabilities":{"streaming":"yes"}}`,
		"a text for a list":     `{"skills":"x"}`,
		"an object for a list":  `{"defaultInputModes":{}}`,
		"null in a list":        `{"skills":[null]}`,
		"a number in a list":    `{"defaultInputModes":[1]}`,
		"a list for a map":      `{"securitySchemes":[]}`,
		"a list for an object":  `{"provider":[]}`,
		"a list of parameters":  `{"capabilities":{"extensions":[{"params":[]}]}}`,
		"a scheme twice":        `{"securitySchemes":{"a":{},"a":{}}}`,
		"a parameter twice":     `{"capabilities":{"extensions":[{"params":{"a":1,"a":1}}]}}`,
		"a number too large":    `{"capabilities":{"extensions":[{"params":{"a":-1e400}}]}}`,
		"half an emoji":         `{"name":"\ud83d"}`,
		"a member of one twice": `{"provider":{"url":"a","url":"b"}}`,
	} {
		if got, err := a2a.CanonicalCard([]byte(raw), a2a.Shape10); !errors.Is(err, a2a.ErrNotCard) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if got, err := a2a.CanonicalForms([]byte(raw), a2a.ShapeUnion); !errors.Is(err, a2a.ErrNotCard) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestSetSignatures_IsReadAgain(t *testing.T) {
	const card = `{ "Signatures":[{"protected":"old"}], "name":"A" , "x":{"b": 1.0, "a":"\u003c"}}`
	signatures := []a2a.Signature{
		{Protected: "eyJhbGciOiJFUzI1NiJ9", Signature: "c2ln"},
		{Protected: "p", Signature: "s", Header: []byte(`{"x":1.0}`)},
	}
	signed := a2a.SetSignatures([]byte(card), signatures)
	const want = `{"name":"A","x":{"b": 1.0, "a":"\u003c"},"signatures":[{"protected":"eyJhbGciOiJFUzI1NiJ9","signature":"c2ln"},` +
		`{"protected":"p","signature":"s","header":{"x":1.0}}]}`
	if diff := cmp.Diff(want, string(signed)); diff != "" {
		t.Error(diff)
	}
	got, err := a2a.CardSignatures(signed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(signatures, got); diff != "" {
		t.Error(diff)
	}
	if got := a2a.SetSignatures(signed, nil); string(got) != `{"name":"A","x":{"b": 1.0, "a":"\u003c"}}` {
		t.Errorf("without signatures it is %s", got)
	}
	before, err := a2a.CanonicalCard([]byte(card), a2a.Shape10)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := a2a.CanonicalCard(signed, a2a.Shape10); err != nil || string(after) != string(before) {
		t.Errorf("signing changed what is signed from %s to %s, %v", before, after, err)
	}
	if got := a2a.SetSignatures([]byte(`[`), signatures); string(got) != `[` {
		t.Errorf("what is no card became %s", got)
	}
}

func TestCardSignatures_ReadsWhatItCan(t *testing.T) {
	got, err := a2a.CardSignatures([]byte(`{"signatures":[1,{"protected":2,"signature":"s","header":[]},null]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]a2a.Signature{{}, {Signature: "s"}, {}}, got); diff != "" {
		t.Error(diff)
	}
	for _, raw := range []string{`x`, `{"signatures":[{"protected":"a","protected":"b"}]}`} {
		if got, err := a2a.CardSignatures([]byte(raw)); !errors.Is(err, a2a.ErrNotCard) {
			t.Errorf("%s: %v, %v", raw, got, err)
		}
	}
}

package a2a_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdk "github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	sdkpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

var update = flag.Bool("update", false, "write the golden files anew")

const gatewayURL = "https://gw.example/a2a/alpha"

// sixDialects is what a gateway serves that speaks everything.
var sixDialects = []a2a.Served{
	{Dialect: a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10}, URL: gatewayURL},
	{Dialect: a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V03}, URL: gatewayURL},
	{Dialect: a2a.Dialect{Binding: a2a.REST, Version: a2a.V10}, URL: gatewayURL},
	{Dialect: a2a.Dialect{Binding: a2a.REST, Version: a2a.V03}, URL: gatewayURL},
	{Dialect: a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V10}, URL: "gw.example:443", Tenant: "alpha"},
	{Dialect: a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V03}, URL: "gw.example:443", Tenant: "alpha"},
}

var shapeNames = map[a2a.Shape]string{a2a.Shape10: "10", a2a.Shape03: "03", a2a.ShapeUnion: "union"}

// fullUnion is a card with everything that a card of either version may have.
const fullUnion = `{"x-first":[ 1.0 ],"protocolVersion":"0.3.0","name":"Alpha","description":"Demo","version":"2.1.0",
 "url":"http://10.0.0.7:9/a2a","preferredTransport":"HTTP+JSON","additionalInterfaces":[{"url":"http://10.0.0.7:9/a2a","transport":"HTTP+JSON"},{"url":"10.0.0.7:443","transport":"GRPC"}],
 "supportedInterfaces":[{"url":"http://10.0.0.7:9/a2a","protocolBinding":"HTTP+JSON","protocolVersion":"1.0","tenant":"acme"}],
 "provider":{"organization":"Ex","url":"http://10.0.0.7:9/about"},"documentationUrl":"http://10.0.0.7:9/docs","iconUrl":"http://10.0.0.7:9/i.png",
 "capabilities":{"streaming":true,"pushNotifications":true,"stateTransitionHistory":true,"extendedAgentCard":true,"x-cap":{"n":9007199254740993},"extensions":[{"uri":"https://e/1","params":{"at":"http://10.0.0.7:9"}}]},
 "supportsAuthenticatedExtendedCard":true,"securitySchemes":{"corp":{"type":"http","scheme":"basic","httpAuthSecurityScheme":{"scheme":"Basic"}}},
 "security":[{"corp":[]}],"securityRequirements":[{"schemes":{"corp":{"list":[]}}}],"defaultInputModes":["a"],"defaultOutputModes":["b"],
 "skills":[{"id":"s1","name":"S","description":"d","tags":["x"],"examples":["e"],"security":[{"corp":[]}],"securityRequirements":[{"schemes":{"corp":{"list":[]}}}],"x-skill":"\u003c"}],
 "signatures":[{"protected":"p","signature":"s"}],"x-last":{"b":1,"a":2}}`

func TestRewriteCard_ServesEveryCardInEveryShape(t *testing.T) {
	upstream := map[string]string{"03": card03, "10": card10, "union": fullUnion}
	for _, from := range []string{"03", "10", "union", "none"} {
		for shape, to := range shapeNames {
			t.Run(from+" as "+to, func(t *testing.T) {
				e := a2a.CardEdit{Shape: shape, Interfaces: sixDialects, PushNotifications: true}
				var got []byte
				if from == "none" {
					got = a2a.SynthesizeCard(a2a.Card{
						Name: `X "1"`, Description: "d", Streaming: true, ExtendedCard: true,
						Skills: []a2a.Skill{{ID: "s", Name: "S", Tags: []string{"a"}}},
					}, e)
				} else {
					var err error
					if got, err = a2a.RewriteCard([]byte(upstream[from]), e); err != nil {
						t.Fatal(err)
					}
				}
				golden(t, filepath.Join("testdata", "cards", from+"-as-"+to+".json"), got)
				checkServed(t, got, e)
				checkReaders(t, got, shape)
				twice, err := a2a.RewriteCard(got, e)
				if err != nil || !bytes.Equal(got, twice) {
					t.Errorf("rewriting again gives %s, %v", twice, err)
				}
				if _, err := a2a.CanonicalCard(got, shape); err != nil {
					t.Errorf("it cannot be signed: %v", err)
				}
			})
		}
	}
}

// golden compares a card with a file that shows it a member a line.
func golden(t *testing.T, file string, card []byte) {
	t.Helper()
	var shown bytes.Buffer
	if err := json.Indent(&shown, card, "", "  "); err != nil {
		t.Fatalf("%s: %v", card, err)
	}
	shown.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, shown.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), shown.String()); diff != "" {
		t.Error(diff)
	}
}

// The members that a card of one version must not have, wherever they stand.
var foreignMembers = map[a2a.Shape][]string{
	a2a.Shape10: {
		"protocolVersion", "url", "preferredTransport", "additionalInterfaces", "security", "supportsAuthenticatedExtendedCard",
		"capabilities.stateTransitionHistory", "skills.security", "securitySchemes.type", "securitySchemes.in",
	},
	a2a.Shape03: {
		"supportedInterfaces", "securityRequirements", "capabilities.extendedAgentCard", "skills.securityRequirements",
		"securitySchemes.httpAuthSecurityScheme", "securitySchemes.apiKeySecurityScheme",
	},
}

// neededMembers are those that a card must have, as the versions' schemas say.
var neededMembers = map[a2a.Shape][]string{
	a2a.Shape10: {"name", "description", "version", "capabilities", "defaultInputModes", "defaultOutputModes", "skills", "supportedInterfaces"},
	a2a.Shape03: {"name", "description", "version", "capabilities", "defaultInputModes", "defaultOutputModes", "skills", "url", "protocolVersion"},
}

// checkServed reads a served card as loosely as any reader does: it is of one shape, and nothing in it leads
// anywhere but to the gateway.
func checkServed(t *testing.T, card []byte, e a2a.CardEdit) {
	t.Helper()
	top := looselyRead(t, card)
	has := func(path string) bool {
		name, inner, nested := strings.Cut(path, ".")
		value, ok := top[name]
		if !nested {
			return ok
		}
		var parts []any
		switch v := value.(type) {
		case []any:
			parts = v
		case map[string]any:
			parts = []any{v}
			for _, part := range v {
				parts = append(parts, part)
			}
		}
		return slices.ContainsFunc(parts, func(part any) bool {
			object, _ := part.(map[string]any)
			_, ok := object[inner]
			return ok
		})
	}
	for _, path := range append(foreignMembers[e.Shape], "signatures", "tenant", "securityRequirements", "skills.security", "skills.securityRequirements") {
		if has(path) {
			t.Errorf("%s in %s", path, card)
		}
	}
	shapes := []a2a.Shape{e.Shape}
	if e.Shape == a2a.ShapeUnion {
		shapes = []a2a.Shape{a2a.Shape10, a2a.Shape03}
	}
	for _, shape := range shapes {
		for _, name := range neededMembers[shape] {
			if top[name] == nil {
				t.Errorf("no %s in %s", name, card)
			}
		}
	}
	skills, _ := top["skills"].([]any)
	for _, raw := range skills {
		skill, _ := raw.(map[string]any)
		for _, name := range []string{"id", "name", "description", "tags"} {
			if skill[name] == nil {
				t.Errorf("a skill has no %s in %s", name, card)
			}
		}
	}
	ours := func(version a2a.Version) []string {
		var found []string
		for _, s := range e.Interfaces {
			if s.Dialect.Version == version {
				found = append(found, s.URL+" "+s.Dialect.Binding.String())
			}
		}
		return found
	}
	if e.Shape != a2a.Shape03 {
		want := slices.Concat(suffixed(ours(a2a.V10), " 1.0"), suffixed(ours(a2a.V03), " 0.3"))
		checkEntries(t, card, top["supportedInterfaces"], want, "url", "protocolBinding", "protocolVersion")
	}
	if e.Shape != a2a.Shape10 {
		want := ours(a2a.V03)
		checkEntries(t, card, top["additionalInterfaces"], want, "url", "transport")
		if main := fmt.Sprint(top["url"], " ", top["preferredTransport"]); main != want[0] || top["protocolVersion"] != "0.3.0" {
			t.Errorf("the main interface is %s, want %s", main, want[0])
		}
	}
}

// looselyRead reads a card as JavaScript does.
func looselyRead(t *testing.T, card []byte) map[string]any {
	t.Helper()
	var top map[string]any
	dec := json.NewDecoder(bytes.NewReader(card))
	dec.UseNumber() // which may be of any size
	if err := dec.Decode(&top); err != nil {
		t.Fatalf("%s: %v", card, err)
	}
	return top
}

func suffixed(texts []string, suffix string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = text + suffix
	}
	return out
}

func checkEntries(t *testing.T, card []byte, list any, want []string, members ...string) {
	t.Helper()
	entries, _ := list.([]any)
	got := make([]string, 0, len(entries))
	for _, raw := range entries {
		entry, _ := raw.(map[string]any)
		var values []string
		for _, name := range members {
			values = append(values, fmt.Sprint(entry[name]))
			delete(entry, name)
		}
		if _, ok := entry["tenant"]; ok && values[len(values)-1] == "1.0" {
			delete(entry, "tenant")
		}
		if len(entry) > 0 {
			t.Errorf("an interface has besides %v in %s", entry, card)
		}
		got = append(got, strings.Join(values, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s in %s", diff, card)
	}
}

// checkReaders checks that clients can read a card: those of 1.0 built on encoding/json and on protobuf, and
// those that look for members of 0.3.
func checkReaders(t *testing.T, card []byte, shape a2a.Shape) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(card) }))
	defer server.Close()
	if shape != a2a.Shape03 {
		checkReader(t, "a2a-go", server, nil)
		var asProto sdkpb.AgentCard
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(card, &asProto); err != nil {
			t.Errorf("protobuf cannot read it: %v", err)
		}
		if got := asProto.GetSecuritySchemes()["signalbox"].GetHttpAuthSecurityScheme().GetScheme(); got != "Bearer" {
			t.Errorf("protobuf sees the scheme %q", got)
		}
	}
	if shape != a2a.Shape10 {
		checkReader(t, "a2a-go with 0.3", server, a2av0.NewAgentCardParser())
	}
}

func checkReader(t *testing.T, name string, server *httptest.Server, parser agentcard.Parser) {
	t.Helper()
	resolver := agentcard.Resolver{Client: server.Client(), CardParser: parser}
	got, err := resolver.Resolve(t.Context(), server.URL)
	if err != nil {
		t.Errorf("%s cannot read it: %v", name, err)
		return
	}
	if _, ok := got.SecuritySchemes["signalbox"].(sdk.HTTPAuthSecurityScheme); !ok {
		t.Errorf("%s sees the security schemes %v", name, got.SecuritySchemes)
	}
	if key, ok := got.SecuritySchemes["signalboxApiKey"].(sdk.APIKeySecurityScheme); !ok || key.Name != "x-api-key" || key.Location != "header" {
		t.Errorf("%s sees the security schemes %v", name, got.SecuritySchemes)
	}
	if len(got.SupportedInterfaces) == 0 {
		t.Errorf("%s sees no interfaces", name)
	}
	for _, i := range got.SupportedInterfaces {
		known := slices.ContainsFunc(sixDialects, func(s a2a.Served) bool {
			version, _ := a2a.ParseVersion(string(i.ProtocolVersion))
			return i.URL == s.URL && string(i.ProtocolBinding) == s.Dialect.Binding.String() && version == s.Dialect.Version
		})
		if !known {
			t.Errorf("%s sees the interface %v", name, i)
		}
	}
}

// TestRequirements_HaveNoFormThatAllClientsRead pins why rewritten cards of 1.0 leave them out. Once it fails
// because a2a-go reads the form of the specification, that form can be served.
func TestRequirements_HaveNoFormThatAllClientsRead(t *testing.T) {
	for form, want := range map[string]struct{ asGo, asProto bool }{
		`{"signalbox":{"list":[]}}`: {false, true},
		`{"signalbox":{}}`:          {false, true},
		`{"signalbox":[]}`:          {true, false},
		`{"signalbox":null}`:        {true, false},
	} {
		card := []byte(`{"securityRequirements":[{"schemes":` + form + `}]}`)
		if err := json.Unmarshal(card, new(sdk.AgentCard)); (err == nil) != want.asGo {
			t.Errorf("%s: a2a-go says %v", form, err)
		}
		if err := protojson.Unmarshal(card, new(sdkpb.AgentCard)); (err == nil) != want.asProto {
			t.Errorf("%s: protobuf says %v", form, err)
		}
	}
}

func TestRewriteCard_ServesWhatIsOffered(t *testing.T) {
	json10, json03, grpc10 := sixDialects[0], sixDialects[1], sixDialects[4]
	entry := func(s a2a.Served, tenant string) a2a.Interface {
		return a2a.Interface{URL: s.URL, Binding: s.Dialect.Binding.String(), Version: s.Dialect.Version, HasVersion: true, Tenant: tenant}
	}
	tests := []struct {
		name      string
		edit      a2a.CardEdit
		wantShape a2a.Shape
		want      []a2a.Interface
	}{
		{"1.0 goes first", a2a.CardEdit{Interfaces: []a2a.Served{json03, grpc10, json10}}, a2a.Shape10, []a2a.Interface{entry(grpc10, "alpha"), entry(json10, ""), entry(json03, "")}},
		{"a card of 1.0 of an agent served in 0.3 alone", a2a.CardEdit{Interfaces: []a2a.Served{json03}}, a2a.Shape10, []a2a.Interface{entry(json03, "")}},
		{"a card of 0.3 knows nothing of 1.0", a2a.CardEdit{Shape: a2a.Shape03, Interfaces: sixDialects[:2]}, a2a.Shape03, []a2a.Interface{entry(json03, "")}},
		{"a union without 0.3 is no union", a2a.CardEdit{Shape: a2a.ShapeUnion, Interfaces: []a2a.Served{json10}}, a2a.Shape10, []a2a.Interface{entry(json10, "")}},
		{"a union of 0.3 alone is one", a2a.CardEdit{Shape: a2a.ShapeUnion, Interfaces: []a2a.Served{json03}}, a2a.ShapeUnion, []a2a.Interface{entry(json03, "")}},
		{"nothing is served", a2a.CardEdit{Shape: a2a.Shape03}, a2a.Shape03, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := a2a.RewriteCard([]byte(card10), tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a2a.ParseCard(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Interfaces); diff != "" || got.Shape != tt.wantShape {
				t.Errorf("shape %v, %s", got.Shape, diff)
			}
		})
	}
}

package a2a_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	sdk "github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	sdkpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

const card03 = `{"protocolVersion":"0.3.1","name":"Alpha","description":"Demo <b>","version":"2.1.0",
 "url":"http://10.0.0.7:9/a2a","preferredTransport":"JSONRPC",
 "additionalInterfaces":[{"url":"http://10.0.0.7:9/a2a","transport":"JSONRPC"},{"url":"http://10.0.0.7:9/rest","transport":"HTTP+JSON"}],
 "iconUrl":"https://alpha.example/i.png","provider":{"organization":"Ex","url":"https://ex.example"},
 "capabilities":{"streaming":true,"pushNotifications":true,"stateTransitionHistory":false,"extensions":[{"uri":"https://e/1","required":true},{"uri":"https://e/2"}]},
 "securitySchemes":{"corp":{"type":"oauth2","flows":{"clientCredentials":{"tokenUrl":"https://idp/t","scopes":{}}}}},
 "security":[{"corp":["run"]}],"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],
 "skills":[{"id":"s1","name":"S","description":"d","tags":["x"],"security":[{"corp":["run"]}],"n":9007199254740993}],
 "supportsAuthenticatedExtendedCard":true,"signatures":[{"protected":"p","signature":"s"}],"x-own":{"b":1.0,"a":"\u003c"}}`

const card10 = `{"name":"Alpha","description":"Demo","version":"2.1.0","supportedInterfaces":[
  {"url":"http://10.0.0.7:9/a2a","protocolBinding":"JSONRPC","protocolVersion":"1.0","tenant":"acme"},
  {"url":"10.0.0.7:443","protocolBinding":"GRPC","protocolVersion":"1.0.0"},
  {"url":"http://10.0.0.7:9/v2","protocolBinding":"JSONRPC","protocolVersion":"2.0"},
  {"url":"http://10.0.0.7:9/none","protocolBinding":"JSONRPC"}],
 "capabilities":{"streaming":false,"extendedAgentCard":true},
 "securitySchemes":{"corp":{"futureSecurityScheme":{}}},"securityRequirements":[{"schemes":{"corp":{"list":["run"]}}}],
 "defaultInputModes":null,"defaultOutputModes":["text/plain"],
 "skills":[{"id":"s1","name":"S","description":"d","tags":null,"securityRequirements":[{"schemes":{"corp":{"list":[]}}}]}]}`

const cardUnion = `{"name":"U","description":"","version":"1","protocolVersion":"0.3.0","url":"http://10.0.0.7:9/old","preferredTransport":"JSONRPC",
 "supportedInterfaces":[{"url":"http://10.0.0.7:9/new","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],
 "capabilities":{"pushNotifications":true},"defaultInputModes":[],"defaultOutputModes":[],"skills":null}`

func TestParseCard_ReadsEveryShape(t *testing.T) {
	tests := []struct {
		name, raw string
		want      a2a.Card
	}{
		{"0.3", card03, a2a.Card{
			Name: "Alpha", Description: "Demo <b>", Version: "2.1.0", Shape: a2a.Shape03, Signed: true,
			Interfaces: []a2a.Interface{
				{URL: "http://10.0.0.7:9/a2a", Binding: "JSONRPC", Version: a2a.V03, HasVersion: true},
				{URL: "http://10.0.0.7:9/rest", Binding: "HTTP+JSON", Version: a2a.V03, HasVersion: true},
			},
			Streaming: true, PushNotifications: true, ExtendedCard: true, RequiredExtensions: []string{"https://e/1"},
			Skills: []a2a.Skill{{ID: "s1", Name: "S", Description: "d", Tags: []string{"x"}}},
		}},
		{"1.0", card10, a2a.Card{
			Name: "Alpha", Description: "Demo", Version: "2.1.0", Shape: a2a.Shape10,
			Interfaces: []a2a.Interface{
				{URL: "http://10.0.0.7:9/a2a", Binding: "JSONRPC", Version: a2a.V10, HasVersion: true, Tenant: "acme"},
				{URL: "10.0.0.7:443", Binding: "GRPC", Version: a2a.V10, HasVersion: true},
				{URL: "http://10.0.0.7:9/v2", Binding: "JSONRPC", HasVersion: true},
				{URL: "http://10.0.0.7:9/none", Binding: "JSONRPC", Version: a2a.V10},
			},
			ExtendedCard: true, Skills: []a2a.Skill{{ID: "s1", Name: "S", Description: "d"}},
		}},
		{"union", cardUnion, a2a.Card{
			Name: "U", Version: "1", Shape: a2a.ShapeUnion, PushNotifications: true,
			Interfaces: []a2a.Interface{
				{URL: "http://10.0.0.7:9/new", Binding: "JSONRPC", Version: a2a.V10, HasVersion: true},
				{URL: "http://10.0.0.7:9/old", Binding: "JSONRPC", Version: a2a.V03, HasVersion: true},
			},
		}},
		{"0.3 without version and transport", `{"url":"/a2a"}`, a2a.Card{
			Shape: a2a.Shape03, Interfaces: []a2a.Interface{{URL: "/a2a", Binding: "JSONRPC", Version: a2a.V03}},
		}},
		{"1.0 with 0.3 members empty", `{"supportedInterfaces":[],"url":"u","protocolVersion":"0.3"}`, a2a.Card{
			Shape: a2a.ShapeUnion, Interfaces: []a2a.Interface{{URL: "u", Binding: "JSONRPC", Version: a2a.V03, HasVersion: true}},
		}},
		{"snake_case", `{"supported_interfaces":[{"url":"u","protocol_binding":"JSONRPC","protocol_version":"1.0"}]}`, a2a.Card{
			Interfaces: []a2a.Interface{{URL: "u", Binding: "JSONRPC", Version: a2a.V10, HasVersion: true}},
		}},
		{"nothing but wrong types", `{"name":1,"supportedInterfaces":[1,null],"skills":{},"capabilities":[],"signatures":"x"}`, a2a.Card{
			Interfaces: []a2a.Interface{{Version: a2a.V10}, {Version: a2a.V10}},
		}},
		{"empty", `{}`, a2a.Card{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a2a.ParseCard([]byte(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseCard_Refuses(t *testing.T) {
	for name, raw := range map[string]string{
		"empty":                 ``,
		"HTML":                  `<html>`,
		"a list":                `[]`,
		"cut off":               card10[:100],
		"two values":            `{}{}`,
		"not UTF-8":             "{\"name\":\"\xff\"}",
		"url twice":             `{"url":"a","URL":"b"}`,
		"interfaces twice":      `{"supportedInterfaces":[],"supported_interfaces":[]}`,
		"url of interface":      `{"supportedInterfaces":[{"url":"a","Url":"b"}]}`,
		"url of another":        `{"url":"a","additionalInterfaces":[{"url":"a","Url":"b"}]}`,
		"capability twice":      `{"capabilities":{"pushNotifications":true,"push_notifications":false}}`,
		"skill's name twice":    `{"skills":[{"name":"a","name":"b"}]}`,
		"extension's uri twice": `{"capabilities":{"extensions":[{"uri":"a","uri":"b"}]}}`,
		"too deep":              `{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`,
	} {
		if got, err := a2a.ParseCard([]byte(raw)); !errors.Is(err, a2a.ErrNotCard) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if name == "url of another" || name == "url of interface" || name == "extension's uri twice" {
			continue // these are replaced, or of no concern, when a card is rewritten
		}
		if got, err := a2a.RewriteCard([]byte(raw), a2a.CardEdit{URL: "u", Version: a2a.V10}); !errors.Is(err, a2a.ErrNotCard) {
			t.Errorf("%s: rewritten to %s, %v", name, got, err)
		}
	}
}

func TestRewriteCard_ShowsOnlyTheGateway(t *testing.T) {
	const url = "https://gw.example/a2a/alpha"
	tests := []struct {
		name, raw, want string
		edit            a2a.CardEdit
	}{
		{
			"0.3", card03, `{"protocolVersion":"0.3.1","name":"Alpha","description":"Demo <b>","version":"2.1.0",` +
				`"url":"https://gw.example/a2a/alpha","preferredTransport":"JSONRPC",` +
				`"additionalInterfaces":[{"url":"https://gw.example/a2a/alpha","transport":"JSONRPC"}],` +
				`"iconUrl":"https://alpha.example/i.png","provider":{"organization":"Ex","url":"https://ex.example"},` +
				`"capabilities":{"streaming":true,"pushNotifications":false,"stateTransitionHistory":false,"extensions":[{"uri":"https://e/1","required":true},{"uri":"https://e/2"}]},` +
				`"securitySchemes":{"signalbox":{"type":"http","scheme":"bearer"}},"security":[{"signalbox":[]}],` +
				`"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],` +
				`"skills":[{"id":"s1","name":"S","description":"d","tags":["x"],"n":9007199254740993}],` +
				`"supportsAuthenticatedExtendedCard":true,"x-own":{"b":1.0,"a":"\u003c"}}`,
			a2a.CardEdit{Version: a2a.V03},
		},
		{
			"1.0", card10, `{"name":"Alpha","description":"Demo","version":"2.1.0",` +
				`"supportedInterfaces":[{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],` +
				`"capabilities":{"streaming":false,"extendedAgentCard":true,"pushNotifications":false},` +
				`"securitySchemes":{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}},` +
				`"defaultInputModes":[],"defaultOutputModes":["text/plain"],"skills":[{"id":"s1","name":"S","description":"d","tags":null}]}`,
			a2a.CardEdit{Version: a2a.V10, PushNotifications: true},
		},
		{
			"union", cardUnion, `{"name":"U","description":"","version":"1","protocolVersion":"0.3.0","url":"https://gw.example/a2a/alpha","preferredTransport":"JSONRPC",` +
				`"supportedInterfaces":[{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"1.0"},` +
				`{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"0.3"}],` +
				`"capabilities":{"pushNotifications":true},"defaultInputModes":[],"defaultOutputModes":[],"skills":[],` +
				`"securitySchemes":{"signalbox":{"type":"http","scheme":"bearer","httpAuthSecurityScheme":{"scheme":"Bearer"}}},"security":[{"signalbox":[]}]}`,
			a2a.CardEdit{Version: a2a.V10, Versions: []a2a.Version{a2a.V03, a2a.V10}, PushNotifications: true},
		},
		{
			"union served as 1.0 only", cardUnion, `{"name":"U","description":"","version":"1",` +
				`"supportedInterfaces":[{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],` +
				`"capabilities":{"pushNotifications":false},"defaultInputModes":[],"defaultOutputModes":[],"skills":[],` +
				`"securitySchemes":{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}}}`,
			a2a.CardEdit{Version: a2a.V10},
		},
		{
			"0.3 card of an agent that speaks 1.0", `{"url":"http://10.0.0.7","protocolVersion":"0.3.0","supportsAuthenticatedExtendedCard":true}`,
			`{"supportedInterfaces":[{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],` +
				`"securitySchemes":{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}},"capabilities":{"pushNotifications":false,"extendedAgentCard":true},` +
				`"defaultInputModes":[],"defaultOutputModes":[],"skills":[]}`,
			a2a.CardEdit{Version: a2a.V10},
		},
		{
			"1.0 card of an agent that speaks 0.3", `{"supportedInterfaces":[]}`,
			`{"supportedInterfaces":[{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"0.3"}],` +
				`"securitySchemes":{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}},"capabilities":{"pushNotifications":false},` +
				`"defaultInputModes":[],"defaultOutputModes":[],"skills":[]}`,
			a2a.CardEdit{Version: a2a.V03},
		},
		{
			"other spellings do not survive", `{"URL":"http://10.0.0.7","protocolVersion":"0.3.0","additional_interfaces":[{"url":"http://10.0.0.7"}],"Signatures":[1],"skills":[{"Security":[]}]}`,
			`{"url":"https://gw.example/a2a/alpha","protocolVersion":"0.3.0","additionalInterfaces":[{"url":"https://gw.example/a2a/alpha","transport":"JSONRPC"}],"skills":[{}],` +
				`"preferredTransport":"JSONRPC","securitySchemes":{"signalbox":{"type":"http","scheme":"bearer"}},"security":[{"signalbox":[]}],` +
				`"capabilities":{"pushNotifications":false},"defaultInputModes":[],"defaultOutputModes":[]}`,
			a2a.CardEdit{Version: a2a.V03},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.edit.URL = url
			got, err := a2a.RewriteCard([]byte(tt.raw), tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(string(got), "10.0.0.7") {
				t.Error("an internal address is left")
			}
			readBySDKs(t, got)
		})
	}
}

// readBySDKs checks that clients can read a card: those of 1.0 built on encoding/json and on protobuf, and
// those that look for members of 0.3.
func readBySDKs(t *testing.T, card []byte) {
	t.Helper()
	shape := struct {
		URL        string `json:"url"`
		Interfaces []any  `json:"supportedInterfaces"`
	}{}
	if err := json.Unmarshal(card, &shape); err != nil {
		t.Fatal(err)
	}
	parse := func(card []byte) (*sdk.AgentCard, error) {
		var c sdk.AgentCard
		return &c, json.Unmarshal(card, &c)
	}
	if shape.URL != "" {
		checkSDK(t, "a2a-go with 0.3", card, a2av0.NewAgentCardParser())
	}
	if len(shape.Interfaces) > 0 {
		checkSDK(t, "a2a-go", card, parse)
	}
	var asProto sdkpb.AgentCard
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(card, &asProto); err != nil {
		t.Errorf("protobuf cannot read it: %v", err)
	}
}

func checkSDK(t *testing.T, name string, card []byte, parse func([]byte) (*sdk.AgentCard, error)) {
	t.Helper()
	got, err := parse(card)
	if err != nil {
		t.Errorf("%s cannot read it: %v", name, err)
		return
	}
	if _, ok := got.SecuritySchemes["signalbox"].(sdk.HTTPAuthSecurityScheme); !ok {
		t.Errorf("%s sees the security schemes %v", name, got.SecuritySchemes)
	}
	if len(got.SupportedInterfaces) == 0 || got.SupportedInterfaces[0].URL != "https://gw.example/a2a/alpha" {
		t.Errorf("%s sees the interfaces %v", name, got.SupportedInterfaces)
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

func TestSynthesizeCard_MakesAValidCard(t *testing.T) {
	edit := a2a.CardEdit{URL: "https://gw.example/a2a/alpha", Version: a2a.V10}
	card := a2a.SynthesizeCard(a2a.Card{Name: `X "1"`, Description: "d", Streaming: true, PushNotifications: true, Skills: []a2a.Skill{{ID: "s", Name: "S", Tags: []string{"a"}}}}, edit)
	const want = `{"name":"X \"1\"","description":"d","version":"0.0.0","capabilities":{"streaming":true,"pushNotifications":false},` +
		`"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],"skills":[{"id":"s","name":"S","description":"","tags":["a"]}],` +
		`"supportedInterfaces":[{"url":"https://gw.example/a2a/alpha","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],` +
		`"securitySchemes":{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}}}`
	if diff := cmp.Diff(want, string(card)); diff != "" {
		t.Error(diff)
	}
	readBySDKs(t, card)
	if err := protojson.Unmarshal(card, new(sdkpb.AgentCard)); err != nil {
		t.Errorf("it has members that 1.0 does not have: %v", err)
	}
	edit.Version = a2a.V03
	old, err := a2a.ParseCard(a2a.SynthesizeCard(a2a.Card{Name: "X"}, edit))
	if err != nil {
		t.Fatal(err)
	}
	wantOld := a2a.Card{Name: "X", Version: "0.0.0", Shape: a2a.Shape03, Interfaces: []a2a.Interface{{URL: edit.URL, Binding: "JSONRPC", Version: a2a.V03, HasVersion: true}}}
	if diff := cmp.Diff(wantOld, old); diff != "" {
		t.Error(diff)
	}
}

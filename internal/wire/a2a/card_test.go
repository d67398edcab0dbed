package a2a_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
			Supported: 4,
			Name:      "Alpha", Description: "Demo", Version: "2.1.0", Shape: a2a.Shape10,
			Interfaces: []a2a.Interface{
				{URL: "http://10.0.0.7:9/a2a", Binding: "JSONRPC", Version: a2a.V10, HasVersion: true, Tenant: "acme"},
				{URL: "10.0.0.7:443", Binding: "GRPC", Version: a2a.V10, HasVersion: true},
				{URL: "http://10.0.0.7:9/v2", Binding: "JSONRPC", HasVersion: true},
				{URL: "http://10.0.0.7:9/none", Binding: "JSONRPC", Version: a2a.V10},
			},
			ExtendedCard: true, Skills: []a2a.Skill{{ID: "s1", Name: "S", Description: "d"}},
		}},
		{"union", cardUnion, a2a.Card{
			Supported: 1,
			Name:      "U", Version: "1", Shape: a2a.ShapeUnion, PushNotifications: true,
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
			Supported:  1,
			Interfaces: []a2a.Interface{{URL: "u", Binding: "JSONRPC", Version: a2a.V10, HasVersion: true}},
		}},
		{"nothing but wrong types", `{"name":1,"supportedInterfaces":[1,null],"skills":{},"capabilities":[],"signatures":"x"}`, a2a.Card{}},
		{"wrong types in 0.3", `{"url":"u","protocolVersion":3,"preferredTransport":null,"additionalInterfaces":["u",null,{"url":1}]}`, a2a.Card{
			Shape: a2a.Shape03, Interfaces: []a2a.Interface{
				{URL: "u", Binding: "JSONRPC", Version: a2a.V03}, {Binding: "JSONRPC", Version: a2a.V03},
			},
		}},
		{"bindings missing or in other spellings", `{"supportedInterfaces":[{"url":"a"},{"url":"b","protocolBinding":"http+json"},` +
			`{"url":"c","protocolBinding":"grpc ","protocolVersion":"0.3.0"},{"url":"d","protocolBinding":"https://b.example/own"},{"url":"e","transport":"jsonrpc"}]}`, a2a.Card{
			Supported: 5,
			Interfaces: []a2a.Interface{
				{URL: "a", Binding: "JSONRPC", Version: a2a.V10},
				{URL: "b", Binding: "HTTP+JSON", Version: a2a.V10},
				{URL: "c", Binding: "GRPC", Version: a2a.V03, HasVersion: true},
				{URL: "d", Binding: "https://b.example/own", Version: a2a.V10},
				{URL: "e", Binding: "JSONRPC", Version: a2a.V10},
			},
		}},
		{"members of 1.0 without anything in them", `{"supportedInterfaces":[],"url":"u","protocolVersion":"0.3.0","additionalInterfaces":[{"url":"u","transport":"JSONRPC"},{"url":"v","transport":"GRPC"}]}`, a2a.Card{
			Shape: a2a.ShapeUnion, Interfaces: []a2a.Interface{
				{URL: "u", Binding: "JSONRPC", Version: a2a.V03, HasVersion: true}, {URL: "v", Binding: "GRPC", Version: a2a.V03, HasVersion: true},
			},
		}},
		{"1.0 with the security of 0.3 and lists that are null", `{"supportedInterfaces":[{"url":"u","protocolBinding":"JSONRPC","protocolVersion":"1.0.0"}],` +
			`"security":[{"a":[]}],"securityRequirements":[{"schemes":{"a":["s"]}}],"securitySchemes":{"a":{"futureScheme":{}}},"skills":null,"defaultInputModes":null}`, a2a.Card{
			Supported:  1,
			Interfaces: []a2a.Interface{{URL: "u", Binding: "JSONRPC", Version: a2a.V10, HasVersion: true}},
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
		if got, err := a2a.RewriteCard([]byte(raw), a2a.CardEdit{}); !errors.Is(err, a2a.ErrNotCard) {
			t.Errorf("%s: rewritten to %s, %v", name, got, err)
		}
	}
}

package a2a_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// TestRewriteCard_Rules shows what becomes of single members. The rest of a card, which is the same each time,
// is left out: of 1.0 what TestRewriteCard_Rules calls rest10, of 0.3 what it calls rest03.
func TestRewriteCard_Rules(t *testing.T) {
	const (
		texts   = `,"name":"","description":"","version":""`
		modes   = `,"defaultInputModes":[],"defaultOutputModes":[]`
		served  = `,"supportedInterfaces":[]`
		scheme  = `,"securitySchemes":{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}},"signalboxApiKey":{"apiKeySecurityScheme":{"location":"header","name":"x-api-key"}}}`
		noPush  = `,"capabilities":{"pushNotifications":false}`
		rest10  = texts + modes + noPush + `,"skills":[]` + served + scheme
		rest03  = `,"protocolVersion":"0.3.0","url":"","preferredTransport":"JSONRPC","additionalInterfaces":[],"security":[{"signalbox":[]},{"signalboxApiKey":[]}]`
		scheme3 = `,"securitySchemes":{"signalbox":{"type":"http","scheme":"Bearer"},"signalboxApiKey":{"type":"apiKey","in":"header","name":"x-api-key"}}`
	)
	tests := []struct {
		name, raw, want string
		edit            a2a.CardEdit
	}{
		{"unknown members keep bytes and place", `{ "x" : [ 1.0 , "\u003c" ], "X_own":{"b" :1,"a":9007199254740993} }`, `"x":[ 1.0 , "\u003c" ],"X_own":{"b" :1,"a":9007199254740993}` + rest10, a2a.CardEdit{}},
		{
			"what must be there and is null", `{"version":null,"name":null,"skills":null,"defaultInputModes":null,"capabilities":null,"description":"d"}`,
			`"version":"","name":"","skills":[],"defaultInputModes":[],"capabilities":{"pushNotifications":false},"description":"d","defaultOutputModes":[]` + served + scheme,
			a2a.CardEdit{},
		},
		{
			"other types", `{"version":1.10,"name":true,"description":["x"],"skills":"none","defaultInputModes":"text","defaultOutputModes":{},"capabilities":[]}`,
			`"version":"1.10","name":"","description":"","skills":[],"defaultInputModes":[],"defaultOutputModes":[],"capabilities":{"pushNotifications":false}` + served + scheme,
			a2a.CardEdit{},
		},
		{
			"skills have what they must and no security", `{"skills":[{"id":"a","Security":[],"security_requirements":[],"x":1.0},null,"b",{"tags":["t"],"description":null,"name":7}]}`,
			`"skills":[{"id":"a","x":1.0,"name":"","description":"","tags":[]},{"tags":["t"],"description":"","name":"7","id":""}]` + texts + modes + noPush + served + scheme,
			a2a.CardEdit{},
		},
		{
			"known members get their spelling", `{"NAME":"n","default_input_modes":["a"],"icon_url":"i","capabilities":{"Streaming":true,"push_notifications":true}}`,
			`"name":"n","defaultInputModes":["a"],"iconUrl":"i","capabilities":{"streaming":true,"pushNotifications":true},"description":"","version":"","defaultOutputModes":[],"skills":[]` + served + scheme,
			a2a.CardEdit{PushNotifications: true},
		},
		{
			"what leads to the agent", `{"url":"HTTP://In:9/a2a","supportedInterfaces":[{"url":"in:443"}],"tenant":"t","Signatures":[],"a":{"b":["see http://IN:9/x"]},` +
				`"http:\/\/in:9":1,"c":"dns:///in:443","d":"\ud83d http:\/\/in:9","kept":"http://in:8","provider":{"url":"http://in:9"},"skills":[{"x":"in:443","examples":["http://in:9"]}]}`,
			`"supportedInterfaces":[],"kept":"http://in:8","provider":{"url":"http://in:9"},"skills":[{"examples":["http://in:9"],"id":"","name":"","description":"","tags":[]}]` +
				texts + modes + noPush + scheme,
			a2a.CardEdit{},
		},
		{
			"relative addresses are no words to look for", `{"url":"/","supportedInterfaces":[{"url":"a2a"},{"url":""}],"x":"a2a / "}`, `"supportedInterfaces":[],"x":"a2a / "` + texts + modes + noPush + `,"skills":[]` + scheme, a2a.CardEdit{},
		},
		{
			"the extended card of 0.3 in 1.0", `{"supportsAuthenticatedExtendedCard":true,"capabilities":{"stateTransitionHistory":true}}`,
			`"capabilities":{"pushNotifications":false,"extendedAgentCard":true}` + texts + modes + `,"skills":[]` + served + scheme,
			a2a.CardEdit{},
		},
		{
			"that there is none is said too", `{"supportsAuthenticatedExtendedCard":false}`,
			strings.TrimPrefix(texts, ",") + modes + `,"capabilities":{"pushNotifications":false,"extendedAgentCard":false},"skills":[]` + served + scheme,
			a2a.CardEdit{},
		},
		{
			"the extended card of 1.0 in 0.3", `{"capabilities":{"extendedAgentCard":true,"stateTransitionHistory":true},"securityRequirements":[],"supportedInterfaces":[]}`,
			`"capabilities":{"stateTransitionHistory":true,"pushNotifications":false}` + texts + modes + `,"supportsAuthenticatedExtendedCard":true,"skills":[]` + rest03 + scheme3,
			a2a.CardEdit{Shape: a2a.Shape03},
		},
		{
			"push where it works, of agents that have it", `{"capabilities":{"pushNotifications":true,"streaming":false}}`,
			`"capabilities":{"pushNotifications":true,"streaming":false}` + texts + modes + `,"skills":[]` + served + scheme,
			a2a.CardEdit{PushNotifications: true},
		},
		{"not of others", `{"capabilities":{}}`, `"capabilities":{"pushNotifications":false}` + texts + modes + `,"skills":[]` + served + scheme, a2a.CardEdit{PushNotifications: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a2a.RewriteCard([]byte(tt.raw), tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("{"+tt.want+"}", string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

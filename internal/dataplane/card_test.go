package dataplane_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

const signedCard = `{"name":"Signed","x-unknown":{"n":9007199254740993},"description":"d","version":"2",
 "supportedInterfaces":[{"url":"grpc.internal:443","protocolBinding":"GRPC","protocolVersion":"1.0"},
  {"url":"http://10.9.8.7:1/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0","tenant":"acme"}],
 "provider":{"organization":"Ex","url":"https://ex.example"},"documentationUrl":"https://ex.example/docs",
 "capabilities":{"streaming":true,"pushNotifications":true,"extendedAgentCard":true},
 "securitySchemes":{"corp":{"openIdConnectSecurityScheme":{"openIdConnectUrl":"https://idp.internal"}}},
 "securityRequirements":[{"schemes":{"corp":{"list":["run"]}}}],
 "defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],
 "skills":[{"id":"s","name":"S","description":"d","tags":["t"],"securityRequirements":[{"schemes":{"corp":{"list":[]}}}]}],
 "signatures":[{"protected":"e30","signature":"AA"}]}`

func TestCard_NamesTheGatewayAndNothingBehindIt(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	upstream := peers.StartHostile(t, peers.HostileConfig{})
	made := g.Agent("signed", "demo", upstream.URL, func(a *registryv1.Agent) { a.CardJson = []byte(signedCard) })
	if string(made.GetCardJson()) != signedCard {
		t.Errorf("the registry did not keep the card's bytes: %s", made.GetCardJson())
	}
	for _, path := range []string{"/.well-known/agent-card.json", "/.well-known/agent.json"} {
		for _, version := range []string{"", "1.0", "0.3"} {
			got := g.Do(http.MethodGet, "/a2a/signed"+path, key, "", "A2A-Version", version)
			text := string(got.Body)
			if got.Status != http.StatusOK || !strings.Contains(text, `"url":"`+g.AgentURL("signed")+`"`) {
				t.Fatalf("%s: HTTP %d, %s", path, got.Status, text)
			}
			for _, leak := range []string{"internal", "10.9.8.7", "acme", `"signature":"AA"`, `"corp"`, upstream.URL} {
				if strings.Contains(text, leak) {
					t.Errorf("%s: the card has %q: %s", path, leak, text)
				}
			}
			for _, kept := range []string{`"n":9007199254740993`, "https://ex.example/docs", `"scheme":"Bearer"`, `"pushNotifications":false`} {
				if !strings.Contains(text, kept) {
					t.Errorf("%s: the card lacks %q: %s", path, kept, text)
				}
			}
			var card struct {
				SupportedInterfaces []any `json:"supportedInterfaces"`
			}
			want := map[string]int{"": 6, "1.0": 6, "0.3": 0}[version]
			if err := json.Unmarshal(got.Body, &card); err != nil || len(card.SupportedInterfaces) != want {
				t.Errorf("%s: %d interfaces for version %q, want %d (%v): %s", path, len(card.SupportedInterfaces), version, want, err, got.Body)
			}
			if !strings.Contains(text, `"signatures":[{`) {
				t.Errorf("%s: the gateway did not sign", path)
			}
		}
	}
	// The tenant that the agent wants is put into the call, and the path is the card's.
	g.Call("signed", key, "SendMessage", gatewaytest.Message("m", "hi", ""))
	calls := upstream.Calls()
	last := calls[len(calls)-1]
	if last.Path != "/rpc" || !strings.Contains(string(last.Body), `"tenant":"acme"`) {
		t.Errorf("the call went to %s with %s", last.Path, last.Body)
	}
}

func TestCard_HasAnEntityTagThatSavesTheBody(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	const path = "/a2a/echo/.well-known/agent-card.json"
	first := g.Do(http.MethodGet, path, key, "")
	tag := first.Header.Get("Etag")
	if tag == "" || first.Header.Get("Cache-Control") == "" {
		t.Fatalf("no Etag or Cache-Control: %v", first.Header)
	}
	again := g.Do(http.MethodGet, path, key, "", "If-None-Match", `"other", W/`+tag)
	if again.Status != http.StatusNotModified || len(again.Body) != 0 {
		t.Errorf("HTTP %d with %d bytes, want 304 with none", again.Status, len(again.Body))
	}
	head := g.Do(http.MethodHead, path, key, "")
	if head.Status != http.StatusOK || len(head.Body) != 0 || head.Header.Get("Etag") != tag {
		t.Errorf("HEAD: HTTP %d, %d bytes, tag %s", head.Status, len(head.Body), head.Header.Get("Etag"))
	}
	if _, err := g.Registry.UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
		Agent: &registryv1.Agent{Name: "agents/echo", CardJson: []byte(signedCard)},
	}); err != nil {
		t.Fatal(err)
	}
	if changed := g.Do(http.MethodGet, path, key, "", "If-None-Match", tag); changed.Status != http.StatusOK {
		t.Errorf("a changed card: HTTP %d", changed.Status)
	}
}

func TestCard_IsSeenByThoseWhoMayCallAndPublicOnesByAll(t *testing.T) {
	g := gatewaytest.Start(t)
	own, other := g.Team("own"), g.Team("other")
	upstream := peers.StartHostile(t, peers.HostileConfig{})
	visibilities := map[string]registryv1.Visibility{
		"private": registryv1.Visibility_VISIBILITY_PRIVATE, "team": registryv1.Visibility_VISIBILITY_TEAM,
		"organization": registryv1.Visibility_VISIBILITY_ORGANIZATION, "public": registryv1.Visibility_VISIBILITY_PUBLIC,
	}
	for name, v := range visibilities {
		g.Agent(name, "own", upstream.URL, func(a *registryv1.Agent) { a.Visibility = v })
	}
	listed := func(key string) string { return string(g.Do(http.MethodGet, "/a2a", key, "").Body) }
	for _, caller := range []struct {
		name, key string
		sees      map[string]bool
	}{
		{"admin", g.AdminKey, map[string]bool{"private": true, "team": true, "organization": true, "public": true}},
		{"own team", own, map[string]bool{"private": true, "team": true, "organization": true, "public": true}},
		{"other team", other, map[string]bool{"organization": true, "public": true}},
	} {
		for name := range visibilities {
			card := g.Do(http.MethodGet, "/a2a/"+name+"/.well-known/agent-card.json", caller.key, "").Status == http.StatusOK
			call := g.Call(name, caller.key, "SendMessage", gatewaytest.Message("m", "hi", "")).Status == http.StatusOK
			list := strings.Contains(listed(caller.key), `"name":"`+name+`"`)
			if want := caller.sees[name]; card != want || call != want || list != want {
				t.Errorf("%s and the %s agent: card %v, call %v, list %v; want all %v", caller.name, name, card, call, list, want)
			}
		}
	}
	refused := map[string]string{}
	for _, name := range []string{"private", "team", "organization", "none"} {
		got := g.Do(http.MethodGet, "/a2a/"+name+"/.well-known/agent-card.json", "", "")
		if got.Status != http.StatusUnauthorized {
			t.Errorf("a stranger and the %s agent: HTTP %d", name, got.Status)
		}
		refused[string(got.Body)] = name
	}
	if len(refused) != 1 {
		t.Errorf("a stranger can tell agents apart: %v", refused)
	}
	if got := g.Do(http.MethodGet, "/a2a/public/.well-known/agent-card.json", "", ""); got.Status != http.StatusOK {
		t.Errorf("a stranger and the public agent: HTTP %d", got.Status)
	}
	if got := g.Do(http.MethodGet, "/a2a/public/.well-known/agent-card.json", "sb_wrong", ""); got.Status != http.StatusUnauthorized {
		t.Errorf("a wrong key and the public agent: HTTP %d", got.Status)
	}
	if got := g.Do(http.MethodGet, "/a2a", "", ""); got.Status != http.StatusUnauthorized {
		t.Errorf("a stranger and the list: HTTP %d", got.Status)
	}
	for _, e := range g.Events(`method="GetAgentCard" AND outcome=SUCCEEDED`, 1) {
		if e.GetAgent() == "" || e.GetDecision() == nil {
			t.Errorf("the event of a card lacks its agent or decision: %v", e)
		}
	}
	if n := len(g.Events(`method="ListAgents" AND outcome=SUCCEEDED`, 12)); n != 12 {
		t.Errorf("%d events of lists, want 12", n)
	}
}

func TestCard_UsesThePublicURLWhenThereIsOne(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.PublicURL = "https://agents.example.com/base/" })
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartHostile(t, peers.HostileConfig{}).URL)
	got := g.Do(http.MethodGet, "/a2a/echo/.well-known/agent-card.json", key, "")
	if !strings.Contains(string(got.Body), `"url":"https://agents.example.com/base/a2a/echo"`) {
		t.Errorf("%s", got.Body)
	}
}

func TestCard_TheExtendedCardIsRewrittenToo(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartExtended(t, signedCard)
	g.Agent("echo", "demo", agent.URL)
	got := g.Do(http.MethodPost, "/a2a/echo", key, `{"jsonrpc":"2.0","id":7,"method":"GetExtendedAgentCard"}`)
	text := string(got.Body)
	if !strings.Contains(text, g.AgentURL("echo")) || strings.Contains(text, "internal") || strings.Contains(text, `"signature":"AA"`) {
		t.Errorf("the extended card leaks or is not the gateway's: %s", text)
	}
	if body := string(agent.LastBody()); !strings.Contains(body, `"params":{`) {
		t.Errorf("the agent got %s, want params", body)
	}
	if e := g.Events(`method="GetExtendedAgentCard"`, 1)[0]; e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED {
		t.Errorf("the event says %s", e.GetOutcome())
	}
}

// signs is a signer that keeps where the keys of what it signs are.
type signs chan string

func (s signs) Sign(card []byte, jku string) ([]byte, error) {
	s <- jku
	return card, nil
}

// Whoever asks chooses the host, and a card's addresses are made of it.
func TestCard_IsSignedUnderTheGatewaysOwnAddressesOnly(t *testing.T) {
	for host, want := range map[string]int{"gateway.example:8080": 1, "evil.example": 0, "gateway.example:1": 0} {
		signer := make(signs, 8)
		gateway := newRig(t, rpc10, "", func(c *dataplane.Config) {
			c.CardSigner, c.OwnHosts = signer, []string{"gateway.example:8080"}
		}).serve(t)
		got := do(t, gatewaytest.Client, http.MethodGet, gateway.AgentURL("echo")+"/.well-known/agent-card.json", "", nil, ":authority", host)
		if got.Status != http.StatusOK || !strings.Contains(string(got.Body), "http://"+host+"/a2a/echo") {
			t.Errorf("%s: HTTP %d, %s", host, got.Status, got.Body)
		}
		if len(signer) != want {
			t.Errorf("%s: %d cards were signed, want %d", host, len(signer), want)
		}
	}
}

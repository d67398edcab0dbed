package dataplane_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

func TestForward_WhateverTheAgentDoesTheCallerGetsAnAnswerAndTheRecordIsRight(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Unary.Timeout = 5 * time.Second })
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	tests := []struct {
		behaviour  peers.Behaviour
		wantCode   int // 0 is a result
		wantReason string
		wantText   string
		outcome    auditv1.Outcome
	}{
		{peers.Proper, 0, "", "", auditv1.Outcome_OUTCOME_SUCCEEDED},
		{peers.Odd, 0, "", "", auditv1.Outcome_OUTCOME_SUCCEEDED},
		{peers.Status201, 0, "", "", auditv1.Outcome_OUTCOME_SUCCEEDED},
		{peers.Status500, -32001, "", "", auditv1.Outcome_OUTCOME_FAILED},
		{peers.HTML502, -32006, "INVALID_AGENT_RESPONSE", "HTTP 502 with text/html", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.HTML200, -32006, "INVALID_AGENT_RESPONSE", "HTTP 200 with text/html", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.Truncated, -32006, "INVALID_AGENT_RESPONSE", "", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.Empty, -32006, "INVALID_AGENT_RESPONSE", "", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.WrongID, -32006, "INVALID_AGENT_RESPONSE", "another request", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.Huge, -32006, "INVALID_AGENT_RESPONSE", "larger than", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.Redirect, -32006, "INVALID_AGENT_RESPONSE", "HTTP 307", auditv1.Outcome_OUTCOME_UNAVAILABLE},
		{peers.Hang, -31503, "UPSTREAM_TIMEOUT", "within 5s", auditv1.Outcome_OUTCOME_TIMED_OUT},
	}
	for _, tt := range tests {
		t.Run(string(tt.behaviour), func(t *testing.T) {
			mark := "upstream/" + string(tt.behaviour)
			got := g.Call("echo", key, "SendMessage", gatewaytest.Message(peers.HostilePrefix+string(tt.behaviour), "hi", ""), "User-Agent", mark)
			e := got.Error(t)
			if got.Status != http.StatusOK || e.Code != tt.wantCode || !strings.Contains(e.Message, tt.wantText) {
				t.Fatalf("HTTP %d, %+v; want code %d, text %q", got.Status, e, tt.wantCode, tt.wantText)
			}
			if tt.wantReason != "" && e.Info(t).Reason != tt.wantReason {
				t.Errorf("reason %s, want %s", e.Info(t).Reason, tt.wantReason)
			}
			if strings.Contains(string(got.Body), agent.URL) || strings.Contains(string(got.Body), "127.0.0.1") {
				t.Errorf("the reply names the agent's address: %.300s", got.Body)
			}
		})
	}
	if moved := agent.Redirected(); len(moved) != 0 {
		t.Errorf("%d redirects were followed", len(moved))
	}
	events := map[string]*auditv1.Event{}
	for _, e := range g.Events(`method="SendMessage"`, len(tests)) {
		if _, twice := events[e.GetUserAgent()]; twice {
			t.Errorf("two events for %s", e.GetUserAgent())
		}
		events[e.GetUserAgent()] = e
	}
	for _, tt := range tests {
		e := events["upstream/"+string(tt.behaviour)]
		if e.GetOutcome() != tt.outcome || int(e.GetError().GetCode()) != tt.wantCode || e.GetError().GetReason() != tt.wantReason {
			t.Errorf("%s: the event says %s, %v; want %s", tt.behaviour, e.GetOutcome(), e.GetError(), tt.outcome)
		}
		if e.GetEndpoint() != agent.URL || e.GetAgent() != "agents/echo" || e.GetTeam() != "teams/demo" || e.GetMessageId() == "" {
			t.Errorf("%s: the event is not complete: %v", tt.behaviour, e)
		}
	}
}

func TestForward_NoByteOfARequestOrReplyChanges(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	for _, version := range []string{peers.Version10, peers.Version03} {
		agent := peers.StartHostile(t, peers.HostileConfig{Version: version})
		name := map[string]string{peers.Version10: "new", peers.Version03: "old"}[version]
		g.Agent(name, "demo", agent.Base(peers.Odd))
		method := map[string]string{peers.Version10: "SendMessage", peers.Version03: "message/send"}[version]
		message := gatewaytest.Message("m<>&", "é \\u00e9", `,"zulu":[ 9007199254740993 , -0, 1E+2 ]`)
		if version == peers.Version03 {
			message = gatewaytest.Message03("m<>&", "é \\u00e9", `,"zulu":[ 9007199254740993 , -0, 1E+2 ]`)
		}
		body := ` { "x-first" : null , "params":` + message + `,"id" : 9007199254740993,"method":"` + method + `", "jsonrpc":"2.0" } `
		got := g.Do(http.MethodPost, "/a2a/"+name, key, body)
		if want := peers.OddReply(version, "9007199254740993"); string(got.Body) != want {
			t.Errorf("%s: the reply changed:\n got %s\nwant %s", version, got.Body, want)
		}
		calls := agent.Calls()
		if sent := string(calls[len(calls)-1].Body); sent != body {
			t.Errorf("%s: the request changed:\n got %s\nwant %s", version, sent, body)
		}
	}
}

func TestForward_OnlyTheProtocolsAndTheListedHeadersReachTheAgent(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL, func(a *registryv1.Agent) { a.ForwardHeaders = []string{"x-tenant"} })
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	g.Call("echo", key, "SendMessage", gatewaytest.Message("m", "hi", ""),
		"X-Api-Key", "sb_secret", "Cookie", "a=b", "X-Forwarded-For", "1.2.3.4", "X-User", "root", "X-Tenant", "blue",
		"Connection", "X-Hop", "X-Hop", "1", "Traceparent", traceparent, "Tracestate", "vendor=1",
		"X-A2a-Extensions", "https://example.com/ext/v1", "A2A-Version", "1.0")
	calls := agent.Calls()
	h := calls[len(calls)-1].Header
	want := map[string]string{
		"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "signalbox", "A2a-Version": "1.0",
		"X-Tenant": "blue", "Tracestate": "vendor=1", "A2a-Extensions": "https://example.com/ext/v1",
	}
	for name, value := range want {
		if h.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, h.Get(name), value)
		}
	}
	for name := range h {
		switch name {
		case "Traceparent", "Content-Length", "Accept-Encoding", "Host":
		default:
			if _, ok := want[name]; !ok {
				t.Errorf("header %s: %q reached the agent", name, h.Get(name))
			}
		}
	}
	parent := h.Get("Traceparent")
	if !strings.HasPrefix(parent, "00-0af7651916cd43dd8448eb211c80319c-") || strings.Contains(parent, "b7ad6b7169203331") || !strings.HasSuffix(parent, "-01") {
		t.Errorf("traceparent is %q, want the same trace under the gateway's span", parent)
	}
	e := g.Events(`agent="echo"`, 1)[0]
	if e.GetTraceId() != "0af7651916cd43dd8448eb211c80319c" || e.GetParentSpanId() != "b7ad6b7169203331" || e.GetSpanId() != parent[36:52] {
		t.Errorf("the event says trace %s, span %s, parent %s", e.GetTraceId(), e.GetSpanId(), e.GetParentSpanId())
	}
}

func TestForward_AnAgentThatIsDownIsSaidToBeDown(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := g.Agent("down", "demo", "http://127.0.0.1:9")
	if len(agent.GetWarnings()) == 0 {
		t.Errorf("no warning though no card was found")
	}
	got := g.Call("down", key, "SendMessage", gatewaytest.Message("m", "hi", ""))
	e := got.Error(t)
	if got.Status != http.StatusOK || e.Code != -31503 || e.Info(t).Reason != "UPSTREAM_UNREACHABLE" || got.Header.Get("Retry-After") == "" {
		t.Errorf("HTTP %d, %+v, Retry-After %q", got.Status, e, got.Header.Get("Retry-After"))
	}
	if outcome := g.Events(`agent="down"`, 1)[0].GetOutcome(); outcome != auditv1.Outcome_OUTCOME_UNAVAILABLE {
		t.Errorf("outcome %s", outcome)
	}
}

func TestForward_MirroredStatusesAreSentWhenAskedFor(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Errors.HTTPStatus = "mirror" })
	key := g.Team("demo")
	g.Agent("down", "demo", "http://127.0.0.1:9")
	if got := g.Call("down", key, "SendMessage", gatewaytest.Message("m", "hi", "")); got.Status != http.StatusServiceUnavailable {
		t.Errorf("HTTP %d, want 503", got.Status)
	}
}

func TestForward_AnAddressOutsideTheAllowedNetworksIsNotDialled(t *testing.T) {
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	g.Agent("echo", "demo", agent.URL)
	before := len(agent.Calls())
	// The same database, now without loopback allowed: registered is not permitted.
	strict := gatewaytest.StartOver(t, g.DSN, t.TempDir(), func(c *config.Config) { c.Upstream.AllowedNetworks = []string{"10.0.0.0/8"} })
	e := strict.Call("echo", key, "SendMessage", gatewaytest.Message("m", "hi", "")).Error(t)
	if e.Code != -31503 || !strings.Contains(e.Message, "upstream.allowed_networks") || strings.Contains(e.Message, "127.0.0.1") {
		t.Errorf("%+v; want the setting and no address", e)
	}
	if len(agent.Calls()) != before {
		t.Error("the agent was reached")
	}
}

func TestRoute_AnotherInstanceIsTriedOnlyWhenTheFirstSawNothing(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("two", "demo", agent.URL, func(a *registryv1.Agent) {
		a.Endpoints = append(a.Endpoints, &registryv1.Endpoint{Url: "http://127.0.0.1:9"})
	})
	for range 20 {
		if e := g.Call("two", key, "SendMessage", gatewaytest.Message("m", "hi", "")).Error(t); e.Code != 0 {
			t.Fatalf("a call failed though one instance is up: %+v", e)
		}
	}
	cut := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("cut", "demo", cut.URL, func(a *registryv1.Agent) {
		a.Endpoints = append(a.Endpoints, &registryv1.Endpoint{Url: cut.URL + "/again"})
	})
	before := len(cut.Calls())
	g.Call("cut", key, "SendMessage", gatewaytest.Message(peers.HostilePrefix+string(peers.Truncated), "hi", ""))
	if n := len(cut.Calls()) - before; n != 1 {
		t.Errorf("a call that the agent saw was sent %d times", n)
	}
}

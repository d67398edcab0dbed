package dataplane_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// stream opens a stream of agent echo, which behaves in a way.
func stream(g *gatewaytest.Gateway, key string, b peers.Behaviour) *http.Response {
	return g.Open(http.MethodPost, "/a2a/echo", key,
		gatewaytest.Request("SendStreamingMessage", gatewaytest.Message(peers.HostilePrefix+string(b), "hi", "")))
}

func TestStream_WhateverTheAgentDoesTheCallerGetsAnEndWithAReason(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{Delay: 50 * time.Millisecond})
	g.Agent("echo", "demo", agent.URL)
	tests := []struct {
		behaviour peers.Behaviour
		wantText  string // in the body
		wantError string // reason in the last event or reply; empty means none
		outcome   auditv1.Outcome
		wantJSON  bool
	}{
		{peers.Proper, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.CRLF, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.MultiLine, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.Pings, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.SlowHeaders, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.SlowFirst, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.NoLastBlank, peers.HostileChunk, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.JSONStream, `data: {`, "", auditv1.Outcome_OUTCOME_SUCCEEDED, false},
		{peers.ErrorFirst, `"error"`, "", auditv1.Outcome_OUTCOME_FAILED, true},
		{peers.Status500, `"error"`, "", auditv1.Outcome_OUTCOME_FAILED, true},
		{peers.CutStream, "data: {", "UPSTREAM_INTERRUPTED", auditv1.Outcome_OUTCOME_UNAVAILABLE, false},
		{peers.CutEvent, "data: {", "UPSTREAM_INTERRUPTED", auditv1.Outcome_OUTCOME_UNAVAILABLE, false},
		{peers.BigEvent, "data: {", "INVALID_AGENT_RESPONSE", auditv1.Outcome_OUTCOME_UNAVAILABLE, false},
		{peers.HTML502, "HTTP 502", "INVALID_AGENT_RESPONSE", auditv1.Outcome_OUTCOME_UNAVAILABLE, true},
		{peers.Empty, "", "INVALID_AGENT_RESPONSE", auditv1.Outcome_OUTCOME_UNAVAILABLE, true},
	}
	for _, tt := range tests {
		t.Run(string(tt.behaviour), func(t *testing.T) {
			resp := stream(g, key, tt.behaviour)
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatalf("the stream broke: %v", err)
			}
			text := string(body)
			if isJSON := resp.Header.Get("Content-Type") == "application/json"; isJSON != tt.wantJSON || resp.StatusCode != http.StatusOK {
				t.Errorf("HTTP %d with %s", resp.StatusCode, resp.Header.Get("Content-Type"))
			}
			if !strings.Contains(text, tt.wantText) || !strings.Contains(text, tt.wantError) {
				t.Errorf("the stream lacks %q or %q: %.600s", tt.wantText, tt.wantError, text)
			}
			if strings.Contains(text, agent.URL) || strings.Contains(text, "127.0.0.1") {
				t.Errorf("the stream names the agent's address: %.600s", text)
			}
		})
	}
	events := map[string]*auditv1.Event{}
	for _, e := range g.Events(`method="SendStreamingMessage"`, len(tests)) {
		events[strings.TrimPrefix(e.GetMessageId(), peers.HostilePrefix)] = e
	}
	if len(events) != len(tests) {
		t.Errorf("%d events, want %d", len(events), len(tests))
	}
	for _, tt := range tests {
		e := events[string(tt.behaviour)]
		if e.GetOutcome() != tt.outcome || e.GetError().GetReason() != tt.wantError {
			t.Errorf("%s: the event says %s, %v; want %s, %q", tt.behaviour, e.GetOutcome(), e.GetError(), tt.outcome, tt.wantError)
		}
	}
	if e := events[string(peers.Proper)]; e.GetTaskState() != "TASK_STATE_COMPLETED" || e.GetTaskId() == "" || e.GetStreamEvents() == 0 {
		t.Errorf("the event of a stream lacks its task: %v", e)
	}
}

func TestStream_EventsPassUnchangedAndAtOnce(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	resp := stream(g, key, peers.OddStream)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "data: "+peers.OddReply(peers.Version10, "7")+"\n") {
		t.Errorf("the event changed: %s, %v", body, err)
	}
	for name, want := range map[string]string{"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestStream_HeadersAndSignsOfLifeComeWhileTheAgentThinks(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) {
		c.Stream.HeaderDelay, c.Stream.KeepAlive = 20*time.Millisecond, 30*time.Millisecond
	})
	key := g.Team("demo")
	const delay = 2 * time.Second
	agent := peers.StartHostile(t, peers.HostileConfig{Delay: delay})
	g.Agent("echo", "demo", agent.URL)
	begin := time.Now()
	resp := stream(g, key, peers.SlowHeaders)
	defer func() { _ = resp.Body.Close() }()
	if took := time.Since(begin); took >= delay {
		t.Errorf("the headers took %s, as long as the agent's", took)
	}
	lines := bufio.NewScanner(resp.Body)
	comments := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), ":") {
			comments++
		}
		if strings.HasPrefix(lines.Text(), "data:") {
			break
		}
	}
	if comments < 3 {
		t.Errorf("%d comments came before the first event, want several", comments)
	}
}

func TestStream_ACallerThatLeavesNeitherStopsTheTaskNorLosesTheRecord(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Stream.HeaderDelay = 10 * time.Millisecond })
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{Delay: 300 * time.Millisecond})
	g.Agent("echo", "demo", agent.URL)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.AgentURL("echo"), strings.NewReader(
		gatewaytest.Request("SendStreamingMessage", gatewaytest.Message(peers.HostilePrefix+string(peers.SlowFirst), "hi", ""))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := gatewaytest.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // after the headers, before the first event
	_ = resp.Body.Close()
	e := g.Events(`method="SendStreamingMessage"`, 1)[0]
	if e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED || !e.GetCallerLeft() || e.GetTaskState() != "TASK_STATE_COMPLETED" {
		t.Errorf("the event says %s, caller left %v, task %s; want the task's own end", e.GetOutcome(), e.GetCallerLeft(), e.GetTaskState())
	}
}

func TestStream_ASilentAgentIsGivenUp(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) {
		c.Stream.Idle, c.Stream.HeaderDelay = 200*time.Millisecond, 10*time.Millisecond
	})
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	resp := stream(g, key, peers.Hang)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "UPSTREAM_TIMEOUT") || !strings.Contains(string(body), "silent for 200ms") {
		t.Errorf("%s, %v", body, err)
	}
}

func TestDrain_EndsWhatIsOpenWithAReasonAndARecord(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Stream.HeaderDelay = 10 * time.Millisecond })
	key := g.Team("demo")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("echo", "demo", agent.URL)
	resp := stream(g, key, peers.Hang)
	defer func() { _ = resp.Body.Close() }()
	go g.Stop()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "SHUTTING_DOWN") {
		t.Errorf("%s, %v", body, err)
	}
	g.Stop()
	again := gatewaytest.StartOver(t, g.DSN, g.DataDir)
	events := again.Events(`agent="echo"`, 1)
	if len(events) != 1 || events[0].GetOutcome() != auditv1.Outcome_OUTCOME_INTERRUPTED || events[0].GetError().GetReason() != "SHUTTING_DOWN" {
		t.Errorf("events after the drain: %v", events)
	}
}

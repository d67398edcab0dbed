package dataplane_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// streamError is an error as each binding shows it.
type streamError struct {
	code   int    // of JSON-RPC and of 0.3
	reason string // of ErrorInfo
	status string // of gRPC
}

var (
	noError     = streamError{}
	taskMissing = streamError{-32001, "TASK_NOT_FOUND", "5"}
	interrupted = streamError{-31503, "UPSTREAM_INTERRUPTED", "14"}
	invalid     = streamError{-32006, "INVALID_AGENT_RESPONSE", "13"}
)

// is tells whether a stream ended with the error. An agent's own error may come without
// details.
func (e streamError) is(down a2a.Dialect, end ending) bool {
	switch {
	case e == noError:
		return end.Reason == "" && end.Code == 0 && (end.GRPC == "0" || down.Binding != a2a.GRPC)
	case down.Binding == a2a.GRPC:
		return end.GRPC == e.status && (end.Reason == e.reason || end.Reason == "")
	case down.Binding == a2a.REST && down.Version == a2a.V10:
		return end.Reason == e.reason
	default:
		return end.Code == e.code && (end.Reason == e.reason || end.Reason == "")
	}
}

// hostileCase is what callers see of an agent's behaviour.
type hostileCase struct {
	behaviour peers.Behaviour
	bindings  string // which of "json" and "grpc" have it
	want      []item
	err       streamError
	plain     bool // the error comes without a stream
	outcome   auditv1.Outcome
	state     string // of the task, in the record
}

// hostileCases are tried in every cell.
func hostileCases() []hostileCase {
	const (
		succeeded   = auditv1.Outcome_OUTCOME_SUCCEEDED
		failed      = auditv1.Outcome_OUTCOME_FAILED
		unavailable = auditv1.Outcome_OUTCOME_UNAVAILABLE
		working     = "TASK_STATE_WORKING"
		completed   = "TASK_STATE_COMPLETED"
	)
	all := []item{taskItem("submitted"), stateItem("working"), chunkItem(peers.HostileChunk), stateItem("completed")}
	big := chunkItem(strings.Repeat("x", peers.MegabyteBytes))
	return []hostileCase{
		{peers.Proper, "json grpc", all, noError, false, succeeded, completed},
		{peers.CRLF, "json", all, noError, false, succeeded, completed},
		{peers.MultiLine, "json", all, noError, false, succeeded, completed},
		{peers.Pretty, "json", all, noError, false, succeeded, completed},
		{peers.Pings, "json", all, noError, false, succeeded, completed},
		{peers.NoLastBlank, "json", all, noError, false, succeeded, completed},
		{peers.Split, "json grpc", all, noError, false, succeeded, completed},
		{peers.SlowHeaders, "json grpc", all, noError, false, succeeded, completed},
		{peers.SlowFirst, "json grpc", all, noError, false, succeeded, completed},
		{peers.Megabyte, "json", []item{all[0], big, all[3]}, noError, false, succeeded, completed},
		{peers.Megabyte, "grpc", []item{all[0], all[1], big, all[3]}, noError, false, succeeded, completed},
		{peers.JSONStream, "json", []item{replyItem()}, noError, false, succeeded, ""},
		{peers.ErrorFirst, "json grpc", nil, taskMissing, true, failed, ""},
		{peers.TrailersOnly, "grpc", nil, taskMissing, true, failed, ""},
		{peers.Status500, "json", nil, taskMissing, true, failed, ""},
		{peers.ErrorEvent, "json grpc", all[:2], taskMissing, false, failed, working},
		{peers.CutStream, "json grpc", all[:2], interrupted, false, unavailable, working},
		{peers.CutEvent, "json grpc", all[:1], interrupted, false, unavailable, "TASK_STATE_SUBMITTED"},
		{peers.StatusMidway, "grpc", nil, interrupted, true, unavailable, ""},
		{peers.BigEvent, "json", all[:1], invalid, false, unavailable, "TASK_STATE_SUBMITTED"},
		{peers.BigEvent, "grpc", all[:2], invalid, false, unavailable, working},
		{peers.LongPrefix, "grpc", nil, invalid, true, unavailable, ""},
		{peers.NotProto, "grpc", nil, invalid, true, unavailable, ""},
		{peers.Compressed, "grpc", nil, invalid, true, unavailable, ""},
		{peers.NoStatus, "grpc", all[:1], invalid, false, failed, "TASK_STATE_SUBMITTED"},
		{peers.HTML502, "json grpc", nil, invalid, true, unavailable, ""},
		{peers.HTML200, "json grpc", nil, invalid, true, unavailable, ""},
		{peers.Empty, "json grpc", nil, invalid, true, unavailable, ""},
		// What follows the end is passed on, and what follows that and is none ends it.
		{peers.Trailing, "json", append(slices.Clone(all), all[2]), noError, false, succeeded, completed},
	}
}

// has tells whether agents of a dialect can behave so.
func (h hostileCase) has(up a2a.Dialect) bool {
	binding := "json"
	if up.Binding == a2a.GRPC {
		binding = "grpc"
	}
	return strings.Contains(h.bindings, binding)
}

func TestStreams_WhateverTheAgentDoesCallersOfAnyDialectGetItsEventsAndAnEndWithAReason(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	const delay = 10 * time.Millisecond
	addresses := map[a2a.Dialect]string{}
	for _, d := range a2a.Dialects {
		url, card := "", []byte(nil)
		if d.Binding == a2a.GRPC {
			h := peers.StartHostileGRPC(t, peers.Proper, delay)
			url, card = h.URL, h.Card(d.Version.String())
		} else {
			url = peers.StartHostile(t, peers.HostileConfig{Version: d.Version.String(), Binding: d.Binding, Delay: delay}).URL
		}
		addresses[d] = strings.TrimPrefix(url, "http://")
		g.Agent(agentOf(d), "demo", url, func(a *registryv1.Agent) { a.CardJson = card })
	}
	cases := hostileCases()
	calls := 0
	for _, d := range a2a.Dialects {
		for _, tt := range cases {
			if tt.has(d) {
				calls += len(a2a.Dialects)
			}
		}
	}
	eachCell(t, nil, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		for _, tt := range cases {
			if !tt.has(up) {
				continue
			}
			in := c.stream(t, "SendStreamingMessage", agentOf(up), peers.HostilePrefix+string(tt.behaviour))
			got := in.all()
			for i := range got {
				got[i].Final = "" // agents of HTTP+JSON say nothing of it
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s: the events are others (-want +got):\n%.1500s", tt.behaviour, diff)
			}
			if !tt.err.is(down, in.end) || in.end.Plain != (tt.plain && down.Binding != a2a.GRPC) || in.end.Broken {
				t.Errorf("%s: the end is %+v, want %+v, without a stream %t", tt.behaviour, in.end, tt.err, tt.plain)
			}
			if strings.Contains(in.text, addresses[up]) || strings.Contains(in.text, "127.0.0.1") {
				t.Errorf("%s: the error names the agent's address: %s", tt.behaviour, in.text)
			}
		}
	})
	type kind struct{ down, up, message string }
	seen := map[kind]bool{}
	for _, e := range g.Events(`method="SendStreamingMessage"`, calls) {
		k := kind{e.GetDialect(), e.GetUpstreamDialect(), e.GetMessageId()}
		if seen[k] {
			t.Errorf("%v: two events", k)
		}
		seen[k] = true
		i := slices.IndexFunc(cases, func(tt hostileCase) bool {
			grpc := strings.HasPrefix(k.up, "GRPC")
			return k.message == peers.HostilePrefix+string(tt.behaviour) && strings.Contains(tt.bindings, map[bool]string{true: "grpc", false: "json"}[grpc])
		})
		if i < 0 {
			t.Errorf("%v: an event of no call", k)
			continue
		}
		if tt := cases[i]; e.GetOutcome() != tt.outcome || int(e.GetError().GetCode()) != tt.err.code || e.GetTaskState() != tt.state {
			t.Errorf("%v: the event says %s, %v, %q; want %s, %d, %q", k, e.GetOutcome(), e.GetError(), e.GetTaskState(), tt.outcome, tt.err.code, tt.state)
		}
	}
	if len(seen) != calls {
		t.Errorf("%d events for %d calls", len(seen), calls)
	}
}

// Most SDKs ask for a stream and take nothing else; some of them see nothing of an error
// in plain JSON.
func TestStreams_AnErrorBeforeTheFirstEventIsAnEventForWhoTakesNothingElse(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	stages(t, g, func(sc *scene) { sc.fail() })
	eachCell(t, nil, func(t *testing.T, down, up a2a.Dialect) {
		json := down.Binding != a2a.GRPC
		for accept, plain := range map[string]bool{
			"text/event-stream":                   down.Binding == a2a.REST,
			"application/json, text/event-stream": json,
			"*/*":                                 json,
		} {
			in := newCaller(t, g, key, down).stream(t, "SendStreamingMessage", agentOf(up), "m", "Accept", accept)
			if got := in.all(); len(got) > 0 || !taskMissing.is(down, in.end) || in.end.Plain != plain {
				t.Errorf("who accepts %s gets %v and the end %+v, want an error without a stream: %t", accept, got, in.end, plain)
			}
		}
	})
}

// Once the headers are sent, which do not wait for ever, nothing but an event is left.
func TestStreams_AnErrorAfterTheHeadersIsAnEvent(t *testing.T) {
	g := gatewaytest.Start(t, func(c *config.Config) { c.Stream.HeaderDelay = 10 * time.Millisecond })
	key := g.Team("demo")
	var proofs signals
	stages(t, g, func(sc *scene) {
		if sc.wait(proofs.of("%s", sc.subject)) {
			sc.fail()
		}
	})
	eachCell(t, nil, func(t *testing.T, down, up a2a.Dialect) {
		in := newCaller(t, g, key, down).stream(t, "SendStreamingMessage", agentOf(up), subjectOf(down, up))
		close(proofs.of("%s", subjectOf(down, up)))
		if got := in.all(); len(got) > 0 || !taskMissing.is(down, in.end) || in.end.Plain || in.end.HTTP != 200 {
			t.Errorf("%v and the end %+v came, want an event with the error", got, in.end)
		}
	})
}

package dataplane_test

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// tally is what the record and the trace both say of a call.
type tally struct {
	Method, Dialect, Upstream string
	Task, Context, State      string
	Events                    int64
	Error                     int32
	Outcome                   string
	Bytes                     int64 // that the caller got, which the trace does not say
}

func TestEvents_AndSpansSayTheSameOfEveryCellsCalls(t *testing.T) {
	c := startCollector(t)
	g := gatewaytest.Start(t, func(cfg *config.Config) { cfg.Telemetry.OTLPEndpoint = c.url })
	key := g.Team("demo")
	type script struct {
		op     string
		play   []item
		fail   bool
		events int64
		state  string
		err    int32
	}
	scripts := map[string]script{
		"unary":     {op: "SendMessage", state: "TASK_STATE_WORKING"},
		"completed": {op: "SendStreamingMessage", play: []item{taskItem("submitted"), chunkItem("one"), last("completed")}, events: 3, state: "TASK_STATE_COMPLETED"},
		"waiting":   {op: "SendStreamingMessage", play: []item{taskItem("submitted"), last("input-required")}, events: 2, state: "TASK_STATE_INPUT_REQUIRED"},
		// An error inside of a stream counts as one of its events, also where it is in trailers.
		"broken": {op: "SendStreamingMessage", play: []item{taskItem("submitted"), stateItem("working")}, fail: true, events: 3, state: "TASK_STATE_WORKING", err: -32001},
		"failed": {op: "SendStreamingMessage", fail: true, err: -32001},
		"read":   {op: "GetTask", state: "TASK_STATE_WORKING"},
		"lost":   {op: "GetTask", err: -32001},
	}
	play := func(sc *scene) {
		name, _, _ := strings.Cut(sc.subject, "-")
		s := scripts[name]
		if sc.send(s.play...); s.fail {
			sc.fail()
			return
		}
		sc.end()
	}
	stages(t, g, play)
	for _, d := range a2a.Dialects {
		newStage(t, g, d, "lost-"+agentOf(d), play).task = item{}
	}
	const caller = "00f067aa0ba902b7"
	var counter atomic.Int64
	var mu sync.Mutex
	want := map[string]tally{}
	eachCell(t, nil, func(t *testing.T, down, up a2a.Dialect) {
		cl := newCaller(t, g, key, down)
		for name, s := range scripts {
			trace := fmt.Sprintf("4bf92f3577b34da6%016x", counter.Add(1))
			agent, subject := agentOf(up), name+"-"+subjectOf(down, up)
			task := "task-" + subject
			if s.op == "GetTask" {
				if name == "lost" {
					agent = "lost-" + agent
				}
				begin(t, cl, agent, subject)
				subject = task
			}
			resp, err := cl.open(t.Context(), s.op, agent, subject, "Traceparent", parentOf(trace, caller))
			if err != nil {
				t.Fatal(err)
			}
			size, err := io.Copy(io.Discard, resp.Body)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_ = resp.Body.Close()
			n := tally{
				Method: s.op, Dialect: down.String(), Upstream: up.String(), Task: task, Context: "c-" + task,
				State: s.state, Events: s.events, Error: s.err, Outcome: "succeeded", Bytes: size,
			}
			if s.err != 0 {
				n.Outcome = "failed"
			}
			switch name {
			case "failed":
				n.Task, n.Context, n.Events = "", "", 0
			case "lost":
				n.Context = ""
			}
			mu.Lock()
			want[trace] = n
			mu.Unlock()
		}
	})
	events := map[string]tally{}
	for _, e := range g.Events("", len(want)) {
		if _, ours := want[e.GetTraceId()]; !ours {
			continue // the calls that begin tasks, and what is no call
		}
		events[e.GetTraceId()] = tally{
			Method: e.GetMethod(), Dialect: e.GetDialect(), Upstream: e.GetUpstreamDialect(),
			Task: e.GetTaskId(), Context: e.GetContextId(), State: e.GetTaskState(), Events: int64(e.GetStreamEvents()),
			Error: int32(e.GetError().GetCode()), Outcome: strings.ToLower(strings.TrimPrefix(auditv1.Outcome_name[int32(e.GetOutcome())], "OUTCOME_")),
			Bytes: e.GetResponseBytes(),
		}
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("the events say otherwise (-want +got):\n%.4000s", diff)
	}
	g.Stop() // sends what is left
	spans := map[string]tally{}
	for trace, w := range want {
		all := c.of(trace)
		if len(all) != 1 {
			t.Fatalf("%+v has %d spans, want 1", w, len(all))
		}
		a := attributes(all[0])
		n := tally{
			Method: a["rpc.method"], Dialect: a["signalbox.dialect"], Upstream: a["signalbox.upstream_dialect"],
			Task: a["a2a.task.id"], Context: a["a2a.context.id"], State: a["a2a.task.state"], Outcome: strings.ToLower(a["signalbox.outcome"]),
			Bytes: w.Bytes,
		}
		n.Events, _ = strconv.ParseInt(a["a2a.stream.event.count"], 10, 64)
		code, _ := strconv.ParseInt(a["a2a.error.code"], 10, 32)
		n.Error = int32(code)
		spans[trace] = n
		system := map[a2a.Binding]string{a2a.JSONRPC: "jsonrpc", a2a.REST: "http", a2a.GRPC: "grpc"}
		for _, d := range a2a.Dialects {
			if d.String() == n.Dialect && a["rpc.system"] != system[d.Binding] {
				t.Errorf("%+v has the rpc.system %q", n, a["rpc.system"])
			}
		}
	}
	if diff := cmp.Diff(want, spans); diff != "" {
		t.Errorf("the spans say otherwise (-want +got):\n%.4000s", diff)
	}
}

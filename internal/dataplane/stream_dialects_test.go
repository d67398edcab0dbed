package dataplane_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// agentOf is the name of the agent that speaks a dialect.
func agentOf(d a2a.Dialect) string {
	return "agent-" + strings.NewReplacer("/", "-", "+", "-", ".", "").Replace(strings.ToLower(d.String()))
}

// eachCell runs a test for pairs of a caller's and an agent's dialect, at once. It
// returns when all have ended.
func eachCell(t *testing.T, pair func(down, up a2a.Dialect) bool, test func(t *testing.T, down, up a2a.Dialect)) {
	t.Helper()
	t.Run("cells", func(t *testing.T) {
		for _, up := range a2a.Dialects {
			for _, down := range a2a.Dialects {
				if pair == nil || pair(down, up) {
					t.Run(down.String()+" to "+up.String(), func(t *testing.T) {
						t.Parallel()
						test(t, down, up)
					})
				}
			}
		}
	})
}

func fromOldToNew(down, up a2a.Dialect) bool { return up.Version == a2a.V03 && down.Version == a2a.V10 }

func fromNewToOld(down, up a2a.Dialect) bool { return up.Version == a2a.V10 && down.Version == a2a.V03 }

// stages starts an agent of every dialect.
func stages(t *testing.T, g *gatewaytest.Gateway, play func(*scene)) map[a2a.Dialect]*stage {
	t.Helper()
	all := map[a2a.Dialect]*stage{}
	for _, d := range a2a.Dialects {
		all[d] = newStage(t, g, d, agentOf(d), play)
	}
	return all
}

// seen are items as a caller of a dialect must see them.
func seen(down, up a2a.Dialect, items ...item) []item {
	var want []item
	for _, i := range items {
		switch {
		case i.Kind != "status-update" || down.Version == a2a.V10:
			i.Final = ""
		case i.Final == "true" && up.Version == a2a.V03:
		case i.State == "completed" && up.Version == a2a.V10:
			i.Final = "true"
		default:
			i.Final = "false"
		}
		want = append(want, i)
	}
	return want
}

// signals are channels by name, for agents and callers to meet.
type signals struct {
	mu    sync.Mutex
	known map[string]chan struct{}
}

func (s *signals) of(format string, args ...any) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf(format, args...)
	if s.known == nil {
		s.known = map[string]chan struct{}{}
	}
	if s.known[name] == nil {
		s.known[name] = make(chan struct{})
	}
	return s.known[name]
}

// subjectOf is the id of a cell's message.
func subjectOf(down, up a2a.Dialect) string { return agentOf(down)[6:] + "-at-" + agentOf(up)[6:] }

func TestStreams_NoEventWaitsForTheNextInAnyCell(t *testing.T) {
	// Between the waiting for input and the chunk nothing comes until the caller has
	// seen what waits: it is not held for longer than a moment.
	script := []item{
		taskItem("submitted"), stateItem("working"), chunkItem("one"), stateItem("input-required"), chunkItem("two"),
		stateItem("auth-required"), stateItem("working"), last("completed"),
	}
	g := gatewaytest.Start(t, func(c *config.Config) { c.Stream.HeaderDelay = 50 * time.Millisecond })
	key := g.Team("demo")
	var proofs signals
	stages(t, g, func(sc *scene) {
		// The first event comes when the caller has seen the headers.
		for n, i := range script {
			if !sc.wait(proofs.of("%s/%d", sc.subject, n)) {
				return
			}
			sc.send(i)
		}
		if sc.wait(proofs.of("%s/%d", sc.subject, len(script))) {
			sc.end()
		}
	})
	eachCell(t, nil, func(t *testing.T, down, up a2a.Dialect) {
		in := newCaller(t, g, key, down).stream(t, "SendStreamingMessage", agentOf(up), subjectOf(down, up))
		for n, want := range seen(down, up, script...) {
			close(proofs.of("%s/%d", subjectOf(down, up), n))
			if got, ok := in.next(); !ok || got != want {
				t.Fatalf("event %d is %+v, %t (%+v), want %+v", n, got, ok, in.end, want)
			}
		}
		close(proofs.of("%s/%d", subjectOf(down, up), len(script)))
		if more := in.all(); len(more) > 0 || in.end != wholeEnd(down) {
			t.Errorf("%+v and the end %+v follow", more, in.end)
		}
	})
}

// wholeEnd is the end of a stream that ended as it should.
func wholeEnd(d a2a.Dialect) ending {
	if d.Binding == a2a.GRPC {
		return ending{HTTP: 200, GRPC: "0"}
	}
	return ending{HTTP: 200}
}

func TestStreams_FinalIsTrueForTheLastEventOnly(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	scripts := map[string]struct {
		play []item
		fail bool
		want []item
	}{
		"what waits for input, then more": {
			play: []item{taskItem("working"), stateItem("input-required"), stateItem("working"), stateItem("completed")},
			want: []item{
				taskItem("working"),
				{Kind: "status-update", State: "input-required", Final: "false"},
				{Kind: "status-update", State: "working", Final: "false"},
				last("completed"),
			},
		},
		"what waits for input, then the end": {
			play: []item{taskItem("working"), stateItem("input-required")},
			want: []item{taskItem("working"), last("input-required")},
		},
		"what waits for credentials, then the end": {
			play: []item{taskItem("working"), stateItem("auth-required")},
			want: []item{taskItem("working"), last("auth-required")},
		},
		"what waits for input, then an error": {
			play: []item{taskItem("working"), stateItem("input-required")}, fail: true,
			want: []item{taskItem("working"), {Kind: "status-update", State: "input-required", Final: "false"}},
		},
		"what waits for input alone, then an error": {
			play: []item{stateItem("input-required")}, fail: true,
			want: []item{{Kind: "status-update", State: "input-required", Final: "false"}},
		},
		"a chunk, then the end": {
			play: []item{taskItem("working"), chunkItem("one")},
			want: []item{taskItem("working"), chunkItem("one")},
		},
		"each state that ends a task": {
			play: []item{taskItem("working"), stateItem("rejected")},
			want: []item{taskItem("working"), last("rejected")},
		},
		"a message": {play: []item{replyItem()}, want: []item{replyItem()}},
	}
	stages(t, g, func(sc *scene) {
		name, _, _ := strings.Cut(sc.subject, "-at-")
		s := scripts[strings.ReplaceAll(name, "_", " ")]
		sc.send(s.play...)
		if s.fail {
			sc.fail()
			return
		}
		sc.end()
	})
	eachCell(t, fromNewToOld, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		for name, s := range scripts {
			in := c.stream(t, "SendStreamingMessage", agentOf(up), strings.ReplaceAll(name, " ", "_")+"-at-"+subjectOf(down, up))
			if diff := cmp.Diff(s.want, in.all()); diff != "" {
				t.Errorf("%s: the events are others (-want +got):\n%s", name, diff)
			}
			if failed := in.end.Code != 0 || (in.end.GRPC != "" && in.end.GRPC != "0"); failed != s.fail || in.end.Plain {
				t.Errorf("%s: the end is %+v", name, in.end)
			}
		}
	})
}

func TestStreams_ACallerOfTheNewVersionGetsATaskFirst(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := stages(t, g, func(sc *scene) {
		switch {
		case strings.HasPrefix(sc.subject, "task-"):
			sc.send(stateItem("working"), last("completed"))
		case strings.HasPrefix(sc.subject, "chunk"):
			sc.send(chunkItem("one"), last("completed"))
		case strings.HasPrefix(sc.subject, "reply"):
			sc.send(replyItem())
		default:
			sc.send(stateItem("input-required"), last("completed"))
		}
		sc.end()
	})
	silent := map[a2a.Dialect]*stage{}
	for _, d := range a2a.Dialects {
		agents[d].task = taskItem("auth-required") // to be told from what is made up
		silent[d] = newStage(t, g, d, "silent-"+agentOf(d), agents[d].play)
		silent[d].task = item{}
	}
	eachCell(t, fromOldToNew, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		for name, tt := range map[string]struct {
			op, agent, subject string
			want               []item
		}{
			"the agent tells the task": {
				"SendStreamingMessage", agentOf(up), "state-" + subjectOf(down, up),
				[]item{taskItem("auth-required"), stateItem("input-required"), stateItem("completed")},
			},
			"the agent does not": {
				"SendStreamingMessage", "silent-" + agentOf(up), "state-" + subjectOf(down, up),
				[]item{taskItem("input-required"), stateItem("input-required"), stateItem("completed")},
			},
			"the agent does not, and a chunk comes first": {
				"SendStreamingMessage", "silent-" + agentOf(up), "chunk-" + subjectOf(down, up),
				[]item{taskItem("working"), chunkItem("one"), stateItem("completed")},
			},
			"a message needs no task": {
				"SendStreamingMessage", agentOf(up), "reply-" + subjectOf(down, up), []item{replyItem()},
			},
		} {
			in := c.stream(t, tt.op, tt.agent, tt.subject)
			if diff := cmp.Diff(tt.want, in.all()); diff != "" || in.end != wholeEnd(down) {
				t.Errorf("%s: the events are others, the end %+v (-want +got):\n%s", name, in.end, diff)
			}
		}
	})
}

func TestStreams_ASubscriptionOfTheNewVersionBeginsWithTheTask(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := stages(t, g, func(sc *scene) {
		sc.send(chunkItem("one"), last("completed"))
		sc.end()
	})
	eachCell(t, fromOldToNew, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		id := subjectOf(down, up)
		begin(t, c, agentOf(up), id)
		in := c.stream(t, "SubscribeToTask", agentOf(up), "task-"+id)
		want := []item{taskItem("working"), chunkItem("one"), stateItem("completed")}
		if diff := cmp.Diff(want, in.all()); diff != "" || in.end != wholeEnd(down) {
			t.Errorf("the events are others, the end %+v (-want +got):\n%s", in.end, diff)
		}
	})
	for _, up := range a2a.Dialects {
		if got := len(agents[up].received("GetTask")); up.Version == a2a.V03 && got != 3 {
			t.Errorf("%s was asked %d times for its task, want once for each caller", up, got)
		}
	}
}

func TestStreams_ASubscriptionToATaskThatHasEndedGetsWhatTheAgentMakesOfIt(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := stages(t, g, func(sc *scene) {
		if strings.HasPrefix(sc.subject, "task-refused") {
			sc.fail()
			return
		}
		sc.end() // without an event
	})
	for _, s := range agents {
		s.task = taskItem("completed")
	}
	eachCell(t, fromOldToNew, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		id := "refused-" + subjectOf(down, up)
		begin(t, c, agentOf(up), id)
		in := c.stream(t, "SubscribeToTask", agentOf(up), "task-"+id)
		if got := in.all(); len(got) > 0 || !taskMissing.is(down, in.end) || in.end.Plain != (down.Binding != a2a.GRPC) {
			t.Errorf("%v and the end %+v came of a refusal", got, in.end)
		}
		id = "silent-" + subjectOf(down, up)
		begin(t, c, agentOf(up), id)
		in = c.stream(t, "SubscribeToTask", agentOf(up), "task-"+id)
		if diff := cmp.Diff([]item{taskItem("completed")}, in.all()); diff != "" || in.end != wholeEnd(down) {
			t.Errorf("the events are others, the end %+v (-want +got):\n%s", in.end, diff)
		}
	})
	for _, e := range g.Events(`method="SubscribeToTask"`, 18) {
		want := auditv1.Outcome_OUTCOME_SUCCEEDED
		if strings.HasPrefix(e.GetTaskId(), "task-refused") {
			want = auditv1.Outcome_OUTCOME_FAILED
		}
		if e.GetOutcome() != want || e.GetTaskState() != "TASK_STATE_COMPLETED" {
			t.Errorf("%s: the event says %s, task %s", e.GetTaskId(), e.GetOutcome(), e.GetTaskState())
		}
	}
}

func TestStreams_TheTaskIsAskedForAtTheInstanceThatStreams(t *testing.T) {
	const streams = 20
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	play := func(sc *scene) {
		sc.send(stateItem("working"), last("completed"))
		sc.end()
	}
	one, two := newStage(t, g, rpc03, "one", play), newStage(t, g, rpc03, "two", play)
	g.Agent("both", "demo", one.url, func(a *registryv1.Agent) {
		a.CardJson = one.card
		a.Endpoints = append(a.Endpoints, &registryv1.Endpoint{Url: two.url})
	})
	c := newCaller(t, g, key, rpc10)
	for n := range streams {
		if got := c.stream(t, "SendStreamingMessage", "both", fmt.Sprintf("m-%02d", n)).all(); len(got) != 3 {
			t.Errorf("stream %d: %v", n, got)
		}
	}
	for _, s := range []*stage{one, two} {
		streamed := s.received("SendStreamingMessage")
		if asked := s.received("GetTask"); len(asked) != len(streamed) || len(asked) == 0 || len(asked) == streams {
			t.Errorf("%s streamed %d of %d times and was asked for %d tasks", s.name, len(streamed), streams, len(asked))
		}
	}
}

// begin makes a task that is the caller's, "task-" and the id.
func begin(t *testing.T, c *caller, agent, id string) {
	t.Helper()
	resp, err := c.open(t.Context(), "SendMessage", agent, id)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if status := resp.Header.Get("Grpc-Status"); resp.StatusCode != 200 || (status != "" && status != "0") {
		t.Fatalf("the task was not begun: HTTP %d, gRPC %s", resp.StatusCode, status)
	}
}

func TestStreams_OfOneTaskAllHaveTheSameOrder(t *testing.T) {
	const chunks = 40
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	var mu sync.Mutex
	joined := map[a2a.Dialect][]*scene{}
	stages(t, g, func(sc *scene) {
		sc.send(taskItem("working"))
		mu.Lock()
		joined[sc.d] = append(joined[sc.d], sc)
		scenes := joined[sc.d]
		mu.Unlock()
		if len(scenes) == len(a2a.Dialects) { // the last to come plays for all
			for n := range chunks {
				for _, s := range scenes {
					s.send(chunkItem(fmt.Sprint(n)))
				}
			}
			for _, s := range scenes {
				s.send(last("completed"))
				close(s.played)
			}
		}
		sc.wait(sc.played)
		sc.end()
	})
	want := []item{taskItem("working")}
	for n := range chunks {
		want = append(want, chunkItem(fmt.Sprint(n)))
	}
	want = append(want, last("completed"))
	for _, up := range a2a.Dialects {
		begin(t, newCaller(t, g, key, up), agentOf(up), "shared")
		var wg sync.WaitGroup
		for _, down := range a2a.Dialects {
			c := newCaller(t, g, key, down)
			wg.Go(func() {
				resp, err := c.open(t.Context(), "SubscribeToTask", agentOf(up), "task-shared")
				if err != nil {
					t.Error(err)
					return
				}
				in := c.incoming(t, resp)
				if diff := cmp.Diff(seen(down, up, want...), in.all()); diff != "" || in.end != wholeEnd(down) {
					t.Errorf("%s to %s: the events are others, the end %+v (-want +got):\n%s", down, up, in.end, diff)
				}
			})
		}
		wg.Wait()
	}
}

func TestStreams_ACallerThatLeavesStopsASubscriptionAndNoSend(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	var proofs signals
	stages(t, g, func(sc *scene) {
		sc.send(taskItem("working"), stateItem("working"))
		if strings.HasPrefix(sc.subject, "task-") {
			select {
			case <-sc.r.Context().Done():
				close(proofs.of("stopped %s at %s", sc.subject, sc.d))
			case <-sc.stop:
			}
			return
		}
		if sc.wait(proofs.of("left %s", sc.subject)) {
			sc.send(last("completed"))
			sc.end()
		}
	})
	eachCell(t, nil, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		id := subjectOf(down, up)
		ctx, leave := context.WithCancel(t.Context())
		if i, ok := c.streamIn(ctx, t, "SendStreamingMessage", agentOf(up), id).next(); !ok || i.Kind != "task" {
			t.Fatalf("the first event is %+v, %t", i, ok)
		}
		leave()
		close(proofs.of("left %s", id))

		begin(t, c, agentOf(up), "sub-"+id)
		ctx, leave = context.WithCancel(t.Context())
		if i, ok := c.streamIn(ctx, t, "SubscribeToTask", agentOf(up), "task-sub-"+id).next(); !ok || i.Kind != "task" {
			t.Fatalf("the first event is %+v, %t", i, ok)
		}
		leave()
		select {
		case <-proofs.of("stopped task-sub-%s at %s", id, up):
		case <-t.Context().Done():
		case <-time.After(10 * time.Second):
			t.Error("the subscription goes on at the agent")
		}
	})
	cells := len(a2a.Dialects) * len(a2a.Dialects)
	for _, e := range g.Events(`method="SendStreamingMessage"`, cells) {
		// The caller may leave so late that the end is on its way already.
		if e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED || e.GetTaskState() != "TASK_STATE_COMPLETED" {
			t.Errorf("%s to %s: the event says %s, task %s", e.GetDialect(), e.GetUpstreamDialect(), e.GetOutcome(), e.GetTaskState())
		}
	}
	for _, e := range g.Events(`method="SubscribeToTask"`, cells) {
		if e.GetOutcome() != auditv1.Outcome_OUTCOME_CALLER_LEFT || !e.GetCallerLeft() {
			t.Errorf("%s to %s: the event says %s, caller left %t", e.GetDialect(), e.GetUpstreamDialect(), e.GetOutcome(), e.GetCallerLeft())
		}
	}
}

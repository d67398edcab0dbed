package gatewaytest_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// revokedWithin is how soon an open stream must end whose caller lost its right
// (guarantees, section 7).
const revokedWithin = 5 * time.Second

// openStreams starts a stream of each dialect at agent "held" that stays open, and returns when each has
// shown that its task is at work. The returned function waits for their ends.
func openStreams(t *testing.T, g *gatewaytest.Gateway, key string) (tasks map[a2a.Dialect]string, ends func() map[a2a.Dialect]error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	var (
		mu      sync.Mutex
		streams sync.WaitGroup
		working sync.WaitGroup
		errs    = map[a2a.Dialect]error{}
	)
	tasks = map[a2a.Dialect]string{}
	for _, d := range a2a.Dialects {
		client := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL("held"), Key: key, Agent: "held"})
		working.Add(1)
		streams.Go(func() {
			seen := sync.OnceFunc(working.Done)
			defer seen()
			err := client.Stream(ctx, peers.Message{ID: string(peers.ScriptHold) + "-" + d.String(), Parts: []peers.Part{{Text: "hi"}}},
				func(e peers.StreamEvent) bool {
					if e.State == "working" {
						mu.Lock()
						tasks[d] = e.ID
						mu.Unlock()
						seen()
					}
					return true
				})
			mu.Lock()
			errs[d] = err
			mu.Unlock()
		})
	}
	working.Wait()
	return tasks, func() map[a2a.Dialect]error {
		streams.Wait()
		return errs
	}
}

func checkRevoked(t *testing.T, g *gatewaytest.Gateway, begin time.Time, ends map[a2a.Dialect]error) {
	t.Helper()
	if took := time.Since(begin); took > revokedWithin {
		t.Errorf("the streams ended after %s", took)
	}
	for _, d := range a2a.Dialects {
		if err := ends[d]; err == nil || !strings.Contains(err.Error(), "your right to this call has ended") {
			t.Errorf("%s: the stream ended with %v", d, err)
		}
	}
	byDialect := map[string]*auditv1.Event{}
	for _, e := range g.Events(`outcome=REVOKED`, len(a2a.Dialects)) {
		byDialect[e.GetDialect()] = e
		if e.GetError().GetReason() != "REVOKED" || e.GetTaskState() != "TASK_STATE_WORKING" || e.GetTaskId() == "" {
			t.Errorf("%s: the event says %v", e.GetDialect(), e)
		}
	}
	if len(byDialect) != len(a2a.Dialects) {
		t.Errorf("%d dialects have an event", len(byDialect))
	}
}

func TestRevoke_OpenStreamsOfADisabledKeyEndAndNobodyElses(t *testing.T) {
	g := gatewaytest.Start(t)
	other := g.Team("demo")
	made, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/demo"})
	if err != nil {
		t.Fatal(err)
	}
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(g, "held", agent)
	others, kept := openStreams(t, g, other)
	tasks, ends := openStreams(t, g, made.GetSecret())
	begin := time.Now()
	if _, err := g.Identity.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: made.GetKey().GetName()}); err != nil {
		t.Fatal(err)
	}
	checkRevoked(t, g, begin, ends())
	// Its tasks go on: it is the caller that lost a right, not the agent.
	for d, id := range tasks {
		if !agent.Release(id) {
			t.Errorf("%s: task %s is not at work any more", d, id)
		}
	}
	for _, id := range others {
		agent.Release(id)
	}
	for d, err := range kept() {
		if err != nil {
			t.Errorf("%s: the stream of another key ended with %v", d, err)
		}
	}
}

func TestRevoke_TasksAtAnAgentThatIsTakenAwayAreCancelled(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	d := a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V10}
	agent := peers.StartDialectAgent(t, d)
	registerDialect(g, "held", agent)
	tasks, ends := openStreams(t, g, key)
	begin := time.Now()
	if _, err := g.Registry.DeleteAgent(t.Context(), &registryv1.DeleteAgentRequest{Name: "agents/held"}); err != nil {
		t.Fatal(err)
	}
	checkRevoked(t, g, begin, ends())
	direct := peers.NewDialectClient(t, d, peers.ClientConfig{Card: agent.Card})
	for down, id := range tasks {
		for {
			got, err := direct.Get(t.Context(), id, 0)
			if err == nil && got.State == "canceled" {
				break
			}
			if time.Since(begin) > 2*revokedWithin {
				t.Fatalf("the task of the %s caller is %q (%v)", down, got.State, err)
			}
		}
	}
}

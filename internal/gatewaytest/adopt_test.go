package gatewaytest_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/task/v1/taskv1connect"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// adopt gives tasks, and what context they have, to an owner.
func adopt(ctx context.Context, g *gatewaytest.Gateway, key, agent, owner string, tasks ...peers.StreamEvent) (*taskv1.AdoptTasksResponse, error) {
	withKey := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set("Authorization", "Bearer "+key)
			return next(ctx, req)
		}
	})
	client := taskv1connect.NewTaskServiceClient(http.DefaultClient, g.URL, connect.WithInterceptors(withKey))
	req := &taskv1.AdoptTasksRequest{Agent: "agents/" + agent, Owner: owner}
	for _, t := range tasks {
		req.Entries = append(req.Entries, &taskv1.AdoptionEntry{TaskId: t.ID, ContextId: t.ContextID})
	}
	return client.AdoptTasks(ctx, req)
}

// newKey makes a key of a team.
func newKey(t *testing.T, g *gatewaytest.Gateway, team string) (name, secret string) {
	t.Helper()
	made, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/" + team})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetKey().GetName(), made.GetSecret()
}

// heldAt begins a task at an agent itself, past every gateway, that works until it is
// released or cancelled.
func heldAt(t *testing.T, agent *peers.DialectAgent, id string) (held peers.StreamEvent) {
	t.Helper()
	direct := peers.NewDialectClient(t, agent.Dialect, peers.ClientConfig{Card: agent.Card})
	err := direct.Stream(t.Context(), peers.Message{ID: string(peers.ScriptHold) + id, Parts: []peers.Part{{Text: "hi"}}},
		func(e peers.StreamEvent) bool {
			held = e
			return e.State != "working"
		})
	if err != nil || held.State != "working" {
		t.Fatalf("the agent began %+v, %v", held, err)
	}
	return held
}

// wantNotFound checks that a caller of one replica has no way to a task.
func wantNotFound(t *testing.T, when string, g *gatewaytest.Gateway, d a2a.Dialect, key string, task peers.StreamEvent) {
	t.Helper()
	c := peers.NewDialectClient(t, d, peers.ClientConfig{Base: g.AgentURL("held"), Key: key, Agent: "held"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, get := c.Get(ctx, task.ID, 0)
	_, stop := c.Cancel(ctx, task.ID)
	subscribe := c.Subscribe(ctx, task.ID, func(peers.StreamEvent) bool { return false })
	_, goOn := c.Send(ctx, peers.Message{ID: "go-on", TaskID: task.ID, ContextID: task.ContextID, Parts: []peers.Part{{Text: "more"}}})
	for what, err := range map[string]error{"get": get, "cancel": stop, "subscribe": subscribe, "send": goOn} {
		failed, ok := errors.AsType[*peers.CallError](err)
		if !ok || failed.Code != -32001 {
			t.Errorf("%s, %s: %s gave %v, want task not found", when, d, what, err)
		}
	}
}

// Tasks that an agent had before the gateway stood in front of it are found by nobody
// until they are adopted, and from then on by their owner alone: in every dialect, on
// every replica, and after a restart.
func TestAdopt_TasksFromBeforeTheGatewayHaveAnOwnerFromThenOn(t *testing.T) {
	g := gatewaytest.Start(t)
	mate, stranger := g.Team("demo"), g.Team("others")
	owner, key := newKey(t, g, "demo")
	strangerName, _ := newKey(t, g, "others")
	agent := peers.StartDialectAgent(t, a2a.Dialect{Binding: a2a.JSONRPC, Version: a2a.V10})
	registerDialect(g, "held", agent)
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	replicas := []*gatewaytest.Gateway{g, second}
	dialects := []a2a.Dialect{{Binding: a2a.JSONRPC, Version: a2a.V10}, {Binding: a2a.GRPC, Version: a2a.V03}}

	var tasks []peers.StreamEvent
	for _, id := range []string{"-follow-1", "-follow-2", "-cancel-1", "-cancel-2", "-later"} {
		tasks = append(tasks, heldAt(t, agent, id))
	}
	for i, r := range replicas {
		wantNotFound(t, "before", r, dialects[i], key, tasks[i])
	}
	// Whoever may only call the agent cannot make them its own.
	if _, err := adopt(t.Context(), g, stranger, "held", strangerName, tasks...); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Fatalf("another team adopted tasks of the agent: %v", err)
	}
	done, err := adopt(t.Context(), g, key, "held", owner, tasks...)
	if err != nil || done.GetAdoptedCount() != int32(2*len(tasks)) {
		t.Fatalf("adopt: %v, %v", done, err)
	}
	for i, r := range replicas {
		for _, other := range []string{mate, stranger} {
			wantNotFound(t, "another's, after", r, dialects[1-i], other, tasks[i])
		}
	}
	if _, err := adopt(t.Context(), second, g.AdminKey, "held", strangerName, tasks[0]); connect.CodeOf(err) != connect.CodeAlreadyExists {
		t.Errorf("a task with an owner was adopted again: %v", err)
	}

	for i, r := range replicas {
		for j, d := range dialects {
			c := peers.NewDialectClient(t, d, peers.ClientConfig{Base: r.AgentURL("held"), Key: key, Agent: "held"})
			if got, err := c.Get(t.Context(), tasks[4].ID, 0); err != nil || got.State != "working" || got.ContextID != tasks[4].ContextID {
				t.Errorf("replica %d, %s: get gave %+v, %v", i, d, got, err)
			}
			if i != j {
				continue
			}
			wantFollowed(t, c, agent, tasks[i].ID)
			if got, err := c.Cancel(t.Context(), tasks[2+i].ID); err != nil || got.State != "canceled" {
				t.Errorf("replica %d, %s: cancel gave %+v, %v", i, d, got, err)
			}
		}
	}

	g.Stop()
	second.Stop()
	again := gatewaytest.StartOver(t, g.DSN, g.DataDir)
	wantNotFound(t, "another's, after a restart", again, dialects[0], mate, tasks[4])
	for _, d := range dialects {
		c := peers.NewDialectClient(t, d, peers.ClientConfig{Base: again.AgentURL("held"), Key: key, Agent: "held"})
		if got, err := c.Get(t.Context(), tasks[4].ID, 0); err != nil || got.State != "working" {
			t.Errorf("%s: get after a restart gave %+v, %v", d, got, err)
		}
	}
}

// wantFollowed checks that a client can join a task and see it through.
func wantFollowed(t *testing.T, c *peers.DialectClient, agent *peers.DialectAgent, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var states []string
	err := c.Subscribe(ctx, id, func(e peers.StreamEvent) bool {
		if len(states) == 0 && !agent.Release(id) {
			t.Errorf("task %s is not at work any more", id)
		}
		if e.State != "" {
			states = append(states, e.State)
		}
		return true
	})
	if err != nil || !slices.Equal(states, []string{"working", "completed"}) {
		t.Errorf("%s: the task went through %q, %v", c.Dialect, states, err)
	}
}

// Adopted tasks are in the lists of their owner, on replicas that had counted before too.
func TestAdopt_TasksAreListed(t *testing.T) {
	g := gatewaytest.Start(t)
	alice := g.Team("demo")
	owner, key := newKey(t, g, "demo")
	lister := peers.StartLister(t)
	g.Agent("lister", "demo", lister.URL)
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	ids := tasksOf(g, alice, "gone", 2)
	for _, id := range []string{"old-1", "old-2", "old-3"} {
		beginDirect(t, lister.URL, id)
	}
	for _, r := range []*gatewaytest.Gateway{g, second} {
		wantListed(t, "before", r, key, nil)
	}
	old := []peers.StreamEvent{{ID: "old-1", ContextID: "c-old-1"}, {ID: "old-2", ContextID: "c-old-2"}}
	if _, err := adopt(t.Context(), g, key, "lister", owner, old...); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*gatewaytest.Gateway{g, second} {
		wantListed(t, "after", r, key, []string{"old-1", "old-2"})
		wantListed(t, "after, of another", r, alice, ids)
	}
}

// beginDirect begins a task at an agent itself.
func beginDirect(t *testing.T, url, id string) {
	t.Helper()
	body := strings.NewReader(gatewaytest.Request("SendMessage", gatewaytest.Message(id, "hi", "")))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := gatewaytest.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the agent answered %s, %v", resp.Status, err)
	}
}

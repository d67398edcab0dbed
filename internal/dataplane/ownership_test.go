package dataplane_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// begun starts a task that goes on and returns its id and context.
func begun(t *testing.T, g *gatewaytest.Gateway, agent, key string) (taskID, contextID string) {
	t.Helper()
	params := strings.TrimSuffix(gatewaytest.Message("m-"+t.Name(), "slow", ""), "}") + `,"configuration":{"returnImmediately":true}}`
	got := g.Call(agent, key, "SendMessage", params)
	var reply struct {
		Result struct {
			Task struct {
				ID        string `json:"id"`
				ContextID string `json:"contextId"`
			} `json:"task"`
		} `json:"result"`
	}
	if err := json.Unmarshal(got.Body, &reply); err != nil || reply.Result.Task.ID == "" {
		t.Fatalf("no task was begun: %s, %v", got.Body, err)
	}
	return reply.Result.Task.ID, reply.Result.Task.ContextID
}

func TestOwnership_NobodyTouchesAnothersTaskOrContext(t *testing.T) {
	g := gatewaytest.Start(t)
	alice, bob := g.Team("alice"), g.Team("bob")
	colleague := g.Team("alice") // another key of the same team
	g.Agent("echo", "alice", peers.StartAgent(t, peers.Go).URL, func(a *registryv1.Agent) {
		a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"example.com"}
	})
	taskID, contextID := begun(t, g, "echo", alice)
	foreign := gatewaytest.Message("x", "hello", "")
	with := func(member, value string) string {
		return strings.Replace(foreign, `"role"`, fmt.Sprintf(`%q:%q,"role"`, member, value), 1)
	}
	task := fmt.Sprintf(`{"id":%q}`, taskID)
	calls := []struct{ name, method, params string }{
		{"get", "GetTask", task},
		{"cancel", "CancelTask", task},
		{"subscribe", "SubscribeToTask", task},
		{"continue", "SendMessage", with("taskId", taskID)},
		{"stream into", "SendStreamingMessage", with("taskId", taskID)},
		{"reference", "SendMessage", strings.Replace(foreign, `"role"`, fmt.Sprintf(`"referenceTaskIds":[%q],"role"`, taskID), 1)},
		{"create push", "CreateTaskPushNotificationConfig", fmt.Sprintf(`{"taskId":%q,"url":"https://example.com/x"}`, taskID)},
		{"get push", "GetTaskPushNotificationConfig", fmt.Sprintf(`{"taskId":%q,"id":"c"}`, taskID)},
		{"list push", "ListTaskPushNotificationConfigs", fmt.Sprintf(`{"taskId":%q}`, taskID)},
		{"delete push", "DeleteTaskPushNotificationConfig", fmt.Sprintf(`{"taskId":%q,"id":"c"}`, taskID)},
	}
	for who, key := range map[string]string{"another team": bob, "another key of the team": colleague, "the admin": g.AdminKey} {
		for _, c := range calls {
			if c.name == "create push" && !strings.Contains(c.params, "example.com") {
				continue
			}
			e := g.Call("echo", key, c.method, c.params).Error(t)
			if c.name == "create push" && e.Info(t).Reason == "PUSH_ADDRESS_FORBIDDEN" {
				continue // example.com does not resolve here; the refusal says nothing of the task
			}
			unknown := g.Call("echo", key, c.method, strings.ReplaceAll(c.params, taskID, "no-such-task")).Error(t)
			if e.Code != -32001 || string(e.Data) != string(unknown.Data) || e.Message != unknown.Message {
				t.Errorf("%s, %s: %+v; want what an unknown task gets, %+v", who, c.name, e, unknown)
			}
		}
		if e := g.Call("echo", key, "SendMessage", with("contextId", contextID)).Error(t); e.Code != -32602 || e.Info(t).Reason != "CONTEXT_NOT_USABLE" {
			t.Errorf("%s in the context: %+v", who, e)
		}
	}
	// Its owner may, on another replica and after a restart too.
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	eventually(t, func() bool { return second.Call("echo", alice, "GetTask", task).Error(t).Code == 0 })
	if e := second.Call("echo", bob, "GetTask", task).Error(t); e.Code != -32001 {
		t.Errorf("another team on another replica: %+v", e)
	}
	if e := second.Call("echo", alice, "CancelTask", task).Error(t); e.Code != 0 {
		t.Errorf("its owner could not cancel it on another replica: %+v", e)
	}
	if e := g.Call("echo", alice, "SendMessage", with("contextId", contextID)).Error(t); e.Code != 0 {
		t.Errorf("its owner could not go on in the context: %+v", e)
	}
}

func TestOwnership_ACallerMadeContextBelongsToItsFirstCaller(t *testing.T) {
	g := gatewaytest.Start(t)
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	alice, bob := g.Team("alice"), g.Team("bob")
	g.Agent("echo", "alice", peers.StartAgent(t, peers.Go).URL)
	eventually(t, func() bool {
		return second.Do(http.MethodGet, "/a2a/echo/.well-known/agent-card.json", bob, "").Status == http.StatusOK
	})
	message := gatewaytest.Message("m", "hello", `,"contextId":"my-own"`)
	if e := g.Call("echo", alice, "SendMessage", message).Error(t); e.Code != 0 {
		t.Fatalf("the first use was refused: %+v", e)
	}
	for name, replica := range map[string]*gatewaytest.Gateway{"the same": g, "another": second} {
		if e := replica.Call("echo", bob, "SendMessage", message).Error(t); e.Code != -32602 {
			t.Errorf("a foreign context on %s replica: %+v", name, e)
		}
		if e := replica.Call("echo", alice, "SendMessage", message).Error(t); e.Code != 0 {
			t.Errorf("its own context on %s replica: %+v", name, e)
		}
	}
}

func TestOwnership_AnAgentThatReusesAnIDIsNotedAndMovesNothing(t *testing.T) {
	g := gatewaytest.Start(t)
	alice, bob := g.Team("alice"), g.Team("bob")
	agent := peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("odd", "alice", agent.Base(peers.Odd)) // every answer carries the same ids
	for _, key := range []string{alice, bob} {
		if e := g.Call("odd", key, "SendMessage", gatewaytest.Message("m", "hi", "")).Error(t); e.Code != 0 {
			t.Fatalf("the reply did not pass: %+v", e)
		}
	}
	events := g.Events(`agent="odd"`, 2)
	if events[0].GetIdConflict() || !events[1].GetIdConflict() {
		t.Errorf("id_conflict is %v and %v, want false and true", events[0].GetIdConflict(), events[1].GetIdConflict())
	}
	if e := g.Call("odd", bob, "GetTask", `{"id":"odd-task"}`).Error(t); e.Code != -32001 {
		t.Errorf("the binding moved: %+v", e)
	}
	if e := g.Call("odd", alice, "GetTask", `{"id":"odd-task"}`).Error(t); e.Code == -32001 {
		t.Errorf("the first owner lost the task")
	}
}

func TestOwnership_EqualIDsOfTwoAgentsAreTwoTasks(t *testing.T) {
	g := gatewaytest.Start(t)
	alice, bob := g.Team("alice"), g.Team("bob")
	one, two := peers.StartHostile(t, peers.HostileConfig{}), peers.StartHostile(t, peers.HostileConfig{})
	g.Agent("one", "alice", one.Base(peers.Odd))
	g.Agent("two", "bob", two.Base(peers.Odd))
	g.Call("one", alice, "SendMessage", gatewaytest.Message("m", "hi", ""))
	g.Call("two", bob, "SendMessage", gatewaytest.Message("m", "hi", ""))
	for _, e := range g.Events(`method="SendMessage"`, 2) {
		if e.GetIdConflict() {
			t.Errorf("%s: a conflict with the other agent's task", e.GetAgent())
		}
	}
}

func TestListTasks_ShowsOnlyTheCallersOwnAndFillsPages(t *testing.T) {
	g := gatewaytest.Start(t)
	alice, bob := g.Team("alice"), g.Team("bob")
	agent := peers.StartLister(t)
	g.Agent("lister", "alice", agent.URL)
	mine := map[string]bool{}
	for i := range 12 { // alternating, so that every page of the agent is mixed
		key := alice
		if i%3 == 0 {
			key = bob
		}
		id := fmt.Sprintf("task-%02d", i)
		g.Call("lister", key, "SendMessage", gatewaytest.Message(id, "hi", ""))
		mine[id] = i%3 != 0
	}
	token, seen := "", []string{}
	for page := range 20 {
		got := g.Call("lister", alice, "ListTasks", fmt.Sprintf(`{"pageSize":3,"pageToken":%q}`, token))
		var reply struct {
			Result struct {
				Tasks         []struct{ ID string }
				NextPageToken *string
				PageSize      int
				TotalSize     int
				XNote         string `json:"x-note"`
			}
		}
		if err := json.Unmarshal(got.Body, &reply); err != nil || reply.Result.NextPageToken == nil {
			t.Fatalf("page %d: %s, %v", page, got.Body, err)
		}
		r := reply.Result
		if r.TotalSize != 8 || r.PageSize != 3 || r.XNote != "kept" {
			t.Errorf("page %d: totalSize %d, pageSize %d, x-note %q", page, r.TotalSize, r.PageSize, r.XNote)
		}
		for _, task := range r.Tasks {
			seen = append(seen, task.ID)
			if !mine[task.ID] {
				t.Errorf("page %d shows %s of another", page, task.ID)
			}
		}
		if token = *r.NextPageToken; token == "" {
			break
		}
		if len(r.Tasks) != 3 {
			t.Errorf("page %d has %d tasks though more follow", page, len(r.Tasks))
		}
		if e := g.Call("lister", bob, "ListTasks", fmt.Sprintf(`{"pageToken":%q}`, token)).Error(t); e.Code != -32602 {
			t.Errorf("another caller used the token: %+v", e)
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d tasks were listed, want 8: %v", len(seen), seen)
	}
}

func TestListTasks_StaysWithTheInstanceThatGaveTheToken(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	one, two := peers.StartLister(t), peers.StartLister(t)
	g.Agent("lister", "demo", one.URL, func(a *registryv1.Agent) {
		a.Endpoints = append(a.Endpoints, &registryv1.Endpoint{Url: two.URL})
	})
	for i := range 20 {
		g.Call("lister", key, "SendMessage", gatewaytest.Message(fmt.Sprintf("task-%d", i), "hi", ""))
	}
	token := ""
	for page := 0; ; page++ {
		got := g.Call("lister", key, "ListTasks", fmt.Sprintf(`{"pageSize":2,"pageToken":%q}`, token))
		var reply struct {
			Result struct{ NextPageToken string }
		}
		if err := json.Unmarshal(got.Body, &reply); err != nil || got.Error(t).Code != 0 {
			t.Fatalf("page %d: %s, %v", page, got.Body, err)
		}
		if token = reply.Result.NextPageToken; token == "" {
			break
		}
	}
	if one.Lists() > 0 && two.Lists() > 0 {
		t.Errorf("the list began at one instance and went on at the other: %d and %d calls", one.Lists(), two.Lists())
	}
}

func TestOwnership_AnIDThatNoDatabaseTakesIsTheAgentsFault(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	odd := peers.StartLister(t) // a task's id is its message's
	g.Agent("lister", "demo", odd.URL)
	for name, id := range map[string]string{"a NUL": `a\u0000b`, "600 bytes": strings.Repeat("x", 600)} {
		params := strings.Replace(gatewaytest.Message("ID", "hi", ""), "ID", id, 1)
		if e := g.Call("lister", key, "SendMessage", params).Error(t); e.Code != -32006 && e.Code != -32602 {
			t.Errorf("an id with %s: %+v", name, e)
		}
	}
	// Nothing that came in between holds up the binding of what comes after.
	g.Call("lister", key, "SendMessage", gatewaytest.Message("good", "hi", ""))
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	eventually(t, func() bool { return second.Call("lister", key, "GetTask", `{"id":"good"}`).Error(t).Code != -32001 })
}

// eventually waits for what another replica will do within a moment.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about within 10 s")
		}
	}
}

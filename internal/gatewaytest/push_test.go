package gatewaytest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// hook is a push address that the tests' gateways allow. Nobody sends anything there.
const hook = "http://127.0.0.1:1/hook"

// pushGateway runs a gateway in front of an agent "echo" that may be given push configs.
func pushGateway(t *testing.T, url string) *gatewaytest.Gateway {
	t.Helper()
	g := gatewaytest.Start(t, func(c *config.Config) { c.Testing.PushLoopback = true })
	g.Team("demo")
	g.Agent("echo", "demo", url, func(a *registryv1.Agent) {
		a.Push, a.PushAllowedHosts = registryv1.PushMode_PUSH_MODE_DIRECT, []string{"127.0.0.1"}
	})
	return g
}

// pushKey makes a key of team demo and returns its resource name and secret.
func pushKey(t *testing.T, g *gatewaytest.Gateway, expires time.Time) (name, secret string) {
	t.Helper()
	key := &identityv1.Key{}
	if !expires.IsZero() {
		key.ExpireTime = timestamppb.New(expires)
	}
	made, err := g.Identity.CreateKey(t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/demo", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetKey().GetName(), made.GetSecret()
}

func disable(t *testing.T, g *gatewaytest.Gateway, key string) {
	t.Helper()
	if _, err := g.Identity.DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: key}); err != nil {
		t.Fatal(err)
	}
}

// beginTask begins a task of 1.0 that goes on; more are members of the configuration,
// each with a comma in front.
func beginTask(t *testing.T, g *gatewaytest.Gateway, key, more string) (taskID string) {
	t.Helper()
	params := strings.TrimSuffix(gatewaytest.Message(uuid.NewString(), "input", ""), "}") +
		`,"configuration":{"returnImmediately":true` + more + `}}`
	return taskOf(t, g.Call("echo", key, "SendMessage", params))
}

// taskOf reads the id of the task that a send was answered with, in either version.
func taskOf(t *testing.T, reply gatewaytest.Reply) string {
	t.Helper()
	var body struct {
		Result struct {
			ID   string `json:"id"`
			Task struct {
				ID string `json:"id"`
			} `json:"task"`
		} `json:"result"`
	}
	if err := json.Unmarshal(reply.Body, &body); err != nil || body.Result.ID+body.Result.Task.ID == "" {
		t.Fatalf("no task was begun: %s, %v", reply.Body, err)
	}
	return body.Result.ID + body.Result.Task.ID
}

func call(t *testing.T, g *gatewaytest.Gateway, key, method, params string) {
	t.Helper()
	if reply := g.Call("echo", key, method, params); reply.Error(t).Code != 0 {
		t.Fatalf("%s: %s", method, reply.Body)
	}
}

func setConfig(t *testing.T, g *gatewaytest.Gateway, key, taskID, id string) {
	t.Helper()
	call(t, g, key, "CreateTaskPushNotificationConfig", fmt.Sprintf(`{"taskId":%q,"id":%q,"url":%q}`, taskID, id, hook))
}

// wantConfigs waits until a task has exactly these configs at its agent.
func wantConfigs(t *testing.T, agent *peers.PushAgent, taskID string, within time.Duration, want ...string) {
	t.Helper()
	eventually(t, within, func() string {
		return cmp.Diff(want, agent.Configs(t, taskID), cmpopts.EquateEmpty())
	})
}

// eventually waits until problem returns "". What it waits for happens in the
// gateway's own time, behind real connections.
func eventually(t *testing.T, within time.Duration, problem func() string) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p := problem()
		if p == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", within, p)
		case <-tick.C:
		}
	}
}

// deletions returns the events of what the gateway deleted itself, of n deletions at
// least that it knows of.
func deletions(g *gatewaytest.Gateway, n int) []*auditv1.Event {
	all := g.Events(`agent="echo" AND method="DeleteTaskPushNotificationConfig"`, n)
	return slices.DeleteFunc(all, func(e *auditv1.Event) bool { return e.GetUserAgent() != "signalbox" })
}

func TestPush_ConfigsOfADisabledKeyAreDeletedAtTheAgent(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go)
	g := pushGateway(t, agent.URL)
	name, alice := pushKey(t, g, time.Time{})
	_, bob := pushKey(t, g, time.Time{})
	hers, his := beginTask(t, g, alice, ""), beginTask(t, g, bob, "")
	admins := beginTask(t, g, g.AdminKey, "")
	setConfig(t, g, alice, hers, "c1")
	setConfig(t, g, alice, hers, "c2")
	setConfig(t, g, bob, his, "c3")
	setConfig(t, g, g.AdminKey, admins, "c4")
	call(t, g, alice, "DeleteTaskPushNotificationConfig", fmt.Sprintf(`{"taskId":%q,"id":"c1"}`, hers))
	disable(t, g, name)
	wantConfigs(t, agent, hers, 5*time.Second)
	wantConfigs(t, agent, his, 0, "c3")
	wantConfigs(t, agent, admins, 0, "c4")

	// What she deleted herself is not deleted again, and what the gateway did is on record.
	events := deletions(g, 2)
	if len(events) != 1 {
		t.Fatalf("%d events of deletions, want 1: %v", len(events), events)
	}
	e := events[0]
	if e.GetCaller() != name || e.GetMethod() != "DeleteTaskPushNotificationConfig" || e.GetTaskId() != hers ||
		e.GetOutcome() != auditv1.Outcome_OUTCOME_SUCCEEDED {
		t.Errorf("the event is %v", e)
	}
	if n := agent.Deletes(); n != 2 {
		t.Errorf("the agent was asked to delete %d times, want 2", n)
	}
}

func TestPush_ConfigsOfAnExpiredKeyAreDeletedAtTheAgent(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go)
	g := pushGateway(t, agent.URL)
	_, key := pushKey(t, g, time.Now().Add(2*time.Second))
	taskID := beginTask(t, g, key, "")
	setConfig(t, g, key, taskID, "c1")
	wantConfigs(t, agent, taskID, 0, "c1")
	wantConfigs(t, agent, taskID, 10*time.Second)
}

func TestPush_InlineConfigsAreDeletedWhetherOrNotTheirIDIsKnown(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go)
	g := pushGateway(t, agent.URL)
	name, key := pushKey(t, g, time.Time{})
	named := beginTask(t, g, key, fmt.Sprintf(`,"taskPushNotificationConfig":{"id":"mine","url":%q}`, hook))
	unnamed := beginTask(t, g, key, fmt.Sprintf(`,"taskPushNotificationConfig":{"url":%q}`, hook))
	streamed := func() string {
		params := strings.TrimSuffix(gatewaytest.Message(uuid.NewString(), "stream", ""), "}") +
			fmt.Sprintf(`,"configuration":{"taskPushNotificationConfig":{"id":"streamed","url":%q}}}`, hook)
		reply := g.Call("echo", key, "SendStreamingMessage", params)
		_, event, _ := strings.Cut(string(reply.Body), "data:")
		event, _, _ = strings.Cut(event, "\n")
		return taskOf(t, gatewaytest.Reply{Body: []byte(event)})
	}()
	wantConfigs(t, agent, named, 0, "mine")
	wantConfigs(t, agent, streamed, 0, "streamed")
	if n := len(agent.Configs(t, unnamed)); n != 1 {
		t.Fatalf("%d configs, want 1", n)
	}
	disable(t, g, name)
	wantConfigs(t, agent, named, 5*time.Second)
	wantConfigs(t, agent, unnamed, 5*time.Second)
	wantConfigs(t, agent, streamed, 5*time.Second)
}

func TestPush_AnAgentThatIsAwayIsAskedAgain(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go)
	g := pushGateway(t, agent.URL)
	name, key := pushKey(t, g, time.Time{})
	taskID := beginTask(t, g, key, "")
	setConfig(t, g, key, taskID, "c1")
	agent.SetAway(true)
	disable(t, g, name)
	eventually(t, 5*time.Second, func() string {
		if agent.Refused() == 0 {
			return "the agent was not called"
		}
		return ""
	})
	agent.SetAway(false)
	wantConfigs(t, agent, taskID, 20*time.Second)
	events := deletions(g, 2)
	got := make([]string, len(events))
	for i, e := range events {
		got[i] = e.GetOutcome().String()
	}
	if diff := cmp.Diff([]string{"OUTCOME_UNAVAILABLE", "OUTCOME_SUCCEEDED"}, got); diff != "" {
		t.Errorf("outcomes of the attempts (-want +got):\n%s", diff)
	}
}

func TestPush_ConfigsWhoseReplyWasLostAreDeletedToo(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go)
	g := pushGateway(t, agent.URL)
	name, key := pushKey(t, g, time.Time{})
	taskID := beginTask(t, g, key, "")
	agent.SetMute(true)
	params := fmt.Sprintf(`{"taskId":%q,"url":%q}`, taskID, hook)
	if reply := g.Call("echo", key, "CreateTaskPushNotificationConfig", params); reply.Error(t).Code == 0 {
		t.Fatalf("the reply was not lost: %s", reply.Body)
	}
	agent.SetMute(false)
	if n := len(agent.Configs(t, taskID)); n != 1 {
		t.Fatalf("%d configs, want 1", n)
	}
	disable(t, g, name)
	wantConfigs(t, agent, taskID, 5*time.Second)
}

func TestPush_ConfigsOfTheOlderProtocolAreDeletedToo(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go03)
	g := pushGateway(t, agent.URL)
	name, key := pushKey(t, g, time.Time{})
	begin := func(configuration string) string {
		params := strings.TrimSuffix(gatewaytest.Message03(uuid.NewString(), "input", ""), "}") +
			`,"configuration":{"blocking":false` + configuration + `}}`
		return taskOf(t, g.Call("echo", key, "message/send", params))
	}
	set := begin("")
	call(t, g, key, "tasks/pushNotificationConfig/set", fmt.Sprintf(`{"taskId":%q,"pushNotificationConfig":{"url":%q}}`, set, hook))
	inline := begin(fmt.Sprintf(`,"pushNotificationConfig":{"url":%q}`, hook))
	for _, taskID := range []string{set, inline} {
		if n := len(agent.Configs(t, taskID)); n != 1 {
			t.Fatalf("%d configs, want 1", n)
		}
	}
	disable(t, g, name)
	wantConfigs(t, agent, set, 5*time.Second)
	wantConfigs(t, agent, inline, 5*time.Second)
}

func TestPush_ConfigsAreDeletedWhenTheAgentsOwnerAllowsNoneAnyMore(t *testing.T) {
	agent := peers.StartPushAgent(t, peers.Go)
	g := pushGateway(t, agent.URL)
	_, key := pushKey(t, g, time.Time{})
	taskID := beginTask(t, g, key, "")
	setConfig(t, g, key, taskID, "c1")
	_, err := g.Registry.UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
		Agent:      &registryv1.Agent{Name: "agents/echo", Push: registryv1.PushMode_PUSH_MODE_OFF},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"push"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantConfigs(t, agent, taskID, 5*time.Second)
}

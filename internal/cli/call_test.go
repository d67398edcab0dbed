package cli_test

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
)

func TestCall_PrintsWhatTheAgentSays(t *testing.T) {
	g := startGateway(t)
	g.steps(t, []step{
		{args: []string{"call", "echo", "hello"}, out: "=hello\n", err: " completed\n"},
		{args: []string{"call", "agents/echo", "hello"}, out: "=hello\n"},
		{args: []string{"call", "echo", "-"}, stdin: "from a pipe\n", out: "=from a pipe\n"},
		{args: []string{"call", "echo", "a\x1b[31mb"}, out: "=a[31mb\n"},
		{args: []string{"call", "echo", "stream one two three", "--stream"}, out: "=one two three\n", err: " working\n"},
		{args: []string{"call", "echo", "stream one two three"}, out: "=one two three\n"},
		{args: []string{"call", "echo", "hello", "--version", "1.0"}, out: "=hello\n"},
		{args: []string{"call", "echo", "hello", "--version", "0.3"}, out: "=hello\n"},
		{args: []string{"call", "echo", "hello", "--version", "2"}, code: 2, err: "is not 1.0, 0.3 or auto"},
		{args: []string{"call", "researcher", " "}, code: 1, out: "what should I find out about", err: "rejected the task"},
		{args: []string{"call", "echo", "hello", "-o", "yaml"}, out: "state: TASK_STATE_COMPLETED"},
		{args: []string{"call", "echo", "hello", "--json", "-o", "yaml"}, code: 2, err: "not both"},
		{args: []string{"call", "echo", "--data", "{"}, code: 2, err: "is no JSON"},
		{args: []string{"call", "echo", "--file", "/no/such/file"}, code: 1, err: "no such file"},
		{args: []string{"call", "echo", "hello", "--context", "never-seen", "--task", "none"}, code: 1, err: "error: call echo"},
		{args: []string{"call", "echo", "hello", "--stream", "--no-wait"}, code: 2, err: "[no-wait stream]"},
		{args: []string{"call", "echo", "hello", "--get", "x"}, code: 2, err: "without --get"},
	})
	raw := g.run(t, "call", "echo", "stream one two", "--stream", "--json").ok(t)
	var states []string
	for line := range strings.Lines(raw.out) {
		var reply struct {
			Result struct {
				Task, StatusUpdate struct{ Status struct{ State string } }
			}
		}
		if err := json.Unmarshal([]byte(line), &reply); err != nil {
			t.Fatalf("a line of --json is no JSON: %v: %s", err, line)
		}
		if s := reply.Result.Task.Status.State + reply.Result.StatusUpdate.Status.State; s != "" {
			states = append(states, s)
		}
	}
	if got := strings.Join(states, " "); got != "TASK_STATE_SUBMITTED TASK_STATE_WORKING TASK_STATE_COMPLETED" {
		t.Errorf("states of the stream: %s", got)
	}
	// Errors are replies too.
	if got := g.run(t, "call", "nobody", "x", "--version", "1.0", "--json"); got.code != 1 || !strings.Contains(got.out, `"code":-31404`) {
		t.Errorf("--json of an error: exit code %d, %s", got.code, got.out)
	}
}

func TestCall_TasksCanBeLeftFollowedAndCancelled(t *testing.T) {
	g := startGateway(t)
	left := g.run(t, "call", "echo", "slow work", "--no-wait").ok(t)
	m := regexp.MustCompile(`signalbox (call echo --get (\S+))\n`).FindStringSubmatch(left.err)
	if m == nil {
		t.Fatalf("--no-wait does not say how to go on:\n%s", left.err)
	}
	task := m[2]
	if got := g.run(t, strings.Fields(m[1])...).ok(t); !strings.Contains(got.err, "task "+task+" ") {
		t.Errorf("--get said:\n%s", got.err)
	}
	_, errs, stop := foreground(t, "call", "echo", "--subscribe", task, "--server", g.url, "--key", g.demo.Key())
	errs.wait(t, "working")
	if code := stop(); code != 1 || !strings.Contains(errs.String(), "signalbox call echo --cancel "+task+"\n") {
		t.Errorf("following a task ended with %d when it was interrupted:\n%s", code, errs)
	}
	out, errs, stop := foreground(t, "call", "echo", "--subscribe", task, "--server", g.url, "--key", g.demo.Key())
	errs.wait(t, "working")
	g.run(t, "call", "echo", "--cancel", task).ok(t)
	errs.wait(t, "canceled\n")
	if code := stop(); code != 1 {
		t.Errorf("following a task that was cancelled ended with %d, want 1; %s%s", code, out, errs)
	}
	g.steps(t, []step{
		{args: []string{"call", "echo", "--get", task}, err: "canceled"},
		{args: []string{"call", "echo", "--subscribe", task}, code: 1, err: "next    "},
	})
	// Tasks are their caller's alone.
	if got := g.runAs(t, g.admin, "", "call", "echo", "--get", task); got.code != 1 || !strings.Contains(got.err, "TASK_NOT_FOUND") {
		t.Errorf("another key's --get: exit code %d, stderr:\n%s", got.code, got.err)
	}
}

func TestCall_PlannerAsksResearcher(t *testing.T) {
	g := startGateway(t)
	found := g.run(t, "call", "researcher", "trains").ok(t).out
	plan := g.run(t, "call", "planner", "compare trains and planes", "--stream").ok(t).out
	if !strings.Contains(plan, found) || !strings.Contains(plan, "planes") {
		t.Errorf("the plan is:\n%s\nwant these findings in it:\n%s", plan, found)
	}
}

// partsExecutor says what parts it got, asks back, or answers with a message.
type partsExecutor struct{}

var _ a2asrv.AgentExecutor = partsExecutor{}

func (partsExecutor) Execute(_ context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		text := ""
		for _, p := range ec.Message.Parts {
			text += p.Text()
		}
		switch {
		case text == "message":
			yield(a2a.NewMessage(a2a.MessageRoleAgent, a2a.NewTextPart("a message")), nil)
			return
		case ec.StoredTask == nil && !yield(a2a.NewSubmittedTask(ec, ec.Message), nil):
			return
		case text == "ask":
			yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateInputRequired,
				a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart("which year?"))), nil)
			return
		case text == "fail":
			yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateFailed,
				a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart("it rained"))), nil)
			return
		}
		if yield(a2a.NewArtifactEvent(ec, ec.Message.Parts...), nil) {
			yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCompleted, nil), nil)
		}
	}
}

func (partsExecutor) Cancel(_ context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCanceled, nil), nil)
	}
}

// startPartsAgent serves an agent of a version.
func startPartsAgent(t *testing.T, version string) string {
	t.Helper()
	capabilities := a2a.AgentCapabilities{Streaming: true}
	handler := a2asrv.NewHandler(partsExecutor{}, a2asrv.WithCapabilityChecks(&capabilities), a2asrv.WithLogger(slog.New(slog.DiscardHandler)))
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	face := a2a.NewAgentInterface(srv.URL+"/rpc", a2a.TransportProtocolJSONRPC)
	card := &a2a.AgentCard{
		Name: "Parts", Description: "Says what it got.", Version: "1", SupportedInterfaces: []*a2a.AgentInterface{face},
		Capabilities: capabilities, DefaultInputModes: []string{"text/plain"}, DefaultOutputModes: []string{"text/plain"},
		Skills: []a2a.AgentSkill{{ID: "s", Name: "S", Description: "S.", Tags: []string{"t"}}},
	}
	rpc, cards := a2asrv.NewJSONRPCHandler(handler), a2asrv.NewStaticAgentCardHandler(card)
	if version == "0.3" {
		face.ProtocolVersion = a2a.ProtocolVersion(version)
		rpc, cards = a2av0.NewJSONRPCHandler(handler), a2asrv.NewAgentCardHandler(a2av0.NewStaticAgentCardProducer(card))
	}
	mux.Handle("POST /rpc", rpc)
	mux.Handle(a2asrv.WellKnownAgentCardPath, cards)
	return srv.URL
}

func TestCall_SpeaksBothVersionsWithEveryKindOfPart(t *testing.T) {
	g := startGateway(t)
	file := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(file, []byte("twelve bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0", "0.3"} {
		name := "parts-" + strings.ReplaceAll(version, ".", "-")
		t.Run(version, func(t *testing.T) {
			g.run(t, "agents", "create", name, "--team", "demo", "--url", startPartsAgent(t, version)).ok(t)
			g.steps(t, []step{
				{
					args: []string{"call", name, "text", "--data", `{"n": 1}`, "--file", file},
					out:  "=text\n{\n  \"n\": 1\n}\n[file notes.txt text/plain; charset=utf-8 12 bytes]\n", err: " completed\n",
				},
				{args: []string{"call", name, "text", "--stream"}, out: "=text\n", err: " completed\n"},
				{args: []string{"call", name, "message"}, out: "=a message\n"},
				{args: []string{"call", name, "message", "--stream"}, out: "=a message\n"},
				{args: []string{"call", name, "fail"}, code: 1, out: "=it rained\n", err: "the agent failed at the task"},
				{args: []string{"call", name, "--get", "none"}, code: 1, err: "(code -32001)"},
			})
			asked := g.run(t, "call", name, "ask").ok(t)
			m := regexp.MustCompile(`answer with: signalbox call \S+ --task (\S+) TEXT`).FindStringSubmatch(asked.err)
			if asked.out != "which year?\n" || m == nil {
				t.Fatalf("an agent that asks: stdout %q, stderr:\n%s", asked.out, asked.err)
			}
			if got := g.run(t, "call", name, "1999", "--task", m[1]).ok(t); !strings.Contains(got.out, "1999\n") {
				t.Errorf("the answer's answer is %q", got.out)
			}
		})
	}
}

package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTasks_AdoptGivesThemToAKeyAndNamesConflicts(t *testing.T) {
	g := startGateway(t)
	g.run(t, "teams", "create", "research").ok(t)
	secret := strings.TrimSpace(g.run(t, "keys", "create", "ci", "--team", "research").ok(t).out)
	list := filepath.Join(t.TempDir(), "tasks.txt")
	text := "# from before\n\n task l1 c1 \r\ntask l2\ncontext c2\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// As agents of both versions list their tasks: whole, in an answer, and a task a line.
	whole := `{"tasks":[{"id":"w1","contextId":"cw","status":{"state":"TASK_STATE_COMPLETED"},"x":1e400}],"nextPageToken":"more","totalSize":9}`
	answer := "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tasks\":[\n{\"id\":\"a1\",\"status\":{\"state\":\"working\"}}]}}"
	perLine := "{\"id\":\"j1\",\"context_id\":\"cj\"}\n{\"id\":\"j2\",\"status\":{\"state\":\"failed\"}}\n[{\"id\":\"j3\"}]\n"
	adopt := func(args ...string) []string { return append([]string{"tasks", "adopt", "echo", "--owner"}, args...) }
	g.steps(t, []step{
		{args: adopt("research/ci", "t1", "t2", "--context", "c", "--dry-run"), out: "to adopt             3\n"},
		{args: []string{"tasks", "owner", "echo", "t1"}, code: 1, err: "reason  TASK_NOT_FOUND\n"},
		{args: adopt("research/ci", "t1", "t2", "--context", "c"), out: "adopted              3\n"},
		{args: adopt("teams/research/keys/ci", "t1"), out: "already the owner's  1\n"},
		{args: []string{"task", "owner", "echo", "t1"}, out: "owner     research/ci\nagent     agents/echo\ntask      t1\nendpoint  http"},
		{args: []string{"tasks", "owner", "agents/echo", "c", "--context", "-o", "json"}, out: `"owner": "teams/research/keys/ci"`},
		{args: adopt("demo/demo", "t1", "t9"), code: 1, out: "owned by others      1\ninvalid              0\n\nKIND  ID  PROBLEM\ntask  t1  it belongs to another\n", err: "nothing was adopted"},
		{args: adopt("demo/demo", "t1", "t9", "-o", "json"), code: 1, out: `"ownedByOtherCount": 1`},
		{args: []string{"tasks", "owner", "echo", "t9"}, code: 1, err: "begun past the gateway"},
		{args: adopt("demo/demo", "t1", "t9", "--skip"), out: "adopted              1\nalready the owner's  0\nowned by others      1\n"},
		{args: adopt("demo/demo", strings.Repeat("x", 600)), code: 1, out: "xxx… (600 bytes)  it is longer than 512 bytes"},
		{args: adopt("demo/demo", "--terminal", "done"), out: "adopted              1\n"},
		{args: []string{"tasks", "owner", "echo", "done"}, out: "ended     yes\n"},

		{args: adopt("research/ci", "--from", list), out: "adopted              4\n"},
		{args: adopt("research/ci", "--from", "-"), stdin: whole, out: "adopted              2\n", err: "further pages"},
		{args: []string{"tasks", "owner", "echo", "w1"}, out: "context   cw\n"},
		{args: []string{"tasks", "owner", "echo", "w1"}, out: "ended     yes\n"},
		{args: adopt("research/ci", "--from", "-", "t3"), stdin: answer, out: "adopted              2\n"},
		{args: adopt("research/ci", "--from", "-"), stdin: "\ufeff" + perLine, out: "adopted              4\n"},
		{args: []string{"tasks", "owner", "echo", "j2"}, out: "ended     yes\n"},
		{args: adopt("research/ci", "--from", "-"), stdin: " \n", out: "=", err: "there is no task in -"},
		{args: adopt("research/ci", "--from", "-"), stdin: "task a b c\n", code: 1, err: `line 1 is neither "task ID [CONTEXT]" nor "context ID"`},
		{args: adopt("research/ci", "--from", "-"), stdin: `{"id":7}`, code: 1, err: `JSON value 1: a task has no "id"`},
		{args: adopt("research/ci", "--from", "-"), stdin: `[{"id":"a"},null]`, code: 1, err: `JSON value 1: a task has no "id"`},
		{args: adopt("research/ci", "--from", "-"), stdin: `{"id":"a"}{`, code: 1, err: "JSON value 2: unexpected EOF"},
		{args: adopt("research/ci", "--from", filepath.Join(list, "none")), code: 1, err: "read tasks: open "},

		{args: adopt("research/ci"), code: 2, err: "which tasks should be adopted?"},
		{args: adopt("ci", "t"), code: 2, err: "of which team"},
		{args: []string{"tasks", "adopt", "echo", "t"}, code: 2, err: `required flag(s) "owner" not set`},
		{args: adopt("research/none", "t"), code: 1, err: "reason  KEY_NOT_FOUND"},
		{args: adopt("research/ci", "t", "--endpoint", "http://127.0.0.1:1"), code: 1, err: "endpoint_url: it is none of the endpoints of agents/echo"},
		{args: []string{"tasks", "adopt", "nobody", "t", "--owner", "research/ci"}, code: 1, err: "reason  AGENT_NOT_FOUND"},
	})
	// A team that does not own the agent cannot take its tasks.
	if got := g.runAs(t, secret, "", adopt("research/ci", "t77")...); got.code != 1 || !strings.Contains(got.err, "PERMISSION_DENIED") {
		t.Errorf("adopting at another team's agent: exit code %d, stderr:\n%s", got.code, got.err)
	}
}

func TestTasks_AdoptTakesMoreThanOneCallDoes(t *testing.T) {
	g := startGateway(t)
	var lines strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&lines, "task t-%04d\n", i)
	}
	adopt := func(owner string, more ...string) result {
		args := append([]string{"tasks", "adopt", "echo", "--owner", owner, "--from", "-", "-o", "json"}, more...)
		return g.runAs(t, g.admin, lines.String(), args...)
	}
	g.run(t, "teams", "create", "other").ok(t)
	g.run(t, "keys", "create", "k", "--team", "other").ok(t)
	g.run(t, "tasks", "adopt", "echo", "t-2400", "--owner", "other/k").ok(t)
	// A conflict of the third thousand keeps the first from being adopted.
	if got := adopt("demo/demo"); got.code != 1 {
		t.Errorf("exit code %d, want 1:\n%s", got.code, got.err)
	}
	if got := g.run(t, "tasks", "owner", "echo", "t-0000"); got.code != 1 {
		t.Errorf("t-0000 was adopted:\n%s", got.out)
	}
	var res struct {
		AdoptedCount, OwnedByOtherCount int
		Results                         []json.RawMessage
	}
	if err := json.Unmarshal([]byte(adopt("demo/demo", "--skip").ok(t).out), &res); err != nil {
		t.Fatal(err)
	}
	if res.AdoptedCount != 2499 || res.OwnedByOtherCount != 1 || len(res.Results) != 2500 {
		t.Errorf("%d adopted, %d of others, %d results; want 2499, 1, 2500", res.AdoptedCount, res.OwnedByOtherCount, len(res.Results))
	}
}

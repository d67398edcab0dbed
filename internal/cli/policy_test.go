package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// written makes a file of a text and returns its path.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGrantsAndPolicies_AreAskedAboutAsTheyAreWritten(t *testing.T) {
	g := startGateway(t)
	bad := written(t, "bad.cedar", "permit (principal, action, resource)\n  when { resource.colour == 1 };\n")
	out := written(t, "out.cedar", "forbid (principal, action, resource);\n")
	office := written(t, "Office hours.cedar", "// Nobody calls at night.\nforbid (\n\tprincipal,\n\taction in Signalbox::Action::\"invoke\",\n\tresource\n) when { context.hour < 6 };\n")
	g.steps(t, []step{
		{args: []string{"teams", "create", "research"}, out: "teams/research"},
		{args: []string{"keys", "create", "ci", "--team", "research"}, out: "sb_"},
		{args: []string{"agents", "update", "echo", "--visibility", "team"}, out: "echo"},
		{args: []string{"policy", "check", "--as", "key:teams/research/keys/ci", "--action", "invoke", "--agent", "echo"}, code: 3, out: "=deny, because nothing permits it\n"},
		{
			args: []string{"grants", "create", "--principal", "team:research", "--agents", "agent:echo", "--actions", "invoke,discover", "--until", "2999-01-01"},
			out:  "says       everybody in team research may invoke and discover the agent echo, also through other agents, until 2999-01-01 00:00:00 UTC\n",
		},
		{args: []string{"policy", "check", "--as", "key:research/ci", "--action", "invoke", "--agent", "echo"}, out: "permit, because of grant g-1\n"},
		{args: []string{"policy", "check", "--as", "key:research/ci", "--agent", "echo", "--at", "2999-01-01"}, code: 3, out: "deny"},
		{args: []string{"policy", "check", "--as", "key:research/ci", "--agent", "echo", "-o", "json"}, out: `"permit": true`},
		{args: []string{"policy", "check", "--as", "key:research/none", "--agent", "echo"}, code: 1, err: "reason  UNKNOWN_PRINCIPAL"},
		{args: []string{"grants", "list", "--principal", "team:research"}, out: "g-1    team:research  agent:echo  invoke,discover  in "},
		{args: []string{"grants", "get", "g-1"}, out: "\npermit (\n  principal in Signalbox::Team::\"research\","},
		{args: []string{"grants", "update", "g-1", "--disable"}, out: "disabled   yes\n", err: "confirmed by the only replica"},
		{args: []string{"policy", "check", "--as", "key:research/ci", "--agent", "echo"}, code: 3, out: "deny"},
		{args: []string{"grants", "update", "g-1", "--enable", "--until", "never"}, out: "grants/g-1"},
		{args: []string{"grants", "create", "--principal", "team:nobody", "--agents", "all"}, code: 1, err: "team:nobody: there is no such team"},
		{args: []string{"grants", "delete", "g-1"}, out: "deleted grants/g-1"},

		{args: []string{"policy", "apply", bad}, code: 1, err: bad + ":2:19: "},
		{args: []string{"policy", "apply", bad}, code: 1, err: "    when { resource.colour == 1 };\n                    ^\nerror: apply policy bad: "},
		{args: []string{"policy", "apply", out}, code: 1, err: "reason  LAST_ADMIN_LOCKED_OUT\n  next "},
		{args: []string{"policy", "apply", office, "--dry-run"}, out: "policies/office-hours", err: "nothing was changed"},
		{args: []string{"policy", "get", "office-hours"}, code: 1, err: "POLICY_NOT_FOUND"},
		{args: []string{"policy", "apply", office, "--mode", "shadow", "--comment", "quiet nights"}, out: "mode     shadow\n"},
		{args: []string{"policy", "check", "--as", "key:demo/demo", "--agent", "echo", "--at", "2027-01-01T03:00:00Z"}, out: "with the policies in shadow: deny office-hours"},
		{args: []string{"policy", "enforce", "office-hours"}, out: "mode     enforce\n", err: "confirmed by the only replica"},
		{args: []string{"policy", "check", "--as", "key:demo/demo", "--agent", "echo", "--at", "2027-01-01T03:00:00Z"}, code: 3, out: "deny, because of a forbid: policy office-hours"},
		{args: []string{"policy", "get", "office-hours"}, out: "\n// Nobody calls at night.\nforbid (\n    principal,\n"},
		{args: []string{"policy", "list"}, out: "office-hours   enforce  1"},
		{args: []string{"policy", "disable", "visible-agent"}, out: "mode         disabled"},
		{args: []string{"policy", "enforce", "visible-agent"}, out: "mode         enforce"},
		{args: []string{"policy", "delete", "visible-agent"}, code: 1, err: "POLICY_SHIPPED"},
		{args: []string{"policy", "apply", "-", "--id", "office-hours", "--comment", "not at all"}, stdin: "forbid (principal, action in Signalbox::Action::\"invoke\", resource);\n", out: "version  2\n"},
		{args: []string{"policy", "history", "office-hours", "--diff"}, out: "+forbid (principal, action in Signalbox::Action::\"invoke\", resource);\n"},
		{args: []string{"policy", "rollback", "office-hours", "1"}, out: "version  3\n"},
		{args: []string{"policy", "history", "office-hours"}, out: "back to version 1."},
		{args: []string{"policy", "delete", "office-hours"}, out: "deleted policies/office-hours"},
		{args: []string{"policy", "schema"}, out: "namespace Signalbox {"},
		{args: []string{"policy", "apply", "-"}, code: 2, err: "give --id"},
		{args: []string{"policy", "enforce", "none"}, code: 1, err: "POLICY_NOT_FOUND"},
	})
}

func TestPolicyReplay_PrintsWhatWouldChangeAndWhere(t *testing.T) {
	g := startGateway(t)
	draft := written(t, "draft.cedar", `forbid (principal in Signalbox::Team::"demo", action in Signalbox::Action::"invoke", resource == Signalbox::Agent::"echo");`)
	for range 3 {
		g.run(t, "call", "echo", "hi").ok(t)
	}
	// The record comes a moment after the calls.
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for strings.Count(g.run(t, "events", "list", "--agent", "echo").ok(t).out, "echo") < 3 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the calls did not come into the record")
		}
	}
	r := g.run(t, "policy", "replay", draft, "--since", "1h").ok(t)
	if !regexp.MustCompile(`(?m)^\d+ decisions replayed in \d+\.\d s\n  newly denied +\d+ +team demo → agent echo +Send\w+ +first seen 20\d\d-\d\d-\d\d \d\d:\d\d +\(show: events list --filter 'team = "teams/demo" AND .*'\)\n(  newly denied .*\n)*  newly allowed   0\n`).MatchString(r.out) {
		t.Errorf("replay printed:\n%s", r.out)
	}
	filter := regexp.MustCompile(`--filter '([^']+)'`).FindStringSubmatch(r.out)
	name := regexp.MustCompile(`replays/[0-9a-f-]{36}`).FindString(r.out)
	if len(filter) < 2 || name == "" {
		t.Fatalf("no filter or name in:\n%s", r.out)
	}
	if found := g.run(t, "events", "list", "--filter", filter[1]).ok(t); !strings.Contains(found.out, "echo") {
		t.Errorf("the filter finds:\n%s", found.out)
	}
	g.steps(t, []step{
		{args: []string{"policy", "replay", "--show", name}, out: "=" + r.out},
		{args: []string{"policy", "replay", draft, "-o", "json"}, out: `"newlyDenied": "`},
		{args: []string{"policy", "replay"}, out: "newly denied    0\n"},
		{args: []string{"policy", "replay", "--without", "own-team", "--entities", "now"}, out: "newly "},
		{args: []string{"policy", "replay", "--without", "none"}, code: 1, err: "POLICY_NOT_FOUND"},
		{args: []string{"policy", "replay", draft, "--since", "then"}, code: 2, err: "--since"},
		{args: []string{"policy", "apply", draft, "--replay", name}, out: "replay   " + name},
	})
	events := g.run(t, "events", "list", "--agent", "echo", "-o", "json").ok(t)
	var list struct {
		Events []struct{ Name, Method string }
	}
	if err := json.Unmarshal([]byte(events.out), &list); err != nil || len(list.Events) == 0 {
		t.Fatalf("%v: %s", err, events.out)
	}
	for _, e := range list.Events {
		if strings.HasPrefix(e.Method, "Send") {
			got := g.run(t, "policy", "explain", e.Name).ok(t)
			if !strings.Contains(got.out, "may key:teams/demo/keys/") || !strings.Contains(got.out, "permit, because of policy ") || !strings.Contains(got.out, " = ") {
				t.Errorf("explain printed:\n%s", got.out)
			}
			return
		}
	}
	t.Error("there is no send in the record")
}

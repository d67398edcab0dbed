package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// step is a command and what it must do.
type step struct {
	args  []string
	stdin string
	code  int
	out   string // part of standard output, or all of it after "="
	err   string // part of standard error
}

func (g *gateway) steps(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		name := strings.Join(s.args, " ")
		key := g.admin
		if s.args[0] == "call" {
			key = g.demo.Key()
		}
		got := g.runAs(t, key, s.stdin, s.args...)
		if got.code != s.code {
			t.Errorf("%s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", name, got.code, s.code, got.out, got.err)
			continue
		}
		if all, exact := strings.CutPrefix(s.out, "="); exact && got.out != all {
			t.Errorf("%s printed %q, want %q", name, got.out, all)
		} else if !exact && !strings.Contains(got.out, s.out) {
			t.Errorf("%s printed:\n%s\nwant %q in it", name, got.out, s.out)
		}
		if !strings.Contains(got.err, s.err) {
			t.Errorf("%s said:\n%s\nwant %q in it", name, got.err, s.err)
		}
	}
}

func TestManagement_EachCommandDoesWhatItSays(t *testing.T) {
	g := startGateway(t)
	cards := t.TempDir()
	card := filepath.Join(cards, "card.json")
	cardJSON := `{"name":"Weather Teller","description":"Tells it.","version":"1","capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],"skills":[],` +
		`"supportedInterfaces":[{"url":"http://127.0.0.1:1/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"x":9007199254740993}`
	if err := os.WriteFile(card, []byte(cardJSON), 0o600); err != nil {
		t.Fatal(err)
	}
	g.steps(t, []step{
		{args: []string{"teams", "create", "research", "--display-name", "Research"}, out: "teams/research"},
		{args: []string{"teams", "create", "research"}, code: 1, err: "reason  TEAM_EXISTS\n  next "},
		{args: []string{"teams", "create", "No!"}, code: 1, err: "field   team_id: "},
		{args: []string{"team", "get", "teams/research", "-o", "json"}, out: `"displayName": "Research"`},
		{args: []string{"teams", "show", "research"}, out: "display name  Research\n"},
		{args: []string{"teams", "update", "research", "--display-name", "R&D", "-o", "yaml"}, out: "displayName: R&D\n"},
		{args: []string{"teams", "update", "research", "--display-name", "X", "--etag", "old"}, code: 1, err: "reason  ETAG_MISMATCH"},
		{args: []string{"teams", "update", "research"}, code: 2, err: `required flag(s) "display-name" not set`},
		{args: []string{"teams", "list"}, out: "research  R&D"},
		{args: []string{"teams", "list", "--limit", "1"}, out: "demo"},
		{args: []string{"teams", "list", "--limit", "-1"}, code: 2, err: "--limit must not be negative"},
		{args: []string{"teams", "get", "nobody"}, code: 1, err: "reason  TEAM_NOT_FOUND"},

		{args: []string{"agents", "create", "weather", "--team", "research", "--url", "http://127.0.0.1:1", "--card", card, "--visibility", "public", "--tag", "a", "--tag", "b", "--weight", "2"}, out: "http://127.0.0.1:1 (weight 2)"},
		{args: []string{"agents", "create", "weather", "--team", "research", "--url", "http://127.0.0.1:1", "--card", card}, code: 1, err: "reason  AGENT_EXISTS"},
		{args: []string{"agents", "create", "w2", "--team", "research", "--url", "http://127.0.0.1:1", "--visibility", "all"}, code: 2, err: `"all" is not one of private, team, organization, public`},
		{args: []string{"agents", "create", "w2", "--team", "research"}, code: 2, err: `required flag(s) "url" not set`},
		{args: []string{"agents", "create", "dark", "--team", "research", "--url", "http://127.0.0.1:1"}, out: "card        none", err: "warning: "},
		{args: []string{"agents", "get", "dark"}, out: "speaks      JSONRPC 1.0 (assumed)\n"},
		{args: []string{"agents", "show", "dark"}, out: "GRPC/0.3       "},
		{args: []string{"agents", "show", "dark", "-o", "yaml"}, out: "address: /a2a/dark\n"},
		{args: []string{"agents", "update", "dark", "--prefer", "grpc/1.0,JSONRPC/1.0", "--card-shape", "1.0"}, out: "prefers     GRPC/1.0, JSONRPC/1.0\n"},
		{args: []string{"agents", "get", "dark"}, out: "card shape  1.0\n"},
		{args: []string{"agents", "update", "dark", "--prefer", ""}, out: "card shape  1.0\n"},
		{args: []string{"agents", "update", "dark", "--prefer", "soap/1.0"}, code: 2, err: `"soap/1.0" is not one of JSONRPC/1.0, `},
		{args: []string{"agents", "update", "dark", "--card-shape", "2.0"}, code: 2, err: `"2.0" is not one of auto, 1.0, 0.3, union`},
		{args: []string{"agents", "update", "dark", "--card-keys", "-"}, stdin: "[]", code: 1, err: "card_keys"},
		{args: []string{"agents", "update", "dark", "--card-keys", "-", "--card", "-"}, code: 2, err: "cannot both be read"},
		{args: []string{"agents", "list", "--filter", `name = "agents/dark"`}, out: "  JSONRPC 1.0 (assumed)  "},
		{args: []string{"agents", "get", "weather", "--card"}, out: "=" + cardJSON},
		{args: []string{"agents", "get", "weather", "--card", "-o", "yaml"}, out: "x: 9007199254740993\n"},
		{args: []string{"agents", "get", "dark", "--card"}, code: 1, err: "none was given"},
		{args: []string{"agents", "show", "agents/weather"}, out: "JSONRPC 1.0 http://127.0.0.1:1/rpc"},
		{args: []string{"agents", "update", "weather", "--tag", "", "--description", "Now."}, out: "description  Now.\n"},
		{args: []string{"agents", "update", "weather"}, code: 2, err: "at least one of the flags"},
		{args: []string{"agents", "list", "--filter", `visibility = "PUBLIC"`}, out: "weather"},
		{args: []string{"agents", "list", "--team", "research", "--order", "name desc", "-o", "json"}, out: `"name": "agents/dark"`},
		{args: []string{"agents", "list", "--filter", "nonsense"}, code: 1, err: "reason  INVALID_FILTER"},
		{args: []string{"agents", "list", "--filter", `tags:none`}, out: "=", err: "there is no such agent"},
		{args: []string{"agents", "import", card, "--team", "research"}, out: "name          agents/weather-teller\n"},
		{args: []string{"agents", "import", "-", "--name", "teller", "--team", "research", "--visibility", "organization"}, stdin: cardJSON, out: "agents/teller"},
		{args: []string{"agents", "import", filepath.Join(cards, "none.json")}, code: 1, err: "read card: open "},
		{args: []string{"agents", "import", "-", "--team", "research"}, stdin: "{", code: 1, err: "error: import agent"},
		{args: []string{"agents", "suspend", "teller", "--reason", "it lies"}, out: "reason        it lies\n", err: "confirmed by the only replica\n"},
		{args: []string{"agents", "suspend", "teller", "-o", "json"}, out: `"stateBefore": "STATE_APPROVED"`, err: "confirmed by the only replica\n"},
		{args: []string{"agents", "list", "--filter", "state = SUSPENDED"}, out: "  suspended  "},
		{args: []string{"agents", "resume", "teller", "--etag", "old"}, code: 1, err: "reason  ETAG_MISMATCH"},
		{args: []string{"agents", "resume", "agents/teller"}, out: "state         approved\n", err: "confirmed by the only replica\n"},
		{args: []string{"agents", "suspend", "nobody"}, code: 1, err: "error: suspend agent nobody: "},
		{args: []string{"agents", "delete", "teller"}, out: "=deleted agents/teller\n", err: "confirmed by the only replica\n"},
		{args: []string{"agents", "delete", "teller"}, code: 1, err: "reason  AGENT_NOT_FOUND"},
		{args: []string{"teams", "delete", "research"}, code: 1, err: "reason  TEAM_NOT_EMPTY"},
		{args: []string{"agents", "delete", "weather", "-o", "json"}, out: "={}\n"},
	})
}

func TestKeys_SecretIsPrintedOnceAndTheKeyObeys(t *testing.T) {
	g := startGateway(t)
	made := g.run(t, "keys", "create", "ci", "--team", "demo", "--display-name", "CI", "--expires", "90d").ok(t)
	if !regexp.MustCompile(`^sb_\S{43}\n$`).MatchString(made.out) {
		t.Fatalf("keys create printed %q, want the secret alone", made.out)
	}
	if !strings.Contains(made.err, "cannot be shown again") || !strings.Contains(made.err, "(in 90d)") {
		t.Errorf("keys create said:\n%s", made.err)
	}
	secret := strings.TrimSpace(made.out)
	uses := func(key string) result { return g.runAs(t, key, "", "teams", "list") }
	uses(secret).ok(t)

	for _, args := range [][]string{{"keys", "list"}, {"keys", "get", "demo/ci"}, {"keys", "list", "-o", "yaml"}, {"keys", "get", "ci", "--team", "demo", "-o", "json"}} {
		got := g.run(t, args...).ok(t)
		if strings.Contains(got.out, secret) || !strings.Contains(got.out, "CI") {
			t.Errorf("%q printed:\n%s", args, got.out)
		}
	}
	rotated := g.run(t, "keys", "rotate", "demo/ci", "--overlap", "1h", "-o", "json").ok(t)
	var answer struct{ Secret string }
	if err := json.Unmarshal([]byte(rotated.out), &answer); err != nil {
		t.Fatal(err)
	}
	uses(secret).ok(t) // the overlap
	uses(answer.Secret).ok(t)
	again := g.run(t, "keys", "rotate", "demo/ci").ok(t)
	if got := uses(answer.Secret); got.code != 1 || !strings.Contains(got.err, "CREDENTIALS_INVALID") {
		t.Errorf("the secret before a rotation without overlap: exit code %d, stderr:\n%s", got.code, got.err)
	}
	if !strings.HasSuffix(again.err, "confirmed by the only replica\n") {
		t.Errorf("keys rotate said:\n%s", again.err)
	}
	last := strings.TrimSpace(again.out)
	if got := g.run(t, "keys", "disable", "demo/ci").ok(t); !strings.Contains(got.out, "state         disabled") ||
		got.err != "confirmed by the only replica\n" {
		t.Errorf("keys disable printed:\n%s\nand said:\n%s", got.out, got.err)
	}
	if got := uses(last); got.code != 1 || !strings.Contains(got.err, "signalbox keys update KEY --enable") {
		t.Errorf("a disabled key: exit code %d, stderr:\n%s", got.code, got.err)
	}
	g.run(t, "keys", "update", "demo/ci", "--enable", "--expires", "never").ok(t)
	uses(last).ok(t)
	g.steps(t, []step{
		{args: []string{"keys", "get", "demo/ci"}, out: "expires       never"},
		{args: []string{"keys", "get", "ci"}, code: 2, err: "of which team"},
		{args: []string{"keys", "get", "demo/none"}, code: 1, err: "reason  KEY_NOT_FOUND"},
		{args: []string{"keys", "create", "--team", "demo", "--expires", "2001-01-01"}, code: 2, err: "has passed"},
		{args: []string{"keys", "create", "ci", "--team", "demo"}, code: 1, err: "reason  KEY_EXISTS"},
		{args: []string{"keys", "rotate", "demo/ci", "--overlap", "soon"}, code: 2, err: "is no duration"},
		{args: []string{"keys", "update", "demo/ci"}, code: 2, err: "at least one of the flags"},
	})
	// Only admin makes keys.
	if got := g.runAs(t, last, "", "keys", "create", "--team", "demo"); got.code != 1 || !strings.Contains(got.err, "PERMISSION_DENIED") ||
		!strings.Contains(got.err, "admin key") {
		t.Errorf("a team's key that makes keys: exit code %d, stderr:\n%s", got.code, got.err)
	}
}

func TestErrors_SayWhatToDoNext(t *testing.T) {
	g := startGateway(t)
	env := func(server, key string) map[string]string {
		return map[string]string{"SIGNALBOX_SERVER": server, "SIGNALBOX_KEY": key, "HOME": g.home}
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		code int
		want []string
	}{
		{"no key", env(g.url, ""), []string{"teams", "list"}, 1, []string{"reason  CREDENTIALS_MISSING", "next    give a key with"}},
		{"no key, call", env(g.url, ""), []string{"call", "echo", "hi"}, 1, []string{"reason  CREDENTIALS_MISSING", "next    give a key with"}},
		{"wrong key", env(g.url, "sb_wrong"), []string{"events", "tail"}, 1, []string{"reason  CREDENTIALS_INVALID", "next "}},
		{"no gateway", env("http://127.0.0.1:1", "sb_x"), []string{"teams", "list"}, 1, []string{"connection refused", "signalbox serve"}},
		{"no gateway, call", env("http://127.0.0.1:1", "sb_x"), []string{"call", "echo", "hi"}, 1, []string{"error: call echo: dial tcp 127.0.0.1:1", "signalbox serve"}},
		{"an address that is none", env("127.0.0.1", "sb_x"), []string{"teams", "list"}, 1, []string{`"127.0.0.1" is no address of a gateway`}},
		{"something else there", env(g.url+"/metrics", g.admin), []string{"teams", "list"}, 1, []string{"error: list teams"}},
		{"no agent", env(g.url, g.demo.Key()), []string{"call", "nobody", "hi"}, 1, []string{"reason  AGENT_NOT_FOUND", "signalbox agents list"}},
		{"no task", env(g.url, g.demo.Key()), []string{"call", "echo", "--get", "none"}, 1, []string{"reason  TASK_NOT_FOUND", "next "}},
		{"no command", env(g.url, ""), []string{"frobnicate"}, 2, []string{`unknown command "frobnicate"`, "--help"}},
		{"no subcommand", env(g.url, ""), []string{"agents", "frobnicate"}, 2, []string{`unknown command "frobnicate"`, "signalbox agents --help"}},
		{"no flag", env(g.url, ""), []string{"teams", "list", "--frob"}, 2, []string{"unknown flag: --frob", "usage   signalbox teams list"}},
		{"no text", env(g.url, ""), []string{"call", "echo"}, 2, []string{"what should be said"}},
		{"no format", env(g.url, ""), []string{"teams", "list", "-o", "xml"}, 2, []string{"table, json, yaml"}},
		{"two tasks", env(g.url, ""), []string{"call", "echo", "--get", "a", "--cancel", "b"}, 2, []string{"[cancel get]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t, tt.env, "", tt.args...)
			if got.code != tt.code {
				t.Errorf("exit code %d, want %d", got.code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.err, want) {
					t.Errorf("stderr:\n%s\nwant %q in it", got.err, want)
				}
			}
			if got.out != "" {
				t.Errorf("stdout %q, want nothing", got.out)
			}
		})
	}
}

func TestEvents_ShowTheCallsThatWereMade(t *testing.T) {
	g := startGateway(t)
	tail, tailErr, stop := foreground(t, "events", "tail", "--agent", "echo", "--after", "0", "--server", g.url, "--key", g.admin, "-o", "json")
	g.run(t, "call", "echo", "hello", "--version", "0.3").ok(t)
	g.run(t, "call", "nobody", "hello")
	g.run(t, "call", "echo", "--get", "none")
	text := tail.wait(t, "TASK_NOT_FOUND")
	if code := stop(); code != 0 {
		t.Errorf("an interrupted tail ended with %d:\n%s", code, tailErr)
	}
	var name string
	for line := range strings.Lines(text) {
		var e struct{ Name, Agent, Method, Outcome, Caller, TaskState string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("a line of the tail is no JSON: %v: %s", err, line)
		}
		if e.Agent != "agents/echo" {
			t.Errorf("a tail of echo has an event of %q", e.Agent)
		}
		if e.Method == "SendMessage" {
			name = e.Name
			if e.Outcome != "OUTCOME_SUCCEEDED" || e.Caller != "teams/demo/keys/demo" {
				t.Errorf("event %+v, want one of the demo key that succeeded", e)
			}
		}
	}
	g.steps(t, []step{
		{args: []string{"events", "list"}, out: "refused AGENT_NOT_FOUND"},
		{args: []string{"events", "list", "--agent", "echo", "--method", "SendMessage"}, out: "succeeded"},
		{args: []string{"events", "list", "--upstream-dialect", "jsonrpc/1.0", "--method", "SendMessage"}, out: "succeeded"},
		{args: []string{"events", "list", "--upstream-dialect", "GRPC/1.0"}, out: "=", err: "there is no such event"},
		{args: []string{"events", "get", name}, out: "JSONRPC/0.3, translated to JSONRPC/1.0\n"},
		{args: []string{"events", "list", "--outcome", "failed"}, out: "="},
		{args: []string{"events", "list", "--outcome", "refused", "--since", "1h", "--caller", "demo/demo", "--limit", "1"}, out: "TASK_NOT_FOUND"},
		{args: []string{"events", "list", "--since", "2999-01-01"}, out: "=", err: "there is no such event"},
		{args: []string{"events", "list", "--team", "demo", "--filter", `method = "GetTask"`, "-o", "yaml"}, out: "method: GetTask"},
		{args: []string{"events", "list", "--outcome", "fine"}, code: 2, err: "is not one of succeeded"},
		{args: []string{"events", "list", "--since", "yore"}, code: 2, err: "--since"},
		{args: []string{"events", "get", name}, out: "permitted by own-team"},
		{args: []string{"events", "get", strings.TrimPrefix(name, "events/"), "-o", "json"}, out: `"method": "SendMessage"`},
		{args: []string{"events", "get", "events/01a2026e-e779-7847-9165-cd1a1b0857b8"}, code: 1, err: "reason  EVENT_NOT_FOUND"},
		{args: []string{"events", "get", "x"}, code: 1, err: "field   name"},
	})
	lines := strings.Split(strings.TrimSpace(g.run(t, "events", "list", "--limit", "2").ok(t).out), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "TIME ") {
		t.Errorf("events list --limit 2 printed %d lines: %q", len(lines), lines)
	}
}

func TestCompletion_KnowsCommandsValuesAndNames(t *testing.T) {
	g := startGateway(t)
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{""}, []string{"agents", "bench", "call", "completion", "demo", "events", "issuers", "keys", "migrate", "roles", "serve", "teams", "users", "version"}},
		{[]string{"agents", ""}, []string{"create", "delete", "get", "import", "list", "update"}},
		{[]string{"agents", "list", "-o", ""}, []string{"table", "json", "yaml"}},
		{[]string{"agents", "create", "x", "--visibility", ""}, []string{"private", "team", "organization", "public"}},
		{[]string{"call", ""}, []string{"echo", "researcher", "planner"}},
		{[]string{"agents", "get", ""}, []string{"echo", "researcher", "planner"}},
		{[]string{"keys", "rotate", ""}, []string{"demo/demo", "demo/planner"}},
		{[]string{"keys", "list", "--team", ""}, []string{"demo"}},
		{[]string{"events", "list", "--outcome", ""}, []string{"succeeded", "failed", "refused"}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got := g.runAs(t, g.admin, "", append([]string{"__complete"}, tt.args...)...).ok(t)
			var names []string
			for line := range strings.Lines(got.out) {
				name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				names = append(names, name)
			}
			for _, want := range tt.want {
				if !slices.Contains(names, want) {
					t.Errorf("completions %q, want %q among them", names, want)
				}
			}
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := g.run(t, "completion", shell).ok(t); !strings.Contains(got.out, "signalbox") {
			t.Errorf("completion %s printed %q", shell, got.out)
		}
	}
	// A gateway that is not there must not disturb the shell.
	got := runWith(t, map[string]string{"SIGNALBOX_SERVER": "http://127.0.0.1:1", "HOME": t.TempDir()}, "", "__complete", "call", "").ok(t)
	if strings.Contains(got.out+got.err, "refused") {
		t.Errorf("completion without a gateway: %q, %q", got.out, got.err)
	}
}

func TestVersion_NamesProgramCommitAndGo(t *testing.T) {
	got := runWith(t, map[string]string{"HOME": t.TempDir()}, "", "version").ok(t)
	for _, want := range []string{"signalbox  ", "commit     ", "go         go1."} {
		if !strings.Contains(got.out, want) {
			t.Errorf("version printed:\n%s\nwant %q in it", got.out, want)
		}
	}
	var v struct{ Version, Commit, Go, Platform string }
	got = runWith(t, map[string]string{"HOME": t.TempDir()}, "", "version", "-o", "json").ok(t)
	if err := json.Unmarshal([]byte(got.out), &v); err != nil || v.Version == "" || v.Commit == "" || v.Platform == "" {
		t.Errorf("version -o json: %+v, %v", v, err)
	}
}

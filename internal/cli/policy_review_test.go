package cli_test

import (
	"strings"
	"testing"
)

func TestPolicies_AreShownAsTheyDecideAndReadAsFarAsTheyMayBe(t *testing.T) {
	g := startGateway(t)
	// To a terminal that turns text around, the second line would look like a comment alone.
	turned := written(t, "turned.cedar", "// quiet \u202e} ;lla tibrof\u2066 nights\nforbid (principal, action in Signalbox::Action::\"invoke\", resource == Signalbox::Agent::\"a\u200bb\");\n")
	huge := written(t, "huge.cedar", "// "+strings.Repeat("x", 80<<10))
	report := "replays/0193f6a2-51c4-7bd0-9f25-d2a6a4b1c0de"
	g.steps(t, []step{
		{args: []string{"policy", "apply", turned, "--description", "a\u202eb"}, out: "policies/turned"},
		{args: []string{"policy", "get", "turned"}, out: `// quiet \u{202e}} ;lla tibrof\u{2066} nights`},
		{args: []string{"policy", "get", "turned"}, out: `Agent::"a\u{200b}b"`},
		{args: []string{"policy", "history", "turned", "--diff"}, out: `+// quiet \u{202e}}`},
		{args: []string{"policy", "get", "turned"}, out: "description  ab\n"},
		{args: []string{"policy", "apply", huge}, code: 2, err: "at most 64 KiB"},
		{args: []string{"policy", "apply", "/dev/zero", "--id", "zero"}, code: 2, err: "at most 64 KiB"},
		{args: []string{"policy", "check", "--as", "key:admin", "--draft", "/dev/zero", "--id", "zero"}, code: 2, err: "at most 64 KiB"},
		{args: []string{"policy", "replay", "--show", report, "--since", "7d"}, code: 2, err: "show"},
		{args: []string{"policy", "replay", turned, "--show", report}, code: 2, err: "takes no file"},
		{args: []string{"policy", "replay", "--without", "own-team", "--id", "turned"}, code: 2, err: "--id"},
		{args: []string{"policy", "replay", "--show", report}, code: 1, err: "REPLAY_NOT_FOUND"},
	})
}

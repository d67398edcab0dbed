package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

func TestCompile_AMistakeIsShownWhereItIs(t *testing.T) {
	const scope = "permit (principal, action in Signalbox::Action::\"invoke\", resource is Signalbox::Agent)\n"
	tests := []struct {
		name string
		text string
		want []string // line:column: text
	}{
		{"empty", "", []string{`1:1: there is no permit and no forbid in the policy`}},
		{"only a comment", "// nothing", []string{`1:1: there is no permit and no forbid in the policy`}},
		{"effect", "  allow (principal, action, resource);", []string{"1:3: expected `permit` or `forbid`, found `allow`"}},
		{"end of a scope", "permit (principal, action);", []string{"1:26: expected `,`, found `)`"}},
		{"no semicolon", "permit (principal, action, resource)", []string{"1:37: expected `;`, found the end of the policy"}},
		{"second statement", "permit (principal, action, resource);\n\n  forbid [", []string{"3:10: expected `(`, found `[`"}},
		{"a variable that is none", scope + "when { agent.team };", []string{"2:8: expected an expression, found `agent`"}},
		{"string without an end", scope + "when { resource.id == \"x };", []string{"2:23: literal not terminated"}},
		{"columns count letters", scope + "when { resource.id == \"äöü\" && };", []string{"2:32: expected an expression, found `}`"}},
		{
			"type without the namespace", "permit (principal == Key::\"x\", action, resource);",
			[]string{"1:22: unrecognized entity type `Key`; did you mean `Signalbox::Key`?"},
		},
		{
			"unknown action", "permit (\n  principal,\n  action == Signalbox::Action::\"SendMesage\",\n  resource\n);",
			[]string{"3:13: unrecognized action `Signalbox::Action::\"SendMesage\"`; did you mean `Signalbox::Action::\"SendMessage\"`?"},
		},
		{
			"scope that nothing fits", "permit (principal is Signalbox::Team, action, resource);",
			[]string{"1:1: no action is about such a principal and such a resource: the policy would never apply"},
		},
		{
			"unknown attribute", scope + "when { resource.visibilty == \"PUBLIC\" };",
			[]string{"2:17: attribute `visibilty` on entity type `Signalbox::Agent` not found; did you mean `visibility`?"},
		},
		{
			"unknown attribute deep in a chain",
			scope + "when {\n  resource.id == \"a\" && resource.team.id == \"b\" &&\n  (resource.state == \"x\" || resource.team.admin == principal)\n};",
			[]string{"4:43: attribute `admin` on entity type `Signalbox::Team` not found; did you mean `admins`?"},
		},
		{
			"the attribute that was not asked for, not the one that was",
			scope + "when { context has method && context.method == \"a\" }\nwhen { resource.id == \"b\" }\nunless { context.method == \"c\" };",
			[]string{"4:18: unable to guarantee safety of access to optional attribute `method` in the context; ask for it with `has` first"},
		},
		{
			"types that do not fit", scope + "when {\n  resource.id == \"a\"\n  && resource.tags < 3\n};",
			[]string{"4:6: unexpected type: expected datetime, or duration, or Long but saw Set<String>"},
		},
		{
			"two mistakes in two statements",
			scope + "when { resource.a == 1 };\nforbid (principal, action, resource is Signalbox::Agent)\nwhen { resource.b == 1 };",
			[]string{
				"2:17: attribute `a` on entity type `Signalbox::Agent` not found",
				"4:17: attribute `b` on entity type `Signalbox::Agent` not found",
			},
		},
		{
			"datetime", scope + "when { context.time < datetime(\"tomorrow\") };",
			[]string{"2:32: error during extension function argument validation: failed to parse as a datetime value: `\"tomorrow\"`"},
		},
		{"two statements of one name", "@id(\"x\") permit (principal, action, resource);\n@id(\"x\") permit (principal, action, resource);", []string{`2:1: a second statement is called "x"`}},
		{"nested too deeply", scope + "when { " + strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200) + " };", []string{"2:107: nested deeper than 100"}},
		{"negated too often", scope + "when { " + strings.Repeat("!", 200) + "true };", []string{"2:107: nested deeper than 100"}},
		{"path", scope + "when { resource has " + strings.Repeat("a.", 20) + "a };", []string{"2:54: a path of more than 16 attributes"}},
		{"long statement", scope + "when { true" + strings.Repeat(" && true", 2000) + " };", []string{"2:11928: the statement is too long; it can be written as several"}},
		{"many statements", strings.Repeat("permit (principal, action, resource);\n", 300), []string{"201:37: more than 200 statements; they can be written as several policies"}},
		{"too long", strings.Repeat(" ", 65<<10), []string{"1:1: the text is longer than 64 KiB"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, m := range policy.Check(enforced("draft", tt.text)) {
				place, ok := strings.CutPrefix(m.String(), "draft:")
				if !ok {
					t.Errorf("%q does not name the policy", m)
				}
				got = append(got, place)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
			_, err := policy.Compile([]policy.Policy{enforced("draft", tt.text)})
			if _, ok := errors.AsType[*policy.MistakesError](err); !ok {
				t.Errorf("Compile: %v", err)
			}
		})
	}
}

func TestCompile_BadIDsAndModesAreMistakes(t *testing.T) {
	const text = "permit (principal, action, resource);"
	for _, p := range []policy.Policy{
		{ID: "", Mode: policy.ModeEnforce, Text: text},
		{ID: "a/b", Mode: policy.ModeEnforce, Text: text},
		{ID: strings.Repeat("x", 300), Mode: policy.ModeEnforce, Text: text},
		{ID: "a", Mode: "", Text: text},
		{ID: "a", Mode: "enforce", Text: text},
	} {
		if m := policy.Check(p); len(m) != 1 {
			t.Errorf("Check(%.10q, %q) = %v", p.ID, p.Mode, m)
		}
	}
}

func TestMistake_ExcerptPointsAtThePlace(t *testing.T) {
	m := policy.Check(enforced("draft", "permit (principal, action, resource)\n\twhen { resource.nme == 1 };"))
	if len(m) == 0 {
		t.Fatal("no mistake")
	}
	lines := strings.Split(m[0].Excerpt(), "\n")
	if len(lines) != 3 || lines[1] != "  \twhen { resource.nme == 1 };" || strings.Index(lines[2], "^") != strings.Index(lines[1], "nme") {
		t.Errorf("Excerpt:\n%s", m[0].Excerpt())
	}
}

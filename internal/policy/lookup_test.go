package policy_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

func TestLooksInto_IsToAskForAttributesOrGroupsOfWhatATextNames(t *testing.T) {
	for condition, want := range map[string]string{
		`Signalbox::Agent::"x" has id`:                                                       "agent:x",
		`Signalbox::Agent::"x".team == principal.team`:                                       "agent:x",
		`Signalbox::Agent::"x" in Signalbox::Team::"b"`:                                      "agent:x",
		`Signalbox::User::"users/okta~ada" is Signalbox::User in Signalbox::Role::"admin"`:   "user:users/okta~ada",
		`(if context.hour > 3 then Signalbox::Agent::"x" else Signalbox::Agent::"y") has id`: "agent:y",
		`{a: Signalbox::Agent::"x"}.a.state == "APPROVED"`:                                   "agent:x",
		`!(true && Signalbox::Team::"b" has id)`:                                             "team:b",
		`[Signalbox::Agent::"x"].contains(resource)`:                                         "",
		`resource == Signalbox::Agent::"x" && principal in Signalbox::Team::"b"`:             "",
		`principal in [Signalbox::Team::"a", Signalbox::Team::"b"]`:                          "",
		`resource.team == Signalbox::Team::"b" && resource.team.id == "b"`:                   "",
		`Signalbox::Role::"admin" in Signalbox::Role::"*/admin"`:                             "",
	} {
		uid, found := policy.LooksInto("permit (principal == Signalbox::Key::\"k\", action, resource) when { " + condition + " };")
		got := ""
		if found {
			got = policy.FormatUID(uid)
		}
		if got != want {
			t.Errorf("%s looks into %q, want %q", condition, got, want)
		}
	}
	if _, found := policy.LooksInto("permit"); found {
		t.Error("a text with mistakes looks into something")
	}
}

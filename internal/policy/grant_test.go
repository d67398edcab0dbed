package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

func TestGrant_CompilesToThePolicyThatItStandsFor(t *testing.T) {
	tests := []struct {
		name  string
		grant policy.Grant
		want  string
	}{
		{
			"team on a tag until a time",
			policy.Grant{
				ID: "g-12", Principal: theTeam, Agents: policy.Selector{Of: policy.TagUID("internal")},
				Actions: []policy.Action{policy.Invoke, policy.Discover}, Until: time.Date(2027, 1, 1, 1, 0, 0, 999, time.FixedZone("", 3600)), Via: true,
			},
			`permit (
  principal in Signalbox::Team::"research",
  action in [Signalbox::Action::"discover", Signalbox::Action::"invoke", Signalbox::Action::"invoke_via"],
  resource is Signalbox::Agent in Signalbox::Tag::"internal"
)
when { context.time < datetime("2027-01-01T00:00:00.000Z") };
`,
		},
		{
			"key on one agent",
			policy.Grant{
				ID: "g-1", Principal: ci, Agents: policy.Selector{Of: agentID}, Actions: []policy.Action{policy.SendMessage},
			},
			`permit (
  principal == Signalbox::Key::"teams/research/keys/ci",
  action in [Signalbox::Action::"SendMessage", Signalbox::Action::"discover"],
  resource == Signalbox::Agent::"planner"
);
`,
		},
		{
			"agent on all agents",
			policy.Grant{ID: "g-1", Principal: agentID, Actions: []policy.Action{policy.Invoke}},
			`permit (
  principal == Signalbox::Agent::"planner",
  action in [Signalbox::Action::"invoke"],
  resource is Signalbox::Agent
);
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.grant.Validate(noon); err != nil {
				t.Fatal(err)
			}
			p := tt.grant.Policy()
			if diff := cmp.Diff(tt.want, p.Text); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
			if p.ID != tt.grant.ID || p.Mode != policy.ModeEnforce {
				t.Errorf("policy = %+v", p)
			}
			compile(t, p)
		})
	}
}

func TestGrant_EndsAtItsTimeAndSaysSo(t *testing.T) {
	until := noon.Add(time.Hour + time.Millisecond)
	set := compile(t, policy.Grant{
		ID: "g-1", Principal: theTeam, Actions: []policy.Action{policy.Invoke}, Until: until,
		Agents: policy.Selector{Of: policy.TagUID("internal")},
	}.Policy())
	cache := policy.NewCache(4)
	for _, decide := range []struct {
		name string
		f    func(policy.Query) policy.Answer
	}{
		{"decided", func(q policy.Query) policy.Answer { return set.Decide(small(), q) }},
		{"cached", func(q policy.Query) policy.Answer { return cache.Decide(set, small(), q) }},
	} {
		for _, at := range []struct {
			name   string
			now    time.Time
			permit bool
			until  time.Time
		}{
			{"long before", noon, true, until},
			{"just before", until.Add(-time.Nanosecond), true, until},
			{"at the time", until, false, time.Time{}},
			{"after", until.Add(time.Hour), false, time.Time{}},
			{"the clock was set back", noon, true, until},
		} {
			q := ask(ci, policy.GetTask, agentID)
			q.Context.Time = at.now
			got := decide.f(q)
			if got.Permit != at.permit || !got.Until.Equal(at.until) {
				t.Errorf("%s, %s: %+v, want permit %v until %v", decide.name, at.name, got, at.permit, at.until)
			}
		}
	}
}

func TestGrant_SelectorsMeanTheirAgentsAndNoOther(t *testing.T) {
	entities := small(
		policy.AgentEntity(policy.Target{ID: "tagged", Team: "support", Visibility: "TEAM", State: "APPROVED", Tags: []string{"internal"}}),
		policy.AgentEntity(policy.Target{ID: "other", Team: "support", Visibility: "TEAM", State: "APPROVED"}),
	)
	for selector, want := range map[string][]bool{ // planner, tagged, other
		"all": {true, true, true}, "tag:internal": {true, true, false}, "team:support": {false, true, true},
		"agent:other": {false, false, true}, "tag:none": {false, false, false},
	} {
		s, err := policy.ParseSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != selector {
			t.Errorf("%q is written %q", selector, s)
		}
		set := compile(t, policy.Grant{ID: "g", Principal: theTeam, Actions: []policy.Action{policy.Invoke}, Agents: s}.Policy())
		for i, id := range []string{"planner", "tagged", "other"} {
			if got := set.Decide(entities, ask(ci, policy.Invoke, policy.AgentUID(id))).Permit; got != want[i] {
				t.Errorf("%s on %s: %v, want %v", selector, id, got, want[i])
			}
		}
	}
	for _, bad := range []string{"", "tag", "tag:", "key:teams/a/keys/b", "everything"} {
		if _, err := policy.ParseSelector(bad); !errors.Is(err, policy.ErrBadName) {
			t.Errorf("ParseSelector(%q): %v", bad, err)
		}
	}
}

func TestGrant_ValidateNamesEveryFault(t *testing.T) {
	good := policy.Grant{ID: "g-1", Principal: theTeam, Actions: []policy.Action{policy.Invoke}, Until: noon.Add(time.Hour), Via: true}
	if err := good.Validate(noon); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*policy.Grant)
		want   string
	}{
		{"id", func(g *policy.Grant) { g.ID = "a/b" }, "its id"},
		{"principal", func(g *policy.Grant) { g.Principal = policy.TagUID("x") }, "no key, user"},
		{"no principal", func(g *policy.Grant) { g.Principal = policy.UID{} }, "no key, user"},
		{"bytes", func(g *policy.Grant) { g.Principal = policy.KeyUID("\xff") }, "UTF-8"},
		{"agents", func(g *policy.Grant) { g.Agents.Of = ci }, "no agent, tag or team"},
		{"no actions", func(g *policy.Grant) { g.Actions, g.Via = nil, false }, "names no action"},
		{"unknown action", func(g *policy.Grant) { g.Actions = append(g.Actions, "Explode") }, `"Explode" is no action`},
		{"action on something else", func(g *policy.Grant) { g.Actions = append(g.Actions, policy.CreateTeam) }, `"CreateTeam" is no action`},
		{"action twice", func(g *policy.Grant) { g.Actions = append(g.Actions, policy.Invoke) }, "twice"},
		{"via without calls", func(g *policy.Grant) { g.Actions = []policy.Action{policy.GetAgent} }, "no calls"},
		{"over", func(g *policy.Grant) { g.Until = noon }, "ended"},
		{"year", func(g *policy.Grant) { g.Until = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) }, "year 12000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := good
			g.Actions = append([]policy.Action{}, good.Actions...)
			tt.change(&g)
			if err := g.Validate(noon); !errors.Is(err, policy.ErrBadGrant) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestContradictions_AreForbidsThatCoverTheGrant(t *testing.T) {
	set := compile(t,
		enforced("all", `forbid (principal in Signalbox::Team::"research", action in Signalbox::Action::"invoke", resource);`),
		enforced("agent", `forbid (principal, action, resource == Signalbox::Agent::"planner");`),
		enforced("narrow", `forbid (principal, action == Signalbox::Action::"SendMessage", resource);`),
		enforced("conditional", `forbid (principal, action, resource) when { context.hour > 20 };`),
		policy.Policy{ID: "shadow", Mode: policy.ModeShadow, Text: `forbid (principal, action, resource);`},
		enforced("permit", `permit (principal, action, resource);`),
	)
	for _, tt := range []struct {
		name  string
		grant policy.Grant
		want  []string
	}{
		{"key of the team on one agent", policy.Grant{Principal: ci, Agents: policy.Selector{Of: agentID}, Actions: []policy.Action{policy.Invoke}}, []string{"agent", "all"}},
		{"key of the team on all", policy.Grant{Principal: ci, Actions: []policy.Action{policy.Invoke}}, []string{"all"}},
		{"another team", policy.Grant{Principal: policy.TeamUID("support"), Actions: []policy.Action{policy.Invoke}}, nil},
		{"one action", policy.Grant{Principal: policy.TeamUID("support"), Actions: []policy.Action{policy.SendMessage}}, []string{"narrow"}},
		{"more than is forbidden", policy.Grant{Principal: ci, Actions: []policy.Action{policy.Invoke, policy.GetAgent}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, set.Contradictions(small(), tt.grant)); diff != "" {
				t.Errorf("Contradictions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLastAdminLockedOut_RefusesWhatNobodyCouldUndo(t *testing.T) {
	shipped := policy.Shipped()
	before := policy.World{Set: compile(t, shipped...), Entities: small(policy.UserEntity("users/ada", "", false, nil, policy.RoleNameAdmin.UID("")))}
	admins := []policy.UID{policy.AdminKeyUID, policy.UserUID("users/ada")}
	with := func(p ...policy.Policy) policy.World {
		s, err := before.Set.With(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		return policy.World{Set: s, Entities: before.Entities}
	}
	disabled := shipped[slicesIndex(shipped, "admin")]
	disabled.Mode = policy.ModeDisabled
	for _, tt := range []struct {
		name  string
		after policy.World
		want  string
	}{
		{"nothing", before, ""},
		{"a forbid for others", with(enforced("f", `forbid (principal in Signalbox::Team::"research", action, resource);`)), ""},
		{"a forbid for one admin", with(enforced("f", `forbid (principal is Signalbox::User, action, resource);`)), ""},
		{"a forbid for all", with(enforced("f", `forbid (principal, action in Signalbox::Action::"manage", resource);`)), "ApplyPolicy is forbidden by f"},
		{"a forbid for one thing that is needed", with(enforced("f", `forbid (principal, action == Signalbox::Action::"CreateIssuer", resource);`)), "CreateIssuer is forbidden by f"},
		{"a forbid outside of office hours", with(enforced("f", `forbid (principal, action, resource) when { context.hour < 13 };`)), "forbidden by f"},
		{"a shadow", with(policy.Policy{ID: "f", Mode: policy.ModeShadow, Text: `forbid (principal, action, resource);`}), ""},
		{"the role's policy disabled", with(disabled), "permitted by nothing"},
		{"rights only from one address", with(disabled, enforced("p", `permit (principal in Signalbox::Role::"admin", action, resource) when { context has sourceAddress };`)), "permitted by nothing"},
		{"an admin without the role", policy.World{Set: before.Set, Entities: policy.NewFixedEntities(2, policy.UserEntity("users/ada", "", false, nil))}, "key:admin does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := policy.LastAdminLockedOut(before, tt.after, admins, noon)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (!errors.Is(err, policy.ErrLockedOut) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("LastAdminLockedOut = %v, want %q", err, tt.want)
			}
		})
	}
	nobody := policy.World{Set: compile(t), Entities: small()}
	if err := policy.LastAdminLockedOut(nobody, nobody, admins, noon); err != nil {
		t.Errorf("who could do nothing before loses nothing: %v", err)
	}
}

func slicesIndex(policies []policy.Policy, id string) int {
	for i, p := range policies {
		if p.ID == id {
			return i
		}
	}
	return -1
}

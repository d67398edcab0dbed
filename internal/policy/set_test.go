package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// noon is a Monday.
var noon = time.Date(2026, 11, 16, 12, 0, 0, 0, time.UTC)

func compile(t testing.TB, policies ...policy.Policy) *policy.Set {
	t.Helper()
	s, err := policy.Compile(policies)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return s
}

func enforced(id, text string) policy.Policy {
	return policy.Policy{ID: id, Version: 1, Mode: policy.ModeEnforce, Text: text}
}

func planner(team, visibility string, tags ...string) policy.Entity {
	return policy.AgentEntity(policy.Target{
		ID: "planner", Team: team, Visibility: visibility, State: "APPROVED", Tags: tags, Protocol: "A2A",
	})
}

// small is a catalogue with two teams, a key and an agent in one of them.
func small(more ...policy.Entity) *policy.FixedEntities {
	return policy.NewFixedEntities(1, append([]policy.Entity{
		policy.TeamEntity("research"), policy.TeamEntity("support"),
		policy.KeyEntity("teams/research/keys/ci", "research", false),
		policy.KeyEntity("admin", "", false),
		planner("research", "TEAM", "internal"),
	}, more...)...)
}

func ask(principal policy.UID, action policy.Action, resource policy.UID) policy.Query {
	return policy.Query{Principal: principal, Action: action, Resource: resource, Context: policy.Context{Time: noon}}
}

var (
	ci      = policy.KeyUID("teams/research/keys/ci")
	theTeam = policy.TeamUID("research")
	agentID = policy.AgentUID("planner")
)

func TestSchema_HasEveryActionOfThePackageAndNoOther(t *testing.T) {
	want := []policy.Action{
		policy.Discover, policy.Invoke, policy.SendMessage, policy.SendStreamingMessage, policy.GetTask, policy.ListTasks,
		policy.CancelTask, policy.SubscribeToTask, policy.CreateTaskPushNotificationConfig, policy.GetTaskPushNotificationConfig,
		policy.ListTaskPushNotificationConfigs, policy.DeleteTaskPushNotificationConfig, policy.GetExtendedAgentCard,
		policy.InvokeVia, policy.CallTool, policy.AdoptTasks,
		policy.GetAgent, policy.ListAgents, policy.CreateAgent, policy.ImportAgent, policy.UpdateAgent, policy.DeleteAgent,
		policy.SuspendAgent, policy.ResumeAgent, policy.ApproveAgent, policy.RejectAgent,
		policy.GetTeam, policy.ListTeams, policy.CreateTeam, policy.UpdateTeam, policy.DeleteTeam,
		policy.GetKey, policy.ListKeys, policy.CreateKey, policy.UpdateKey, policy.DisableKey, policy.RotateKey, policy.SetCertificateNames,
		policy.GetUser, policy.ListUsers, policy.CreateUser, policy.UpdateUser, policy.DisableUser, policy.DeleteUser,
		policy.ListRoleMembers, policy.AddRoleMember, policy.RemoveRoleMember,
		policy.GetIssuer, policy.ListIssuers, policy.CreateIssuer, policy.UpdateIssuer, policy.DeleteIssuer,
		policy.GetPolicy, policy.ListPolicies, policy.CreatePolicy, policy.ApplyPolicy, policy.UpdatePolicy, policy.DeletePolicy,
		policy.ListPolicyVersions, policy.RollbackPolicy, policy.GetSchema, policy.CheckPolicy, policy.ReplayPolicy,
		policy.GetReplay, policy.GetDecision,
		policy.GetGrant, policy.ListGrants, policy.CreateGrant, policy.UpdateGrant, policy.DeleteGrant,
		policy.GetEvent, policy.ListEvents, policy.TailEvents, policy.VerifyEvents,
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, policy.Actions()); diff != "" {
		t.Errorf("actions of the schema (-package +schema):\n%s", diff)
	}
	for _, group := range []policy.Action{policy.Read, policy.Write, policy.Manage, policy.Approve, policy.Evidence} {
		if slices.Contains(policy.Actions(), group) {
			t.Errorf("the group %s may be asked about", group)
		}
	}
	if !policy.Invoke.Includes(policy.Discover) || !policy.Read.Includes(policy.GetEvent) || policy.Write.Includes(policy.GetAgent) {
		t.Error("groups do not hold what they should")
	}
}

func TestEntities_AreOfTheSchema(t *testing.T) {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(policy.Schema())); err != nil {
		t.Fatal(err)
	}
	rs, err := s.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	v := validate.New(rs)
	tool := policy.Target{ID: "search", Team: "research", Visibility: "TEAM", State: "APPROVED", Tags: []string{"a", "b"}, Protocol: "MCP"}
	for _, e := range []policy.Entity{
		policy.TeamEntity("research"),
		policy.KeyEntity("teams/research/keys/ci", "research", true),
		policy.KeyEntity("admin", "", false),
		policy.KeyEntity("teams/research/keys/audit", "research", false, policy.RoleNameAuditor.UID("research")),
		policy.UserEntity("users/ada", "https://idp.example", false, []string{"research"}, policy.RoleNameAdmin.UID("")),
		planner("research", "PUBLIC", "internal"),
		policy.ToolServerEntity(tool), policy.ToolEntity("files", tool),
		policy.TaskEntity("t-1", "planner", "research", "WORKING"), policy.TaskEntity("t-2", "planner", "", "WORKING"),
		policy.EventEntity("e-1", "research"), policy.EventEntity("e-2", ""), policy.GrantEntity("g-1", "research"),
		policy.EntityOfPolicy("p", policy.ModeShadow), policy.IssuerEntity("corp"),
	} {
		if err := v.Entity(e); err != nil {
			t.Errorf("%s: %v", e.UID, err)
		}
	}
}

// The whole table of principals, resources and actions that the fixed rules know.
func TestShipped_DecideAsTheFixedRules(t *testing.T) {
	set := compile(t, policy.Shipped()...)
	type who struct {
		old identity.Principal
		uid policy.UID
	}
	admin := identity.Admin()
	principals := []who{{identity.Principal{}, policy.AnonymousUID}, {admin, policy.AdminKeyUID}}
	entities := []policy.Entity{policy.KeyEntity("admin", "", false)}
	teams := []string{"a", "b", "c"}
	for _, team := range teams {
		p := key(team)
		entities = append(entities, policy.TeamEntity(team), policy.KeyEntity(p.Name, team, false))
		principals = append(principals, who{p, policy.KeyUID(p.Name)})
	}
	type what struct {
		old     resource
		uid     policy.UID
		actions map[policy.Action][]policy.Action
	}
	onAgent := map[policy.Action][]policy.Action{
		policy.Discover: {policy.Discover},
		policy.Invoke: {
			policy.Invoke, policy.SendMessage, policy.SendStreamingMessage, policy.GetTask, policy.ListTasks,
			policy.CancelTask, policy.SubscribeToTask, policy.CreateTaskPushNotificationConfig, policy.GetTaskPushNotificationConfig,
			policy.ListTaskPushNotificationConfigs, policy.DeleteTaskPushNotificationConfig, policy.GetExtendedAgentCard,
		},
		policy.Read:  {policy.GetAgent},
		policy.Write: {policy.UpdateAgent, policy.DeleteAgent, policy.SuspendAgent, policy.ResumeAgent},
	}
	var resources []what
	for _, team := range teams[:2] {
		for _, v := range []registry.Visibility{
			registry.VisibilityPrivate, registry.VisibilityTeam, registry.VisibilityOrganization, registry.VisibilityPublic,
		} {
			id := team + "-" + strings.ToLower(string(v))
			entities = append(entities, policy.AgentEntity(policy.Target{
				ID: id, Team: team, Visibility: string(v), State: "APPROVED", Protocol: "A2A",
			}))
			resources = append(resources, what{
				old: resource{Kind: kindAgent, Name: id, Team: team, Visibility: v}, uid: policy.AgentUID(id), actions: onAgent,
			})
		}
		resources = append(resources,
			what{
				old: resource{Kind: kindTeam, Team: team}, uid: policy.TeamUID(team),
				actions: map[policy.Action][]policy.Action{
					policy.Read:  {policy.GetTeam, policy.ListKeys, policy.ListAgents, policy.ListEvents},
					policy.Write: {policy.UpdateTeam, policy.DeleteTeam, policy.CreateKey},
				},
			},
			// An agent that is not there yet is created in a team.
			what{
				old: resource{Kind: kindAgent, Team: team, Visibility: registry.VisibilityTeam}, uid: policy.TeamUID(team),
				actions: map[policy.Action][]policy.Action{policy.Write: {policy.CreateAgent, policy.ImportAgent}},
			},
			what{
				old: resource{Kind: kindKey, Team: team}, uid: policy.KeyUID("teams/" + team + "/keys/k"),
				actions: map[policy.Action][]policy.Action{
					policy.Read: {policy.GetKey}, policy.Write: {policy.UpdateKey, policy.DisableKey, policy.RotateKey},
				},
			})
	}
	for _, team := range []string{"a", "b", ""} {
		entities = append(entities, policy.EventEntity("of-"+team, team))
		resources = append(resources, what{
			old: resource{Kind: kindEvent, Team: team}, uid: policy.EventEntity("of-"+team, team).UID,
			actions: map[policy.Action][]policy.Action{policy.Read: {policy.GetEvent, policy.ListEvents, policy.TailEvents}},
		})
	}
	catalogue := policy.NewFixedEntities(1, entities...)
	asked := 0
	for _, p := range principals {
		for _, r := range resources {
			for old, actions := range r.actions {
				want := decideByRules(keyRequest{Principal: p.old, Action: old, Resource: r.old})
				for _, action := range actions {
					asked++
					got := set.Decide(catalogue, ask(p.uid, action, r.uid))
					name := fmt.Sprintf("%q does %s to %s", p.old.Name, action, policy.FormatUID(r.uid))
					if got.Permit != want.Permit {
						t.Errorf("%s: %+v, the fixed rules say %+v", name, got, want)
						continue
					}
					var rules []string
					for _, id := range got.Deciding {
						rule, _, _ := strings.Cut(id, "/")
						if got.Permit && !slices.Contains(rules, rule) {
							rules = append(rules, rule)
						}
					}
					// Whoever creates an agent does it as a writer of the team's agents.
					if diff := cmp.Diff(want.Rules, rules); diff != "" {
						t.Errorf("%s: rules differ:\n%s", name, diff)
					}
				}
			}
		}
	}
	if asked < 300 {
		t.Errorf("only %d questions were asked", asked)
	}
}

func TestShipped_RolesMayDoWhatTheirNamesSay(t *testing.T) {
	set := compile(t, policy.Shipped()...)
	user := func(name string, teams []string, roles ...policy.UID) policy.Entity {
		return policy.UserEntity("users/"+name, "", false, teams, roles...)
	}
	in := func(r policy.Role) policy.UID { return r.UID("research") }
	everywhere := func(r policy.Role) policy.UID { return r.UID("") }
	entities := policy.NewFixedEntities(1,
		policy.TeamEntity("research"), policy.TeamEntity("support"),
		user("admin", nil, everywhere(policy.RoleNameAdmin)),
		user("team-admin", []string{"research"}, in(policy.RoleNameTeamAdmin)),
		user("publisher", []string{"research"}, in(policy.RoleNamePublisher)),
		user("approver", []string{"research"}, in(policy.RoleNameApprover)),
		user("auditor", nil, everywhere(policy.RoleNameAuditor)),
		user("team-auditor", []string{"research"}, in(policy.RoleNameAuditor)),
		user("both", []string{"research"}, in(policy.RoleNameMember), in(policy.RoleNameAuditor)),
		user("member", []string{"research"}),
		user("stranger", []string{"support"}),
		user("nobody", nil),
		user("platform", nil, everywhere(policy.RoleNamePublisher)),
		planner("research", "TEAM"),
		policy.AgentEntity(policy.Target{ID: "secret", Team: "research", Visibility: "PRIVATE", State: "APPROVED", Protocol: "A2A"}),
		policy.AgentEntity(policy.Target{ID: "open", Team: "support", Visibility: "ORGANIZATION", State: "APPROVED", Protocol: "A2A"}),
		policy.AgentEntity(policy.Target{ID: "theirs", Team: "support", Visibility: "TEAM", State: "APPROVED", Protocol: "A2A"}),
		policy.KeyEntity("teams/research/keys/ci", "research", false),
		policy.KeyEntity("teams/research/keys/audit", "research", false, in(policy.RoleNameAuditor)),
		policy.EventEntity("e-research", "research"), policy.EventEntity("e-support", "support"), policy.EventEntity("e-none", ""),
		policy.GrantEntity("g-research", "research"), policy.GrantEntity("g-support", "support"),
	)
	tests := []struct {
		who    string
		action policy.Action
		what   string
		want   bool
	}{
		{"user:users/admin", policy.ApplyPolicy, "installation", true},
		{"user:users/admin", policy.Invoke, "agent:secret", true},
		{"user:users/team-admin", policy.CreateKey, "team:research", true},
		{"user:users/team-admin", policy.CreateKey, "team:support", false},
		{"user:users/team-admin", policy.DeleteTeam, "team:research", false},
		{"user:users/team-admin", policy.AddRoleMember, "role:research/publisher", true},
		{"user:users/team-admin", policy.AddRoleMember, "role:support/publisher", false},
		{"user:users/team-admin", policy.AddRoleMember, "role:admin", false},
		{"user:users/team-admin", policy.AddRoleMember, "role:*/auditor", false},
		{"user:users/team-admin", policy.RotateKey, "key:teams/research/keys/ci", true},
		{"user:users/team-admin", policy.SetCertificateNames, "key:teams/research/keys/ci", false},
		{"user:users/team-admin", policy.SetCertificateNames, "team:research", false},
		{"user:users/team-admin", policy.DeleteGrant, "grant:g-research", true},
		{"user:users/team-admin", policy.DeleteGrant, "grant:g-support", false},
		{"user:users/team-admin", policy.CreateGrant, "agent:planner", true},
		{"user:users/team-admin", policy.CreateGrant, "agent:open", false},
		{"user:users/team-admin", policy.CreateGrant, "installation", false},
		{"user:users/team-admin", policy.ApproveAgent, "agent:planner", true},
		{"user:users/team-admin", policy.AdoptTasks, "agent:planner", true},
		{"user:users/team-admin", policy.AdoptTasks, "agent:open", false},
		{"user:users/publisher", policy.AdoptTasks, "agent:secret", true},
		{"user:users/publisher", policy.AdoptTasks, "agent:open", false},
		{"user:users/platform", policy.AdoptTasks, "agent:open", true},
		{"key:teams/research/keys/ci", policy.AdoptTasks, "agent:secret", true},
		{"key:teams/research/keys/ci", policy.AdoptTasks, "agent:open", false},
		{"user:users/approver", policy.AdoptTasks, "agent:planner", false},
		{"user:users/member", policy.AdoptTasks, "agent:planner", false},
		{"agent:planner", policy.AdoptTasks, "agent:planner", false},
		{"user:users/team-admin", policy.UpdateGrant, "grant:g-research", true},
		{"user:users/team-admin", policy.UpdateGrant, "grant:g-support", false},
		{"user:users/team-admin", policy.GetDecision, "event:e-research", true},
		{"user:users/team-admin", policy.CheckPolicy, "team:research", true},
		{"user:users/team-admin", policy.CheckPolicy, "installation", false},
		{"user:users/auditor", policy.ReplayPolicy, "installation", true},
		{"user:users/auditor", policy.GetReplay, "installation", true},
		{"user:users/auditor", policy.GetSchema, "installation", true},
		{"user:users/auditor", policy.ListPolicyVersions, "policy:admin", true},
		{"user:users/auditor", policy.UpdateGrant, "grant:g-research", false},
		{"user:users/team-auditor", policy.GetDecision, "event:e-research", true},
		{"user:users/team-auditor", policy.GetDecision, "event:e-support", false},
		{"user:users/team-admin", policy.GetEvent, "event:e-research", true},
		{"user:users/team-admin", policy.GetEvent, "event:e-support", false},
		{"user:users/team-admin", policy.ApplyPolicy, "installation", false},
		{"user:users/team-admin", policy.SendMessage, "agent:secret", true},
		{"user:users/publisher", policy.CreateAgent, "team:research", true},
		{"user:users/publisher", policy.CreateAgent, "team:support", false},
		{"user:users/publisher", policy.UpdateAgent, "agent:secret", true},
		{"user:users/publisher", policy.UpdateAgent, "agent:open", false},
		{"user:users/publisher", policy.ApproveAgent, "agent:planner", false},
		{"user:users/publisher", policy.CreateKey, "team:research", false},
		{"user:users/publisher", policy.GetEvent, "event:e-research", false},
		{"user:users/platform", policy.UpdateAgent, "agent:theirs", true},
		{"user:users/approver", policy.ApproveAgent, "agent:secret", true},
		{"user:users/approver", policy.SuspendAgent, "agent:secret", true},
		{"user:users/approver", policy.UpdateAgent, "agent:secret", false},
		{"user:users/approver", policy.ApproveAgent, "agent:open", false},
		{"user:users/auditor", policy.GetEvent, "event:e-none", true},
		{"user:users/auditor", policy.GetEvent, "event:e-support", true},
		{"user:users/auditor", policy.VerifyEvents, "installation", true},
		{"user:users/auditor", policy.GetAgent, "agent:secret", true},
		{"user:users/auditor", policy.Invoke, "agent:open", false},
		{"user:users/auditor", policy.Discover, "agent:open", false},
		{"user:users/auditor", policy.UpdateAgent, "agent:open", false},
		{"user:users/team-auditor", policy.GetEvent, "event:e-research", true},
		{"user:users/team-auditor", policy.GetEvent, "event:e-support", false},
		{"user:users/team-auditor", policy.SendMessage, "agent:planner", false},
		{"user:users/both", policy.SendMessage, "agent:planner", false},
		{"key:teams/research/keys/audit", policy.SendMessage, "agent:planner", false},
		{"key:teams/research/keys/audit", policy.GetEvent, "event:e-research", true},
		{"user:users/member", policy.SendMessage, "agent:planner", true},
		{"user:users/member", policy.Discover, "agent:planner", true},
		{"user:users/member", policy.SendMessage, "agent:secret", false},
		{"user:users/member", policy.SendMessage, "agent:open", true},
		{"user:users/member", policy.InvokeVia, "agent:open", true},
		{"user:users/member", policy.SendMessage, "agent:theirs", false},
		{"user:users/member", policy.UpdateAgent, "agent:planner", false},
		{"user:users/member", policy.GetTeam, "team:research", true},
		{"user:users/stranger", policy.SendMessage, "agent:planner", false},
		{"user:users/nobody", policy.SendMessage, "agent:open", false},
		{"agent:planner", policy.SendMessage, "agent:open", true},
		{"agent:open", policy.SendMessage, "agent:planner", false},
		{"agent:planner", policy.UpdateAgent, "agent:planner", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s %s", tt.who, tt.action, tt.what), func(t *testing.T) {
			who, err := policy.ParseUID(tt.who)
			if err != nil {
				t.Fatal(err)
			}
			what, err := policy.ParseUID(tt.what)
			if err != nil {
				t.Fatal(err)
			}
			got := set.Decide(entities, ask(who, tt.action, what))
			if got.Permit != tt.want || len(got.Failing) > 0 {
				t.Errorf("Decide = %+v, want permit %v and nothing failing", got, tt.want)
			}
		})
	}
}

func TestShipped_WhatMayBeCalledMayBeSeenAndTheReverse(t *testing.T) {
	set := compile(t, policy.Shipped()...)
	var entities []policy.Entity
	principals := []policy.UID{policy.AdminKeyUID}
	for _, team := range []string{"a", "b"} {
		entities = append(entities, policy.TeamEntity(team))
		for _, v := range []string{"PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC"} {
			e := policy.AgentEntity(policy.Target{ID: team + v, Team: team, Visibility: v, State: "APPROVED"})
			entities, principals = append(entities, e), append(principals, e.UID)
		}
		k := policy.KeyEntity("teams/"+team+"/keys/k", team, false)
		entities, principals = append(entities, k), append(principals, k.UID)
		for _, r := range []policy.Role{
			policy.RoleNameTeamAdmin, policy.RoleNamePublisher, policy.RoleNameApprover, policy.RoleNameAuditor, policy.RoleNameMember,
		} {
			for _, in := range []string{"", team} {
				u := policy.UserEntity("users/"+string(r)+"-"+team+"-"+in, "", false, []string{team}, r.UID(in))
				entities, principals = append(entities, u), append(principals, u.UID)
			}
		}
	}
	catalogue := policy.NewFixedEntities(1, append(entities, policy.KeyEntity("admin", "", false))...)
	permitted := 0
	for _, p := range principals {
		for _, e := range entities {
			if e.UID.Type != policy.TypeAgent {
				continue
			}
			invoke, discover := set.Decide(catalogue, ask(p, policy.Invoke, e.UID)), set.Decide(catalogue, ask(p, policy.Discover, e.UID))
			if invoke.Permit != discover.Permit {
				t.Errorf("%s on %s: invoke %v, discover %v", p, e.UID, invoke, discover)
			}
			if invoke.Permit {
				permitted++
			}
		}
	}
	if permitted == 0 {
		t.Error("nothing was permitted")
	}
}

func TestCache_ServesManyAtOnce(t *testing.T) {
	narrow, wide := small(policy.KeyEntity("teams/support/keys/k", "support", false)), policy.NewFixedEntities(2,
		append(allOf(small(), ci, theTeam, policy.TeamUID("support")), policy.KeyEntity("teams/support/keys/k", "support", false), planner("research", "PUBLIC"))...)
	set := compile(t, policy.Shipped()...)
	none, err := set.With(nil, []policy.Removal{{ID: "visible-agent"}, {ID: "own-team"}})
	if err != nil {
		t.Fatal(err)
	}
	cache := policy.NewCache(8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				s, e, want := set, policy.Entities(narrow), false
				if i%3 == 1 {
					e, want = wide, true
				}
				if i%5 == 1 {
					s, want = none, false
				}
				q := ask(policy.KeyUID("teams/support/keys/k"), policy.SendMessage, agentID)
				if got := cache.Decide(s, e, q); got.Permit != want {
					t.Errorf("number %d: %+v, want permit %v", i, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDecide_ForbidWinsAndWhatFailsNeverPermits(t *testing.T) {
	const (
		permit      = `permit (principal, action in Signalbox::Action::"invoke", resource);`
		forbid      = `forbid (principal, action in Signalbox::Action::"invoke", resource);`
		elsewhere   = `forbid (principal, action == Signalbox::Action::"GetAgent", resource) when { principal in resource.team.members };`
		failing     = `(principal, action in Signalbox::Action::"invoke", resource is Signalbox::Agent) when { principal in resource.team.members };`
		lateFailure = `permit (principal, action in Signalbox::Action::"invoke", resource is Signalbox::Agent) when { resource.visibility == "NONE" && principal in resource.team.members };`
	)
	// The agent's team is in no catalogue, so whoever asks for its members fails.
	entities := policy.NewFixedEntities(1, policy.KeyEntity("teams/research/keys/ci", "research", false), planner("lost", "TEAM"))
	const text = "entity `Signalbox::Team::\"lost\"` does not exist"
	tests := []struct {
		name     string
		policies []policy.Policy
		want     policy.Answer
	}{
		{"nothing permits", nil, policy.Answer{}},
		{"permit", []policy.Policy{enforced("p", permit)}, policy.Answer{Permit: true, Deciding: []string{"p"}}},
		{
			"forbid wins",
			[]policy.Policy{enforced("p", permit), enforced("f", forbid), enforced("g", forbid)},
			policy.Answer{Deciding: []string{"f", "g"}},
		},
		{
			"a forbid that fails denies and is named",
			[]policy.Policy{enforced("p", permit), enforced("f", "// why\nforbid "+failing)},
			policy.Answer{Deciding: []string{"f"}, Failing: []policy.Failure{{Statement: "f", Effect: "forbid", Line: 2, Column: 1, Text: text}}},
		},
		{
			"a permit that fails does not permit and is named",
			[]policy.Policy{enforced("q", "permit "+failing)},
			policy.Answer{Failing: []policy.Failure{{Statement: "q", Effect: "permit", Line: 1, Column: 1, Text: text}}},
		},
		{
			"both are named",
			[]policy.Policy{enforced("q", "permit "+failing), enforced("f", "forbid "+failing), enforced("p", permit)},
			policy.Answer{Deciding: []string{"f"}, Failing: []policy.Failure{
				{Statement: "f", Effect: "forbid", Line: 1, Column: 1, Text: text},
				{Statement: "q", Effect: "permit", Line: 1, Column: 1, Text: text},
			}},
		},
		{
			"a permit that fails does not hinder another",
			[]policy.Policy{enforced("q", "permit "+failing), enforced("p", permit)},
			policy.Answer{Permit: true, Deciding: []string{"p"}, Failing: []policy.Failure{
				{Statement: "q", Effect: "permit", Line: 1, Column: 1, Text: text},
			}},
		},
		{"outside of its scope nothing fails", []policy.Policy{enforced("p", permit), enforced("f", elsewhere)}, policy.Answer{Permit: true, Deciding: []string{"p"}}},
		{"what is not reached does not fail", []policy.Policy{enforced("p", lateFailure)}, policy.Answer{}},
		{
			"disabled does nothing",
			[]policy.Policy{enforced("p", permit), {ID: "f", Mode: policy.ModeDisabled, Text: forbid}},
			policy.Answer{Permit: true, Deciding: []string{"p"}},
		},
		{
			"a shadow changes nothing and says what it would have changed",
			[]policy.Policy{enforced("p", permit), {ID: "f", Mode: policy.ModeShadow, Text: forbid}},
			policy.Answer{Permit: true, Deciding: []string{"p"}, Shadow: &policy.Shadow{Deciding: []string{"f"}}},
		},
		{
			"a shadow that would fail",
			[]policy.Policy{enforced("p", permit), {ID: "f", Mode: policy.ModeShadow, Text: "forbid " + failing}},
			policy.Answer{Permit: true, Deciding: []string{"p"}, Shadow: &policy.Shadow{
				Deciding: []string{"f"}, Failing: []policy.Failure{{Statement: "f", Effect: "forbid", Line: 1, Column: 1, Text: text}},
			}},
		},
		{
			"a shadow stands for the policy of its id",
			[]policy.Policy{enforced("p", forbid), {ID: "p", Version: 2, Mode: policy.ModeShadow, Text: permit}},
			policy.Answer{Deciding: []string{"p"}, Shadow: &policy.Shadow{Permit: true, Deciding: []string{"p"}}},
		},
		{
			"a shadow that no longer fits takes its policy away",
			[]policy.Policy{enforced("p", permit), {ID: "p", Version: 2, Mode: policy.ModeShadow, Text: elsewhere}},
			policy.Answer{Permit: true, Deciding: []string{"p"}, Shadow: &policy.Shadow{}},
		},
		{
			"a shadow that changes nothing is not mentioned",
			[]policy.Policy{enforced("p", permit), {ID: "p", Version: 2, Mode: policy.ModeShadow, Text: permit}},
			policy.Answer{Permit: true, Deciding: []string{"p"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := ask(ci, policy.SendMessage, agentID)
			set := compile(t, tt.policies...)
			if diff := cmp.Diff(tt.want, set.Decide(entities, q)); diff != "" {
				t.Errorf("Decide (-want +got):\n%s", diff)
			}
			cache := policy.NewCache(16)
			for range 2 {
				if diff := cmp.Diff(tt.want, cache.Decide(set, entities, q)); diff != "" {
					t.Errorf("cached (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDecide_QuestionsThatTheSchemaDoesNotHaveAreDenied(t *testing.T) {
	set := compile(t, enforced("p", `permit (principal, action, resource);`))
	entities := small()
	noTime := ask(ci, policy.Invoke, agentID)
	noTime.Context.Time = time.Time{}
	for name, q := range map[string]policy.Query{
		"unknown action":      ask(ci, "Explode", agentID),
		"group":               ask(ci, policy.Read, agentID),
		"wrong resource":      ask(ci, policy.Invoke, theTeam),
		"wrong principal":     ask(policy.AnonymousUID, policy.Invoke, agentID),
		"a team as principal": ask(theTeam, policy.Invoke, agentID),
		"nobody":              ask(policy.UID{}, policy.Invoke, agentID),
		"without a time":      noTime,
	} {
		t.Run(name, func(t *testing.T) {
			got := set.Decide(entities, q)
			if got.Permit || len(got.Failing) != 1 || got.Failing[0].Statement != policy.RuleSchema || got.Failing[0].Text == "" {
				t.Errorf("Decide = %+v", got)
			}
			if diff := cmp.Diff(got, policy.NewCache(1).Decide(set, entities, q)); diff != "" {
				t.Errorf("the cache answers otherwise:\n%s", diff)
			}
		})
	}
}

func TestDecide_ContextIsWhatTheSchemaSays(t *testing.T) {
	tests := []struct {
		when string
		want bool
	}{
		{`context.hour == 12 && context.weekday == 1`, true},
		{`context.time == datetime("2026-11-16T12:00:00Z")`, true},
		{`context has method && context.method == "message/send"`, true},
		{`context has dialect && context.dialect == "JSONRPC/0.3"`, true},
		{`context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8"))`, true},
		{`context has delegation && context.delegation.verified && context.delegation.depth == 2`, true},
		{`context has delegation && context.delegation.path.contains(Signalbox::Agent::"planner")`, true},
		{`context has delegation && context.delegation.root has key && context.delegation.root.key in Signalbox::Team::"research"`, true},
		{`context has delegation && context.delegation.root has user`, false},
		{`context has session && context.session.calls < 10 && context.session.costMicros == 5`, true},
		{`context has session && context.session.steps > 100`, false},
	}
	q := ask(ci, policy.SendMessage, agentID)
	q.Context = policy.Context{
		Time: noon, Method: "message/send", Dialect: "JSONRPC/0.3", SourceAddress: netip.MustParseAddr("::ffff:10.1.2.3"),
		Delegation: &policy.Delegation{Root: ci, Depth: 2, Path: []policy.UID{agentID}, Verified: true},
		Session:    &policy.Session{Calls: 3, Steps: 2, CostMicros: 5},
	}
	for _, tt := range tests {
		t.Run(tt.when, func(t *testing.T) {
			set := compile(t, enforced("p", `permit (principal, action, resource) when { `+tt.when+` };`))
			if got := set.Decide(small(), q); got.Permit != tt.want || got.Failing != nil {
				t.Errorf("Decide = %+v, want %v", got, tt.want)
			}
			empty := ask(ci, policy.SendMessage, agentID)
			if got := set.Decide(small(), empty); got.Failing != nil {
				t.Errorf("without its optional attributes: %+v", got)
			}
		})
	}
}

func TestSet_WithIsTheSameAsCompilingAnew(t *testing.T) {
	permit := `permit (principal, action in Signalbox::Action::"invoke", resource);`
	forbid := `forbid (principal in Signalbox::Team::"research", action, resource);`
	base := compile(t, enforced("p", permit), enforced("f", forbid))
	entities, q := small(), ask(ci, policy.Invoke, agentID)

	next, err := base.With([]policy.Policy{{ID: "f", Version: 2, Mode: policy.ModeDisabled, Text: forbid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := next.Decide(entities, q); !a.Permit {
		t.Errorf("with f disabled: %+v", a)
	}
	if a := base.Decide(entities, q); a.Permit {
		t.Errorf("the old set has changed: %+v", a)
	}
	last, err := next.With([]policy.Policy{{ID: "p", Version: 2, Mode: policy.ModeShadow, Text: forbid}}, []policy.Removal{{ID: "f"}, {ID: "absent"}})
	if err != nil {
		t.Fatal(err)
	}
	if a := last.Decide(entities, q); !a.Permit || a.Shadow == nil || a.Shadow.Permit {
		t.Errorf("with a shadow of p: %+v", a)
	}
	var ids []string
	for _, p := range last.Policies() {
		ids = append(ids, p.ID+" "+string(p.Mode))
	}
	if diff := cmp.Diff([]string{"p ENFORCE", "p SHADOW"}, ids); diff != "" || last.Len() != 2 {
		t.Errorf("policies: %s", diff)
	}
	if p, ok := last.Policy("p", true); !ok || p.Version != 2 {
		t.Errorf("Policy(p, shadow) = %+v, %v", p, ok)
	}
	if _, err := policy.Compile([]policy.Policy{enforced("p", permit), enforced("p", permit)}); !errors.Is(err, policy.ErrDuplicatePolicy) {
		t.Errorf("two policies of one id: %v", err)
	}
}

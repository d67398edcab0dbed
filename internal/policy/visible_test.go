package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

var operations = []policy.Action{
	policy.SendMessage, policy.SendStreamingMessage, policy.GetTask, policy.ListTasks, policy.CancelTask, policy.SubscribeToTask,
	policy.CreateTaskPushNotificationConfig, policy.GetTaskPushNotificationConfig, policy.ListTaskPushNotificationConfigs,
	policy.DeleteTaskPushNotificationConfig, policy.GetExtendedAgentCard,
}

func TestVisible_NeedsDiscoverAndSomethingToCall(t *testing.T) {
	act := func(effect, id string, actions ...string) policy.Policy {
		return enforced(id, effect+` (principal, action in [Signalbox::Action::"`+strings.Join(actions, `", Signalbox::Action::"`)+`"], resource is Signalbox::Agent);`)
	}
	tests := []struct {
		name     string
		who      policy.UID
		policies []policy.Policy
		visible  bool
		settled  string
		asked    []policy.Action
	}{
		{"nothing", ci, nil, false, "", []policy.Action{policy.Discover}},
		{"everything", ci, []policy.Policy{act("permit", "p", "invoke")}, true, "p", []policy.Action{policy.Discover, policy.Invoke}},
		{"discover alone", ci, []policy.Policy{act("permit", "p", "discover")}, false, "", append([]policy.Action{policy.Discover, policy.Invoke}, operations...)},
		{"one operation alone", ci, []policy.Policy{act("permit", "p", "CancelTask")}, false, "", []policy.Action{policy.Discover}},
		{
			"discover and one operation", ci,
			[]policy.Policy{act("permit", "p", "SendMessage", "discover")},
			true, "p",
			[]policy.Action{policy.Discover, policy.Invoke, policy.SendMessage},
		},
		{
			"forbidden to discover", ci,
			[]policy.Policy{act("permit", "p", "invoke"), act("forbid", "f", "discover")},
			false, "f",
			[]policy.Action{policy.Discover},
		},
		{
			"forbidden to call", ci,
			[]policy.Policy{act("permit", "p", "invoke"), act("forbid", "f", "invoke")},
			false, "f",
			[]policy.Action{policy.Discover},
		},
		{"anonymous", policy.AnonymousUID, []policy.Policy{act("permit", "p", "discover")}, true, "p", []policy.Action{policy.Discover}},
		{"anonymous, not public", policy.AnonymousUID, nil, false, "", []policy.Action{policy.Discover}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := compile(t, tt.policies...)
			var asked []policy.Action
			a, visible := policy.Visible(func(q policy.Query) policy.Answer {
				asked = append(asked, q.Action)
				return set.Decide(small(), q)
			}, ask(tt.who, policy.GetAgent, agentID))
			if visible != tt.visible || strings.Join(a.Deciding, " ") != tt.settled {
				t.Errorf("Visible = %+v, %v; want %v by %q", a, visible, tt.visible, tt.settled)
			}
			slices.Sort(asked)
			slices.Sort(tt.asked)
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked %v, want %v", asked, tt.asked)
			}
		})
	}
}

// Whatever is permitted and forbidden: what is called is seen, what is not seen is
// denied, and the question that Call names has the answer that it gives.
func TestCall_NeverPermitsWhatIsNotVisible(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	all := append([]policy.Action{policy.Discover, policy.Invoke}, operations...)
	seen := map[string]int{}
	for range 1000 {
		var policies []policy.Policy
		for i := range 1 + r.IntN(4) {
			effect := []string{"permit", "permit", "forbid"}[r.IntN(3)]
			policies = append(policies, enforced(fmt.Sprintf("p%d", i),
				fmt.Sprintf(`%s (principal, action in Signalbox::Action::"%s", resource is Signalbox::Agent);`, effect, all[r.IntN(min(len(all), 5))])))
		}
		set, err := policy.Load(policies) // quicker than compile
		if err != nil {
			t.Fatal(err)
		}
		decide := func(q policy.Query) policy.Answer { return set.Decide(small(), q) }
		q := ask(ci, operations[r.IntN(4)], agentID)
		_, visible := policy.Visible(decide, q)
		asked, a, sees := policy.Call(decide, q)
		if sees != visible || a.Permit && (!visible || !decide(q).Permit) || !a.Permit && visible && decide(q).Permit {
			t.Fatalf("%+v: Call = %s, %+v, %v; visible %v, and the operation %+v", policies, asked, a, sees, visible, decide(q))
		}
		again := q
		again.Action = asked
		if got := decide(again); got.Permit != a.Permit {
			t.Fatalf("%s is answered with %+v, and %+v when it is asked again", asked, a, got)
		}
		seen[fmt.Sprintf("permit=%v visible=%v discover=%v", a.Permit, visible, asked == policy.Discover)]++
	}
	if len(seen) != 4 {
		t.Errorf("not all cases came: %v", seen)
	}
}

func TestVisible_CostsTwoRememberedDecisions(t *testing.T) {
	q, entities := usual()
	set, cache := compile(t, policy.Shipped()...), policy.NewCache(16)
	decide := func(q policy.Query) policy.Answer { return cache.Decide(set, entities, q) }
	if _, visible := policy.Visible(decide, q); !visible {
		t.Fatal("not visible")
	}
	policy.Call(decide, q)
	if n := testing.AllocsPerRun(100, func() { policy.Visible(decide, q) }); n != 0 {
		t.Errorf("Visible takes %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { policy.Call(decide, q) }); n != 0 {
		t.Errorf("Call takes %v allocations", n)
	}
}

func TestCache_PeekAnswersAndRemembersNothing(t *testing.T) {
	set, cache := compile(t, policy.Shipped()...), policy.NewCache(4)
	kept := ask(ci, policy.SendMessage, agentID)
	cache.Decide(set, small(), kept)
	entities := small()
	for i := range 100 {
		q := ask(ci, policy.SendMessage, policy.AgentUID(fmt.Sprint(i)))
		if got, want := cache.Peek(set, entities, q).Permit, set.Decide(entities, q).Permit; got != want {
			t.Errorf("agent %d: %v, want %v", i, got, want)
		}
	}
	counting := &counted{Entities: entities}
	if a := cache.Peek(set, counting, kept); !a.Permit || counting.read > 0 {
		t.Errorf("what was remembered is gone after the peeks: %+v, %d entities were read", a, counting.read)
	}
	// An answer that does not hold any more is not given.
	moved := policy.NewFixedEntities(2, policy.TeamEntity("research"), policy.TeamEntity("support"),
		policy.KeyEntity("teams/research/keys/ci", "research", false), planner("support", "TEAM"))
	if cache.Peek(set, moved, kept).Permit {
		t.Error("Peek gave an answer of before the agent was moved")
	}
}

// counted counts how many entities are read.
type counted struct {
	policy.Entities
	read int
}

// Entity counts.
func (c *counted) Entity(uid policy.UID) (policy.Entity, bool) {
	c.read++
	return c.Entities.Entity(uid)
}

func TestRole_AssignableIsWhatTheShippedPoliciesMean(t *testing.T) {
	tests := []struct {
		role                 policy.Role
		inTeam, everywhereOK bool
	}{
		{policy.RoleNameAdmin, false, true},
		{policy.RoleNameTeamAdmin, true, false},
		{policy.RoleNamePublisher, true, true},
		{policy.RoleNameApprover, true, true},
		{policy.RoleNameAuditor, true, true},
		{policy.RoleNameMember, true, true},
		{policy.RoleNameTeamKey, false, false},
		{"owner", false, false},
		{"", false, false},
		{"*", false, false},
	}
	for _, tt := range tests {
		for inTeam, want := range map[bool]bool{true: tt.inTeam, false: tt.everywhereOK} {
			err := tt.role.Assignable(inTeam)
			if (err == nil) != want || err != nil && !errors.Is(err, policy.ErrBadRole) {
				t.Errorf("%q, in a team %v: %v, want assignable %v", tt.role, inTeam, err, want)
			}
		}
		if listed := slices.Contains(policy.Roles(), tt.role); listed != (tt.inTeam || tt.everywhereOK) {
			t.Errorf("%q is listed: %v", tt.role, listed)
		}
	}
}

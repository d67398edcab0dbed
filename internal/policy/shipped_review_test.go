package policy_test

import (
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

// Admins of a team give roles in it to whom they like: that must not take from anybody
// what others gave.
func TestShipped_ARoleInOneTeamTakesNothingAwayInAnother(t *testing.T) {
	set := compile(t, policy.Shipped()...)
	trap := policy.RoleNameAuditor.UID("trap")
	agent := func(id, team string) policy.Target {
		return policy.Target{ID: id, Team: team, Visibility: "TEAM", State: "APPROVED", Protocol: "A2A"}
	}
	entities := policy.NewFixedEntities(1,
		policy.TeamEntity("research"), policy.TeamEntity("trap"),
		policy.UserEntity("users/ada", "", false, []string{"research", "trap"}, trap),
		policy.UserEntity("users/installation", "", false, []string{"research"}, policy.RoleNameAuditor.UID("")),
		policy.AgentEntity(agent("planner", "research"), trap),
		policy.AgentEntity(agent("worker", "research")),
		policy.AgentEntity(agent("bait", "trap")),
	)
	for _, tc := range []struct {
		who, what string
		want      bool
	}{
		{"user:users/ada", "agent:worker", true},
		{"user:users/ada", "agent:bait", false},
		{"user:users/installation", "agent:worker", false},
		{"agent:planner", "agent:worker", true},
		{"agent:planner", "agent:bait", false},
	} {
		q := policy.Query{Action: policy.SendMessage, Context: policy.Context{Time: time.Now()}}
		var err error
		if q.Principal, err = policy.ParseUID(tc.who); err != nil {
			t.Fatal(err)
		}
		if q.Resource, err = policy.ParseUID(tc.what); err != nil {
			t.Fatal(err)
		}
		if a := set.Decide(entities, q); a.Permit != tc.want {
			t.Errorf("%s calls %s: %v by %v, want %v", tc.who, tc.what, a.Permit, a.Deciding, tc.want)
		}
	}
}

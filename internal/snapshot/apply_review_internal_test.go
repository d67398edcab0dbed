package snapshot

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/policy"
)

// A policy that comes with the gateway may be set back and changed again before a replica
// looks: what was written last is what holds.
func TestApply_AShippedPolicyThatWasSetBackAndChangedIsTheChangedOne(t *testing.T) {
	first, err := empty(0)
	if err != nil {
		t.Fatal(err)
	}
	disabled := func() []policy.Policy {
		p := shipped("member")[0]
		p.Mode = policy.ModeDisabled
		return []policy.Policy{p}
	}
	for range 50 {
		was, is := uuid.New(), uuid.New()
		s, err := first.apply(Delta{Revision: 1, Policies: map[uuid.UUID][]policy.Policy{was: disabled()}})
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.apply(Delta{Revision: 2, Policies: map[uuid.UUID][]policy.Policy{was: nil, is: disabled()}}); err != nil {
			t.Fatal(err)
		}
		if p, ok := s.Policies().Policy("member", false); !ok || p.Mode != policy.ModeDisabled {
			t.Fatalf("the policy is %v, %v; want it disabled", p.Mode, ok)
		}
		team := s.Policies().Decide(policy.NewFixedEntities(1, policy.TeamEntity("a"), policy.UserEntity("users/ada", "", false, []string{"a"})), policy.Query{
			Principal: policy.UserUID("users/ada"), Action: policy.GetTeam, Resource: policy.TeamUID("a"), Context: policy.Context{Time: time.Now()},
		})
		if team.Permit {
			t.Fatalf("what is disabled permits still: %v", team.Deciding)
		}
		if s, err = s.apply(Delta{Revision: 3, Policies: map[uuid.UUID][]policy.Policy{is: nil}}); err != nil {
			t.Fatal(err)
		}
		if p, ok := s.Policies().Policy("member", false); !ok || p.Mode != policy.ModeEnforce {
			t.Fatalf("set back, the policy is %v, %v", p.Mode, ok)
		}
	}
}

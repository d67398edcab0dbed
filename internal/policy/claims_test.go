package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// A user who is stored with some teams and roles and whose token gives others is decided
// about as one who is stored with all of them; without an entry of its own, as one who is
// stored with what the token gives.
func TestClaims_CountAsIfTheyWereStored(t *testing.T) {
	set := compile(t, append(policy.Shipped(), enforced("okta", `forbid (principal is Signalbox::User, action == Signalbox::Action::"GetTask", resource)
		unless { principal has issuer && principal.issuer == "okta" && principal.state == "ACTIVE" };`))...)
	const name = "users/okta~ada"
	rest := []policy.Entity{
		policy.TeamEntity("research"), policy.TeamEntity("support"), planner("research", "TEAM"),
		policy.AgentEntity(policy.Target{ID: "open", Team: "support", Visibility: "ORGANIZATION", State: "APPROVED"}),
		policy.AgentEntity(policy.Target{ID: "theirs", Team: "support", Visibility: "PRIVATE", State: "APPROVED"}),
	}
	r := rand.New(rand.NewPCG(4, 1))
	// Teams are those of the roles, and of a token some more.
	some := func() ([]string, []identity.RoleIn) {
		var teams []string
		var roles []identity.RoleIn
		for range r.IntN(3) {
			in := identity.RoleIn{Role: string(policy.Roles()[r.IntN(len(policy.Roles()))]), Team: []string{"", "research", "support"}[r.IntN(3)]}
			if policy.Role(in.Role).Assignable(in.Team != "") == nil && !slices.Contains(roles, in) {
				roles = append(roles, in)
			}
		}
		for _, in := range roles {
			if in.Team != "" && !slices.Contains(teams, in.Team) {
				teams = append(teams, in.Team)
			}
		}
		return teams, roles
	}
	uids := func(roles []identity.RoleIn) (all []policy.UID) {
		for _, in := range roles {
			all = append(all, policy.Role(in.Role).UID(in.Team))
		}
		return all
	}
	cache := policy.NewCache(16)
	permits := map[bool]int{}
	for i := range 2000 {
		storedTeams, storedRoles := some()
		claimedTeams, claimedRoles := some()
		if r.IntN(2) == 0 && !slices.Contains(claimedTeams, "support") {
			claimedTeams = append(claimedTeams, "support")
		}
		teams, roles := slices.Clone(claimedTeams), slices.Clone(claimedRoles)
		entities := policy.NewFixedEntities(uint64(2*i+1), rest...)
		if stored := r.IntN(2) == 0; stored {
			for _, team := range storedTeams {
				if !slices.Contains(teams, team) {
					teams = append(teams, team)
				}
			}
			roles = append(roles, storedRoles...)
			entities = policy.NewFixedEntities(uint64(2*i+1), append(rest, policy.UserEntity(name, "okta", false, storedTeams, uids(storedRoles)...))...)
		}
		whole := policy.NewFixedEntities(uint64(2*i+2), append(rest, policy.UserEntity(name, "okta", false, teams, uids(roles)...))...)
		q := ask(policy.UserUID(name), []policy.Action{policy.SendMessage, policy.GetTask, policy.UpdateAgent, policy.AdoptTasks}[r.IntN(4)],
			policy.AgentUID([]string{"planner", "open", "theirs"}[r.IntN(3)]))
		want := set.Decide(whole, q)
		q.Claims = policy.Claims{Teams: claimedTeams, Roles: claimedRoles}
		if diff := cmp.Diff(want, set.Decide(entities, q)); diff != "" {
			t.Fatalf("%+v (-stored +claimed):\n%s", q, diff)
		}
		for range 2 {
			if diff := cmp.Diff(want, cache.Decide(set, entities, q)); diff != "" {
				t.Fatalf("%+v (-stored +claimed and cached):\n%s", q, diff)
			}
		}
		permits[want.Permit]++
	}
	if permits[true] < 100 || permits[false] < 100 {
		t.Errorf("the questions were too much alike: %v", permits)
	}
}

func TestClaims_OfOneTokenDoNotCountForAnother(t *testing.T) {
	set, cache := compile(t, policy.Shipped()...), policy.NewCache(16)
	q := ask(policy.UserUID("users/okta~ada"), policy.SendMessage, agentID)
	with := q
	with.Claims = policy.Claims{Teams: []string{"research"}}
	for range 3 {
		if !cache.Decide(set, small(), with).Permit {
			t.Error("the token gives the team, and the call is denied")
		}
		if cache.Decide(set, small(), q).Permit {
			t.Error("a token without the team is permitted what another one was")
		}
	}
	// Keys have no claims.
	stranger := ask(policy.KeyUID("teams/support/keys/x"), policy.SendMessage, agentID)
	stranger.Claims = policy.Claims{Roles: []identity.RoleIn{{Role: "admin"}}}
	if set.Decide(small(policy.KeyEntity("teams/support/keys/x", "support", false)), stranger).Permit {
		t.Error("a key has the roles of a token")
	}
	// Names without an issuer are nobody's.
	for _, name := range []string{"users/ada", "users/", ""} {
		nobody := ask(policy.UserUID(name), policy.SendMessage, agentID)
		nobody.Claims = with.Claims
		if set.Decide(small(), nobody).Permit {
			t.Errorf("%q is a user", name)
		}
	}
	kept := fmt.Sprintf("%+v", with.Claims)
	set.Decide(small(policy.UserEntity("users/okta~ada", "okta", false, nil)), with)
	if got := fmt.Sprintf("%+v", with.Claims); got != kept {
		t.Errorf("deciding changed the claims to %s", got)
	}
}

func TestClaims_TakeNoMemoryWhenRemembered(t *testing.T) {
	set, cache, entities := compile(t, policy.Shipped()...), policy.NewCache(16), small()
	q := ask(policy.UserUID("users/okta~ada"), policy.SendMessage, agentID)
	q.Claims = policy.Claims{Teams: []string{"research"}, Roles: []identity.RoleIn{{Role: "publisher", Team: "research"}}}
	cache.Decide(set, entities, q)
	if n := testing.AllocsPerRun(100, func() { cache.Decide(set, entities, q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

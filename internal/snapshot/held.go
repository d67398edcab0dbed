package snapshot

import (
	"slices"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// roleLost is held by those whose roles are all in teams that are disabled. No policy that
// comes with the gateway is about it, and it cannot be given.
const roleLost policy.Role = "none"

// Held returns the roles that a principal holds of those that it was given, and the teams
// in which it holds one, in order: those in teams that are disabled or gone drop out. Who
// is left with none holds one that gives nothing: it must not become what those are who
// were never given a role, which for keys is more.
// What is served now and what is made of the history go by this one rule.
func Held(given []identity.RoleIn, active func(team string) bool) (roles []policy.UID, teams []string) {
	for _, r := range given {
		if r.Team != "" && !active(r.Team) {
			continue
		}
		roles = append(roles, policy.Role(r.Role).UID(r.Team))
		if r.Team != "" && !slices.Contains(teams, r.Team) {
			teams = append(teams, r.Team)
		}
	}
	if len(given) > 0 && roles == nil {
		roles = []policy.UID{roleLost.UID("")}
	}
	slices.Sort(teams)
	return roles, teams
}

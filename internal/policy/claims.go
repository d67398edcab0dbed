package policy

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// Claims are the teams and roles that a verified token gives to its user, beside those
// that the user has in the catalogue. Teams that are disabled or do not exist are left
// out by whoever asks. The slices are kept and must not be changed.
type Claims struct {
	Teams []string          `json:"teams,omitempty"`
	Roles []identity.RoleIn `json:"roles,omitempty"`
}

// Empty tells whether nothing is claimed.
func (c Claims) Empty() bool { return len(c.Teams) == 0 && len(c.Roles) == 0 }

// Equal tells whether the same is claimed, in the same order.
func (c Claims) Equal(other Claims) bool {
	return slices.Equal(c.Teams, other.Teams) && slices.Equal(c.Roles, other.Roles)
}

// user returns the user that asks: the one of the catalogue with what is claimed. Users
// come with their first token, so one that the catalogue does not have is what its name,
// "users/{issuer}~{subject}", and its claims say.
func (c Claims) user(uid UID, stored Entity, ok bool) (Entity, bool) {
	if !ok {
		issuer, _, found := strings.Cut(strings.TrimPrefix(string(uid.ID), "users/"), "~")
		if !found {
			return Entity{}, false
		}
		return UserEntity(string(uid.ID), issuer, false, c.teams(), c.roles()...), true
	}
	if c.Empty() {
		return stored, true
	}
	parents := slices.Collect(stored.Parents.All())
	parents = append(parents, c.roles()...)
	for _, team := range c.teams() {
		if !slices.ContainsFunc(parents, func(p UID) bool { return p.Type == TypeRole && strings.HasPrefix(string(p.ID), team+"/") }) {
			parents = append(parents, RoleNameMember.UID(team))
		}
		parents = append(parents, TeamUID(team))
	}
	stored.Parents = types.NewEntityUIDSet(parents...)
	return stored, true
}

// teams are those that are claimed and those of roles: who has a role in a team belongs
// to it.
func (c Claims) teams() []string {
	teams := slices.Clone(c.Teams)
	for _, r := range c.Roles {
		if r.Team != "" && !slices.Contains(teams, r.Team) {
			teams = append(teams, r.Team)
		}
	}
	return teams
}

func (c Claims) roles() []UID {
	roles := make([]UID, len(c.Roles))
	for i, r := range c.Roles {
		roles[i] = Role(r.Role).UID(r.Team)
	}
	return roles
}

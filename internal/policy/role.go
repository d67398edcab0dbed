package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrBadRole is a role that cannot be given.
var ErrBadRole = errors.New("the role cannot be given")

// Roles returns the roles that can be given to people, keys and agents, the widest
// first. [RoleNameTeamKey] is not among them: nobody is given it.
func Roles() []Role {
	return []Role{RoleNameAdmin, RoleNameTeamAdmin, RoleNamePublisher, RoleNameApprover, RoleNameAuditor, RoleNameMember}
}

// Assignable says why a role cannot be given in a team, or everywhere when inTeam is
// false; nil when it can. The error wraps [ErrBadRole].
func (r Role) Assignable(inTeam bool) error {
	switch {
	case r == RoleNameTeamKey:
		return fmt.Errorf("%w: %q is what keys without a role hold", ErrBadRole, r)
	case !slices.Contains(Roles(), r):
		names := make([]string, 0, len(Roles()))
		for _, known := range Roles() {
			names = append(names, string(known))
		}
		return fmt.Errorf("%w: there is no role %q; the roles are %s", ErrBadRole, r, strings.Join(names, ", "))
	case inTeam && r == RoleNameAdmin:
		return fmt.Errorf("%w: %q holds everywhere; in a team it is %q", ErrBadRole, r, RoleNameTeamAdmin)
	case !inTeam && r == RoleNameTeamAdmin:
		return fmt.Errorf("%w: %q holds in one team; everywhere it is %q", ErrBadRole, r, RoleNameAdmin)
	}
	return nil
}

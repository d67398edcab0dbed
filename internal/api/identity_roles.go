package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// anyOf stands for every team or role in a parent.
const anyOf = "-"

// memberPlace is a place in a list of who holds roles, as page tokens hold it.
type memberPlace struct {
	Team   string `json:"t"`
	Role   string `json:"r"`
	Member string `json:"m"`
}

// assignable reads a role that can be given; field is where it stands.
func assignable(field, name string) (identity.RoleIn, error) {
	r, ok := identity.ParseRole(name)
	if !ok {
		return identity.RoleIn{}, &invalidError{field: field, problem: `is no role: write "roles/auditor" or "teams/research/roles/publisher"`}
	}
	if err := policy.Role(r.Role).Assignable(r.Team != ""); err != nil {
		return identity.RoleIn{}, &invalidError{field: field, problem: err.Error()}
	}
	return r, nil
}

// errRoleHidden says that the caller may not see who holds a role.
var errRoleHidden = errors.New("the role is hidden")

// authorizeRole asks whether the caller may do something to a role. Of one in a team that
// is hidden no more is said than of the team; that there are the others everybody knows.
func (h identityHandler) authorizeRole(ctx context.Context, action policy.Action, r identity.RoleIn) error {
	resource := roleResource(r.Role, r.Team)
	err := h.authorize(ctx, action, resource, errRoleHidden)
	switch {
	case !errors.Is(err, errRoleHidden):
		return err
	case r.Team != "":
		return hiddenTeam(r.Team)
	}
	return denied(ctx, action, resource, "you may not see who holds "+r.Name()+", nor change it; ask an admin of the installation")
}

// AddRoleMember gives a role.
func (h identityHandler) AddRoleMember(ctx context.Context, req *identityv1.AddRoleMemberRequest) (*identityv1.RoleHolder, error) {
	return h.changeRole(ctx, policy.AddRoleMember, req.GetRole(), req.GetMember(), h.identity.AddRole)
}

// RemoveRoleMember takes a role away.
func (h identityHandler) RemoveRoleMember(ctx context.Context, req *identityv1.RemoveRoleMemberRequest) (*identityv1.RoleHolder, error) {
	return h.changeRole(ctx, policy.RemoveRoleMember, req.GetRole(), req.GetMember(), h.identity.RemoveRole)
}

func (h identityHandler) changeRole(
	ctx context.Context, action policy.Action, role, member string,
	change func(ctx context.Context, author string, to identity.Holder, r identity.RoleIn) (identity.RoleWrite, error),
) (*identityv1.RoleHolder, error) {
	r, err := assignable("role", role)
	if err != nil {
		return nil, err
	}
	if err := h.authorizeRole(ctx, action, r); err != nil {
		return nil, err
	}
	to, err := h.holder(ctx, member)
	if err != nil {
		return nil, err
	}
	if to.Kind == identity.KindKey {
		// A key with a role has no more what keys without one have: that is for who may change it.
		team, key := keyParts(member)
		if err := h.authorize(ctx, policy.UpdateKey, keyResource(team, key, false), &hiddenError{resource: member, cause: identity.ErrKeyNotFound}); err != nil {
			return nil, err
		}
	}
	w, err := change(ctx, interceptor.Principal(ctx).Name, to, r)
	if errors.Is(err, identity.ErrTeamNotFound) {
		return nil, hiddenTeam(r.Team)
	}
	if err != nil {
		return nil, err
	}
	revision := w.Revision
	if slices.Equal(w.Before, w.After) {
		revision = 0
	}
	recordChange(ctx, holderToProto(to.Name, w.Before), holderToProto(to.Name, w.After), revision)
	out := holderToProto(to.Name, w.After)
	out.Rollout = h.rollOut(ctx, w.Revision)
	return out, nil
}

// holder returns whom a role is given to or taken from. Users are known by who has to know
// them; of keys and agents no more is told than elsewhere.
func (h identityHandler) holder(ctx context.Context, name string) (identity.Holder, error) {
	to, err := h.identity.Holder(ctx, name)
	switch {
	case errors.Is(err, identity.ErrUserNotFound), errors.Is(err, identity.ErrKeyNotFound), errors.Is(err, registry.ErrAgentNotFound):
		return identity.Holder{}, &hiddenError{resource: name, cause: causeOf(err)}
	case err != nil:
		return identity.Holder{}, err
	}
	switch to.Kind {
	case identity.KindKey:
		team, key := keyParts(name)
		if !h.may(ctx, policy.GetKey, keyResource(team, key, false)) {
			return identity.Holder{}, &hiddenError{resource: name, cause: identity.ErrKeyNotFound}
		}
	case identity.KindAgent:
		a, err := h.registry.Agent(ctx, lastPart(name))
		if err != nil {
			return identity.Holder{}, err
		}
		if r := agentResource(&a); !h.reads(ctx, r) && !h.discovers(ctx, r) {
			return identity.Holder{}, &hiddenError{resource: name, cause: registry.ErrAgentNotFound}
		}
	default:
	}
	return to, nil
}

// causeOf returns the sentinel of an error that says that somebody is not there.
func causeOf(err error) error {
	for _, cause := range []error{identity.ErrUserNotFound, identity.ErrKeyNotFound} {
		if errors.Is(err, cause) {
			return cause
		}
	}
	return registry.ErrAgentNotFound
}

// roleParent is of which roles a list is.
type roleParent struct {
	everywhere, inTeams bool
	team, role          string // empty means every one
}

// parseRoleParent reads a parent whose form the schema has checked.
func parseRoleParent(parent string) roleParent {
	if parent == anyOf {
		return roleParent{everywhere: true, inTeams: true}
	}
	p := roleParent{everywhere: true}
	if rest, ok := strings.CutPrefix(parent, "teams/"); ok {
		p.everywhere, p.inTeams = false, true
		if p.team, _, _ = strings.Cut(rest, "/"); p.team == anyOf {
			p.team = ""
		}
	}
	if p.role = lastPart(parent); p.role == anyOf {
		p.role = ""
	}
	return p
}

// ListRoleMembers returns a page of who holds roles.
func (h identityHandler) ListRoleMembers(
	ctx context.Context, req *identityv1.ListRoleMembersRequest,
) (*identityv1.ListRoleMembersResponse, error) {
	parent := parseRoleParent(req.GetParent())
	if err := h.authorizeRoleList(ctx, parent); err != nil {
		return nil, err
	}
	q := identity.RoleQuery{Role: parent.role, Team: parent.team, Everywhere: parent.everywhere, InTeams: parent.inTeams}
	if req.GetMember() != "" {
		of, err := h.holder(ctx, req.GetMember())
		if err != nil {
			return nil, err
		}
		q.Holder = &of.UID
	}
	caller, list := interceptor.Principal(ctx), []string{"roles", req.GetParent(), req.GetMember()}
	if req.GetPageToken() != "" {
		var place memberPlace
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
		q.After = identity.RoleMember{Role: identity.RoleIn{Role: place.Role, Team: place.Team}, Member: place.Member}
	}
	members, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *identity.RoleMember, limit int) ([]identity.RoleMember, bool, error) {
		if q.Limit = limit; after != nil {
			q.After = *after
		}
		return h.identity.RoleMembers(ctx, q)
	}, func(m *identity.RoleMember) bool {
		return h.may(ctx, policy.ListRoleMembers, roleResource(m.Role.Role, m.Role.Team))
	})
	if err != nil {
		return nil, err
	}
	res := &identityv1.ListRoleMembersResponse{Members: make([]*identityv1.RoleMember, len(members))}
	for i, m := range members {
		res.Members[i] = memberToProto(m)
	}
	if more {
		place := memberPlace{Team: last.Role.Team, Role: last.Role.Role, Member: last.Member}
		if res.NextPageToken, err = h.tokens.write(caller, list, place); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// authorizeRoleList asks about the first role of a list that the caller may read, and
// about the first one at all when there is none.
func (h identityHandler) authorizeRoleList(ctx context.Context, parent roleParent) error {
	roles := policy.Roles()
	if parent.role != "" {
		roles = []policy.Role{policy.Role(parent.role)}
		if err := roles[0].Assignable(parent.inTeams); err != nil {
			return &invalidError{field: "parent", problem: err.Error()}
		}
	}
	// Where there is no team, the list is empty, and asked about as the one without teams.
	about, found := identity.RoleIn{Role: string(policy.RoleNameAdmin)}, false
	look := func(team string) (readable bool) {
		for _, role := range roles {
			if role.Assignable(team != "") != nil {
				continue
			}
			r := identity.RoleIn{Role: string(role), Team: team}
			readable = h.may(ctx, policy.ListRoleMembers, roleResource(r.Role, r.Team))
			if readable || !found {
				about, found = r, true
			}
			if readable {
				return true
			}
		}
		return false
	}
	switch {
	case parent.everywhere && look(""):
	case parent.team != "":
		look(parent.team)
	case parent.inTeams:
		h.snapshot().EachTeam(func(t *identity.Team) bool { return !look(t.ID) })
	}
	if err := h.authorizeRole(ctx, policy.ListRoleMembers, about); err != nil || parent.team == "" {
		return err
	}
	_, err := h.identity.Team(ctx, parent.team)
	if errors.Is(err, identity.ErrTeamNotFound) {
		return hiddenTeam(parent.team)
	}
	return err
}

package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Name returns the resource name of the role, "roles/{role}" or
// "teams/{team}/roles/{role}".
func (r RoleIn) Name() string {
	if r.Team == "" {
		return "roles/" + r.Role
	}
	return TeamName(r.Team) + "/roles/" + r.Role
}

// ParseRole reads a name that [RoleIn.Name] writes; false when it is none. Whether there
// is such a role is not checked.
func ParseRole(name string) (RoleIn, bool) {
	var r RoleIn
	if rest, ok := strings.CutPrefix(name, "teams/"); ok {
		if r.Team, name, ok = strings.Cut(rest, "/"); !ok || r.Team == "" {
			return RoleIn{}, false
		}
	}
	role, ok := strings.CutPrefix(name, "roles/")
	r.Role = role
	return r, ok && role != "" && !strings.Contains(role, "/")
}

// Holder is a user, a key or an agent that can hold roles.
type Holder struct {
	Kind Kind
	UID  uuid.UUID
	Name string
	// Agent is the id of the agent as which a key calls: then that holds the roles.
	Agent string
}

// RoleWrite is what came of giving or taking a role.
type RoleWrite struct {
	// Before and After are all roles that the holder was given, in order.
	Before, After []RoleIn
	Revision      int64
}

// RoleMember says that somebody holds a role.
type RoleMember struct {
	Role       RoleIn
	Member     string // the holder's name
	Author     string
	CreateTime time.Time
}

// RoleQuery asks for a page of who holds roles.
type RoleQuery struct {
	// Holder is whose roles are asked for; nil means everybody's.
	Holder *uuid.UUID
	Role   string // only this role; empty means every one
	Team   string // only roles in the team of this id; empty means in every one
	// Everywhere includes roles that hold everywhere, InTeams those that hold in a team.
	Everywhere, InTeams bool
	After               RoleMember // only what comes after this one
	Limit               int
}

// RoleStore keeps who holds which roles. Writes are as in [TeamStore]; one that turns out
// to have nothing to write returns the present revision.
type RoleStore interface {
	// Holder returns the user, key or agent of a name. It returns ErrUserNotFound,
	// ErrKeyNotFound or, for an agent, the error of package registry for that.
	Holder(ctx context.Context, name string) (Holder, error)
	// AddRole gives a role. It returns ErrTeamNotFound, or as Holder does when the holder
	// is gone.
	AddRole(ctx context.Context, author string, h Holder, r RoleIn) (RoleWrite, error)
	// RemoveRole takes a role away. It returns ErrRoleNotHeld, or ErrLastRole when it is
	// the last one of a key.
	RemoveRole(ctx context.Context, author string, h Holder, r RoleIn) (RoleWrite, error)
	// RoleMembers returns at most q.Limit rows in the order of team, role and member.
	RoleMembers(ctx context.Context, q RoleQuery) ([]RoleMember, error)
}

// Holder returns the user, key or agent of a name.
func (s *Service) Holder(ctx context.Context, name string) (Holder, error) {
	h, err := s.store.Holder(ctx, name)
	if err != nil {
		return Holder{}, fmt.Errorf("look %s up: %w", name, err)
	}
	return h, nil
}

// AddRole gives a role, unless it is held already. Which roles can be given is for the
// caller to know.
func (s *Service) AddRole(ctx context.Context, author string, h Holder, r RoleIn) (RoleWrite, error) {
	if h.Agent != "" {
		return RoleWrite{}, &InvalidError{Field: "member", Problem: "this key calls as agents/" + h.Agent + ", which is what can hold roles"}
	}
	w, err := s.store.AddRole(ctx, author, h, r)
	if err != nil {
		return RoleWrite{}, fmt.Errorf("give %s to %s: %w", r.Name(), h.Name, err)
	}
	return w, nil
}

// RemoveRole takes a role away.
func (s *Service) RemoveRole(ctx context.Context, author string, h Holder, r RoleIn) (RoleWrite, error) {
	w, err := s.store.RemoveRole(ctx, author, h, r)
	if err != nil {
		return RoleWrite{}, fmt.Errorf("take %s from %s: %w", r.Name(), h.Name, err)
	}
	return w, nil
}

// RoleMembers returns a page of who holds roles and whether there are more.
func (s *Service) RoleMembers(ctx context.Context, q RoleQuery) ([]RoleMember, bool, error) {
	limit := q.Limit
	q.Limit++
	members, err := s.store.RoleMembers(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list role members: %w", err)
	}
	if len(members) > limit {
		return members[:limit], true, nil
	}
	return members, false, nil
}

// sortRoles puts roles in order and removes repetitions.
func sortRoles(roles []RoleIn) []RoleIn {
	sorted := slices.Clone(roles)
	slices.SortFunc(sorted, RoleIn.Compare)
	return slices.Compact(sorted)
}

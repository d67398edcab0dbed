package snapshot

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// entities are a snapshot as policies see it.
type entities Snapshot

var _ policy.Entities = (*entities)(nil)

// Entities returns what policies see.
func (s *Snapshot) Entities() policy.Entities { return (*entities)(s) }

// Claims returns what the token of a principal says of it, without teams that are
// disabled or that there are not.
func (s *Snapshot) Claims(p *identity.Principal) policy.Claims {
	c := p.Claims
	if c == nil {
		return policy.Claims{}
	}
	inactive := func(r identity.RoleIn) bool { return r.Team != "" && !s.active(r.Team) }
	teams, roles := c.Teams, c.Roles
	if slices.ContainsFunc(teams, func(t string) bool { return !s.active(t) }) {
		teams = slices.DeleteFunc(slices.Clone(teams), func(t string) bool { return !s.active(t) })
	}
	if slices.ContainsFunc(roles, inactive) {
		roles = slices.DeleteFunc(slices.Clone(roles), inactive)
	}
	return policy.Claims{Teams: teams, Roles: roles}
}

// PrincipalUID returns the name that policies have for a principal.
func PrincipalUID(p *identity.Principal) policy.UID {
	switch p.Kind {
	case identity.KindAdmin:
		return policy.AdminKeyUID
	case identity.KindKey:
		return policy.KeyUID(p.Name)
	case identity.KindUser:
		return policy.UserUID(p.Name)
	case identity.KindAgent:
		return policy.AgentUID(strings.TrimPrefix(p.Name, "agents/"))
	case identity.KindAnonymous:
	}
	return policy.AnonymousUID
}

// Entity implements [policy.Entities].
func (e *entities) Entity(uid policy.UID) (policy.Entity, bool) {
	s, id := (*Snapshot)(e), string(uid.ID)
	switch uid.Type {
	case policy.TypeTeam:
		if _, ok := s.teamIDs.Get(id); ok {
			return policy.TeamEntity(id), true
		}
	case policy.TypeAgent:
		if a, ok := s.agentOf(id); ok {
			return AgentEntity(a, s.rolesOf(a.UID)), true
		}
	case policy.TypeKey:
		if uid == policy.AdminKeyUID {
			return policy.KeyEntity(id, "", len(s.admins) == 0), true
		}
		if k, ok := s.keyNames.Get(id); ok {
			return policy.KeyEntity(id, k.Team, k.Disabled, s.rolesOf(k.UID)...), true
		}
	case policy.TypeUser:
		if u, ok := s.userOf(id); ok {
			roles, teams := Held(s.Roles(u.UID), s.active)
			return policy.UserEntity(id, u.Issuer, u.Disabled, teams, roles...), true
		}
	}
	return policy.Entity{}, false
}

// AgentEntity returns an agent that holds roles as policies see it.
func AgentEntity(a *Agent, roles []policy.UID) policy.Entity {
	return policy.AgentEntity(policy.Target{
		ID: a.ID, Team: a.Team, Visibility: string(a.Visibility), State: string(a.State), Tags: a.Tags, Protocol: "A2A",
	}, roles...)
}

// rolesOf returns the roles that a principal was given, but for those in teams that are
// disabled or gone.
func (s *Snapshot) rolesOf(principal uuid.UUID) []policy.UID {
	held, _ := Held(s.Roles(principal), s.active)
	return held
}

// teamsOf returns the teams that a user belongs to: those of its token, and those in which
// it holds a role.
func (s *Snapshot) teamsOf(user uuid.UUID, claims *identity.Claims) []string {
	var teams []string
	add := func(team string) {
		if team != "" && s.active(team) && !slices.Contains(teams, team) {
			teams = append(teams, team)
		}
	}
	for _, r := range s.Roles(user) {
		add(r.Team)
	}
	if claims != nil {
		for _, team := range claims.Teams {
			add(team)
		}
		for _, r := range claims.Roles {
			add(r.Team)
		}
	}
	slices.Sort(teams)
	return teams
}

// Teams returns the ids of the teams that a principal belongs to, in order.
func (s *Snapshot) Teams(p *identity.Principal) []string {
	switch {
	case p.Kind == identity.KindUser:
		return s.teamsOf(p.UID, p.Claims)
	case p.Team != "":
		return []string{p.Team}
	}
	return nil
}

// RecordedTeam returns the id of the team that the calls of a principal are recorded under.
// For a user that is the first one that its token gives, if any: admins of another team,
// who may give the user roles there, must not come to read of its calls by that.
func (s *Snapshot) RecordedTeam(p *identity.Principal) string {
	teams := s.Teams(p)
	if c := p.Claims; c != nil {
		for _, team := range teams {
			if slices.Contains(c.Teams, team) || slices.ContainsFunc(c.Roles, func(r identity.RoleIn) bool { return r.Team == team }) {
				return team
			}
		}
	}
	if len(teams) > 0 {
		return teams[0]
	}
	return ""
}

func (s *Snapshot) active(team string) bool {
	t, ok := s.teamIDs.Get(team)
	return ok && !t.Disabled
}

// Generation implements [policy.Entities].
func (e *entities) Generation(uid policy.UID) uint64 {
	s, id := (*Snapshot)(e), string(uid.ID)
	switch uid.Type {
	case policy.TypeTeam:
		if t, ok := s.teamIDs.Get(id); ok {
			return s.generation(t.UID)
		}
	case policy.TypeAgent:
		if a, ok := s.agentOf(id); ok {
			return s.generation(a.UID)
		}
	case policy.TypeKey:
		if uid == policy.AdminKeyUID {
			return s.lineage<<48 | uint64(1+min(len(s.admins), 1))
		}
		if k, ok := s.keyNames.Get(id); ok {
			return s.generation(k.UID)
		}
	case policy.TypeUser:
		if u, ok := s.userOf(id); ok {
			return s.generation(u.UID)
		}
	}
	return 0
}

// generation is when a resource, its roles, or a team that they are in, last changed.
func (s *Snapshot) generation(uid uuid.UUID) uint64 {
	latest, _ := s.changes.Get(uid)
	for _, r := range s.Roles(uid) {
		at, _ := s.teamChanges.Get(r.Team)
		latest = max(latest, at)
	}
	return s.lineage<<48 | uint64(latest+1)
}

// Revision implements [policy.Entities].
func (e *entities) Revision() uint64 { return e.lineage<<48 | uint64(e.revision) }

// agentOf returns the agent of an id; aliases are no names for policies.
func (s *Snapshot) agentOf(id string) (*Agent, bool) {
	a, ok := s.names.Get(id)
	if !ok || a.ID != id {
		return nil, false
	}
	return a, true
}

func (s *Snapshot) userOf(name string) (*identity.User, bool) {
	return s.userIDs.Get(strings.TrimPrefix(name, "users/"))
}

package snapshot

import (
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// userUIDVersion is that of uids which [identity.Issuer.UserUID] makes. No others have it.
const userUIDVersion = 8

// Revoked tells whether the owner of something, a principal's uid, may call no more.
// Users of whom only their tokens tell may, as far as it is known.
func (s *Snapshot) Revoked(owner uuid.UUID, now time.Time) bool {
	if owner == identity.AdminUID {
		return false
	}
	if key, ok := s.keys.Get(owner); ok {
		return s.checkKey(key, now) != nil
	}
	if agent, ok := s.agents.Get(owner); ok {
		// No key of the agent can be used when its team is disabled.
		team, known := s.teamIDs.Get(agent.Team)
		return !agent.State.Callable() || known && team.Disabled
	}
	if user, ok := s.users.Get(owner); ok {
		return user.Disabled
	}
	return owner.Version() != userUIDVersion
}

// Owner returns the name and the team's id of a principal by its uid, as far as they are
// known here.
func (s *Snapshot) Owner(uid uuid.UUID) (name, team string) {
	if uid == identity.AdminUID {
		return identity.Admin().Name, ""
	}
	if key, ok := s.keys.Get(uid); ok {
		return key.Name(), key.Team
	}
	if agent, ok := s.agents.Get(uid); ok {
		return agent.Name(), agent.Team
	}
	if user, ok := s.users.Get(uid); ok {
		if teams := s.teamsOf(uid, nil); len(teams) > 0 {
			team = teams[0]
		}
		return user.Name(), team
	}
	return "", ""
}

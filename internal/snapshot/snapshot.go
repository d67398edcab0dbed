// Package snapshot holds the configuration that a replica serves from: an
// immutable value that is replaced as a whole when the configuration changes, so
// that a call reads one revision from its begin to its end and never the database.
package snapshot

import (
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// Snapshot is the configuration at one revision. It is never changed.
type Snapshot struct {
	revision int64
	secrets  shards[[32]byte, credential]
	keys     shards[uuid.UUID, *identity.Key]
	names    shards[string, *Agent]
	agents   shards[uuid.UUID, *Agent]
	admins   [][32]byte
}

// credential is what a secret's hash leads to.
type credential struct {
	key     *identity.Key
	expires time.Time // of this secret; zero means as long as the key
	admin   bool
}

// Agent is a registered agent with what calls need of it, read from its card once.
type Agent struct {
	*registry.Agent
	// Route is how the agent is spoken to.
	Route registry.Route
}

// Revision returns the configuration revision that s shows.
func (s *Snapshot) Revision() int64 { return s.revision }

// Agent returns the agent of a name or alias.
func (s *Snapshot) Agent(name string) (*Agent, bool) { return s.names.get(name) }

// AgentByUID returns the agent of a uid.
func (s *Snapshot) AgentByUID(uid uuid.UUID) (*Agent, bool) { return s.agents.get(uid) }

// KeyByUID returns the key of a uid, disabled and expired ones too.
func (s *Snapshot) KeyByUID(uid uuid.UUID) (*identity.Key, bool) { return s.keys.get(uid) }

// Agents returns the number of agents.
func (s *Snapshot) Agents() int { return s.agents.count }

// EachAgent calls f for every agent, in no order, until it returns false.
func (s *Snapshot) EachAgent(f func(*Agent) bool) {
	s.agents.each(func(_ uuid.UUID, a *Agent) bool { return f(a) })
}

// Authenticate returns whose secret this is. It fails with
// [identity.ErrCredentialsInvalid], [identity.ErrKeyDisabled] or
// [identity.ErrKeyExpired]. The time it takes does not depend on the secret: only
// a hash of it is looked up.
func (s *Snapshot) Authenticate(secret string, now time.Time) (identity.Principal, error) {
	c, ok := s.secrets.get(identity.HashSecret(secret))
	switch {
	case !ok:
		return identity.Principal{}, identity.ErrCredentialsInvalid
	case c.admin:
		return identity.Admin(), nil
	case c.key.Disabled:
		return identity.Principal{}, identity.ErrKeyDisabled
	case !c.key.ExpireTime.IsZero() && !now.Before(c.key.ExpireTime):
		return identity.Principal{}, identity.ErrKeyExpired
	case !c.expires.IsZero() && !now.Before(c.expires):
		return identity.Principal{}, identity.ErrKeyExpired
	}
	return c.key.Principal(), nil
}

// Delta is what changed up to a revision. A nil value means that the resource is gone.
type Delta struct {
	Revision int64
	Keys     map[uuid.UUID]*identity.Key
	Agents   map[uuid.UUID]*registry.Agent
	// Admins are the hashes of all admin keys, when they were read; nil means no change.
	Admins [][32]byte
}

// apply returns s with d applied; s stays as it is.
func (s *Snapshot) apply(d Delta) *Snapshot {
	next := *s
	next.revision = d.Revision
	if len(d.Keys) > 0 || d.Admins != nil {
		keys, secrets := edit(s.keys), edit(s.secrets)
		for uid, key := range d.Keys {
			if old, ok := keys.get(uid); ok {
				for _, sec := range old.Secrets {
					secrets.remove(sec.SHA256)
				}
			}
			if key == nil {
				keys.remove(uid)
				continue
			}
			keys.set(uid, key)
			for _, sec := range key.Secrets {
				secrets.set(sec.SHA256, credential{key: key, expires: sec.ExpireTime})
			}
		}
		if d.Admins != nil {
			for _, hash := range next.admins {
				secrets.remove(hash)
			}
			next.admins = d.Admins
		}
		for _, hash := range d.Admins {
			secrets.set(hash, credential{admin: true})
		}
		next.keys, next.secrets = keys.next, secrets.next
	}
	if len(d.Agents) > 0 {
		agents, names := edit(s.agents), edit(s.names)
		for uid := range d.Agents {
			if old, ok := agents.get(uid); ok {
				names.remove(old.ID)
				for _, alias := range old.Aliases {
					names.remove(alias)
				}
			}
		}
		for uid, agent := range d.Agents {
			if agent == nil {
				agents.remove(uid)
				continue
			}
			a := &Agent{Agent: agent, Route: registry.ReadRoute(agent)}
			agents.set(uid, a)
			names.set(a.ID, a)
			for _, alias := range a.Aliases {
				names.set(alias, a)
			}
		}
		next.agents, next.names = agents.next, names.next
	}
	return &next
}

// Package snapshot holds the configuration that a replica serves from: an
// immutable value that is replaced as a whole when the configuration changes, so
// that a call reads one revision from its begin to its end and never the database.
package snapshot

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/shard"
)

// Snapshot is the configuration at one revision. It is never changed.
type Snapshot struct {
	revision int64
	// mark tells the revision from others of its number.
	mark string
	// lineage counts how often the database was found set back to an earlier revision: the
	// same revision may be another configuration then.
	lineage uint64

	secrets      shard.Map[[32]byte, credential]
	certificates shard.Map[string, *identity.Key]
	keys         shard.Map[uuid.UUID, *identity.Key]
	keyNames     shard.Map[string, *identity.Key]
	names        shard.Map[string, *Agent]
	agents       shard.Map[uuid.UUID, *Agent]
	inOrder      *agentOrder
	teams        shard.Map[uuid.UUID, *identity.Team]
	teamIDs      shard.Map[string, *identity.Team]
	users        shard.Map[uuid.UUID, *identity.User]
	userIDs      shard.Map[string, *identity.User]
	issuers      shard.Map[uuid.UUID, *identity.Issuer]
	issuerURLs   shard.Map[string, *identity.Issuer]
	roles        shard.Map[uuid.UUID, []identity.RoleIn]
	// changes has the revision at which a resource, or the roles of a principal, last
	// changed here.
	changes shard.Map[uuid.UUID, int64]
	// teamChanges has the same of teams by their ids, those that are gone too.
	teamChanges shard.Map[string, int64]
	policies    *policy.Set
	policyIDs   shard.Map[uuid.UUID, string]
	admins      [][32]byte
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
func (s *Snapshot) Agent(name string) (*Agent, bool) { return s.names.Get(name) }

// AgentByUID returns the agent of a uid.
func (s *Snapshot) AgentByUID(uid uuid.UUID) (*Agent, bool) { return s.agents.Get(uid) }

// KeyByUID returns the key of a uid, disabled and expired ones too.
func (s *Snapshot) KeyByUID(uid uuid.UUID) (*identity.Key, bool) { return s.keys.Get(uid) }

// UserByUID returns the user of a uid, if it is disabled or was given roles: of others
// only their tokens tell.
func (s *Snapshot) UserByUID(uid uuid.UUID) (*identity.User, bool) { return s.users.Get(uid) }

// Team returns the team of an id.
func (s *Snapshot) Team(id string) (*identity.Team, bool) { return s.teamIDs.Get(id) }

// Agents returns the number of agents.
func (s *Snapshot) Agents() int { return s.agents.Len() }

// EachAgent calls f for every agent, in no order, until it returns false.
func (s *Snapshot) EachAgent(f func(*Agent) bool) {
	s.agents.Each(func(_ uuid.UUID, a *Agent) bool { return f(a) })
}

// agentOrder is the agents by name, sorted when somebody first asks for a list.
type agentOrder struct {
	once sync.Once
	all  []*Agent
}

// AgentsAfter returns the agents whose names come after a name, in order. They must not be
// changed.
func (s *Snapshot) AgentsAfter(name string) []*Agent {
	order := s.inOrder
	if order == nil {
		return nil
	}
	order.once.Do(func() {
		order.all = make([]*Agent, 0, s.agents.Len())
		s.EachAgent(func(a *Agent) bool {
			order.all = append(order.all, a)
			return true
		})
		slices.SortFunc(order.all, func(a, b *Agent) int { return strings.Compare(a.ID, b.ID) })
	})
	i, found := slices.BinarySearchFunc(order.all, name, func(a *Agent, name string) int { return strings.Compare(a.ID, name) })
	if found {
		i++
	}
	return order.all[i:]
}

// EachTeam calls f for every team, in no order, until it returns false.
func (s *Snapshot) EachTeam(f func(*identity.Team) bool) {
	s.teams.Each(func(_ uuid.UUID, t *identity.Team) bool { return f(t) })
}

// EachKey calls f for every key, in no order, until it returns false.
func (s *Snapshot) EachKey(f func(*identity.Key) bool) {
	s.keys.Each(func(_ uuid.UUID, k *identity.Key) bool { return f(k) })
}

// EachUser calls f for every user that [Snapshot.UserByUID] knows, in no order, until it
// returns false.
func (s *Snapshot) EachUser(f func(*identity.User) bool) {
	s.users.Each(func(_ uuid.UUID, u *identity.User) bool { return f(u) })
}

// IssuerByURL returns the issuer of a URL, a disabled one too.
func (s *Snapshot) IssuerByURL(url string) (*identity.Issuer, bool) { return s.issuerURLs.Get(url) }

// Issuers returns the issuers, in no order, disabled ones too.
func (s *Snapshot) Issuers() []*identity.Issuer {
	all := make([]*identity.Issuer, 0, s.issuers.Len())
	for _, i := range s.issuers.All() {
		all = append(all, i)
	}
	return all
}

// Roles returns what a principal was given, in order. It must not be changed.
func (s *Snapshot) Roles(principal uuid.UUID) []identity.RoleIn {
	roles, _ := s.roles.Get(principal)
	return roles
}

// EachRole calls f for every principal that was given roles, in no order, until it
// returns false.
func (s *Snapshot) EachRole(f func(principal uuid.UUID, roles []identity.RoleIn) bool) {
	s.roles.Each(f)
}

// Policies returns the policies and grants.
func (s *Snapshot) Policies() *policy.Set { return s.policies }

// Admins returns the number of admin keys.
func (s *Snapshot) Admins() int { return len(s.admins) }

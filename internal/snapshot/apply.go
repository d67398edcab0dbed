package snapshot

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/shard"
)

// Delta is what changed up to a revision. A nil value means that the resource is gone.
type Delta struct {
	Revision int64
	// Mark tells the revision from one of the same number that the database had, or will
	// have, when it is set back; it may be empty.
	Mark   string
	Keys   map[uuid.UUID]*identity.Key
	Agents map[uuid.UUID]*registry.Agent
	Teams  map[uuid.UUID]*identity.Team
	// Users are those who are disabled or were given roles, and those who are not any more.
	Users   map[uuid.UUID]*identity.User
	Issuers map[uuid.UUID]*identity.Issuer
	// Roles has all roles of principals, in order; none means that it was given none.
	Roles map[uuid.UUID][]identity.RoleIn
	// Policies has the policies that a policy, with its shadow, or a grant stands for; none
	// means that it is gone.
	Policies map[uuid.UUID][]policy.Policy
	// Admins are the hashes of all admin keys, when they were read; nil means no change.
	Admins [][32]byte
}

// empty returns the configuration of before the first revision.
func empty(lineage uint64) (*Snapshot, error) {
	set, err := policy.Load(policy.Shipped())
	if err != nil {
		return nil, fmt.Errorf("load the shipped policies: %w", err)
	}
	return &Snapshot{policies: set, lineage: lineage}, nil
}

// apply returns s with d applied; s stays as it is.
func (s *Snapshot) apply(d Delta) (*Snapshot, error) {
	next := *s
	next.revision, next.mark = d.Revision, d.Mark
	if err := next.applyPolicies(s, d.Policies); err != nil {
		return nil, err
	}
	next.applyKeys(s, d)
	next.applyAgents(s, d.Agents)
	next.teams, next.teamIDs = applied(s.teams, s.teamIDs, d.Teams, func(t *identity.Team) string { return t.ID })
	next.users, next.userIDs = applied(s.users, s.userIDs, d.Users, func(u *identity.User) string { return u.ID })
	next.issuers, next.issuerURLs = applied(s.issuers, s.issuerURLs, d.Issuers, func(i *identity.Issuer) string { return i.URL })
	if len(d.Roles) > 0 {
		roles := shard.Edit(s.roles)
		for uid, held := range d.Roles {
			if len(held) == 0 {
				roles.Remove(uid)
			} else {
				roles.Set(uid, held)
			}
		}
		next.roles = roles.Map()
	}
	next.noteChanges(s, d)
	return &next, nil
}

// applied changes a map by uid together with one by name.
func applied[T any](byUID shard.Map[uuid.UUID, *T], byName shard.Map[string, *T], changed map[uuid.UUID]*T, name func(*T) string) (
	shard.Map[uuid.UUID, *T], shard.Map[string, *T],
) {
	if len(changed) == 0 {
		return byUID, byName
	}
	uids, names := shard.Edit(byUID), shard.Edit(byName)
	for uid := range changed {
		if old, ok := uids.Get(uid); ok {
			names.Remove(name(old))
		}
	}
	for uid, one := range changed {
		if one == nil {
			uids.Remove(uid)
			continue
		}
		uids.Set(uid, one)
		names.Set(name(one), one)
	}
	return uids.Map(), names.Map()
}

func (s *Snapshot) applyKeys(was *Snapshot, d Delta) {
	if len(d.Keys) == 0 && d.Admins == nil {
		return
	}
	secrets, certificates := shard.Edit(was.secrets), shard.Edit(was.certificates)
	for uid := range d.Keys {
		if old, ok := was.keys.Get(uid); ok {
			for _, sec := range old.Secrets {
				secrets.Remove(sec.SHA256)
			}
			for _, name := range old.CertificateNames {
				certificates.Remove(name)
			}
		}
	}
	for _, key := range d.Keys {
		if key == nil {
			continue
		}
		for _, sec := range key.Secrets {
			secrets.Set(sec.SHA256, credential{key: key, expires: sec.ExpireTime})
		}
		for _, name := range key.CertificateNames {
			certificates.Set(name, key)
		}
	}
	if d.Admins != nil {
		for _, hash := range was.admins {
			secrets.Remove(hash)
		}
		s.admins = d.Admins
	}
	for _, hash := range d.Admins {
		secrets.Set(hash, credential{admin: true})
	}
	s.secrets, s.certificates = secrets.Map(), certificates.Map()
	s.keys, s.keyNames = applied(was.keys, was.keyNames, d.Keys, func(k *identity.Key) string { return k.Name() })
}

func (s *Snapshot) applyAgents(was *Snapshot, changed map[uuid.UUID]*registry.Agent) {
	if len(changed) == 0 {
		return
	}
	agents, names := shard.Edit(was.agents), shard.Edit(was.names)
	for uid := range changed {
		if old, ok := agents.Get(uid); ok {
			names.Remove(old.ID)
			for _, alias := range old.Aliases {
				names.Remove(alias)
			}
		}
	}
	for uid, agent := range changed {
		if agent == nil {
			agents.Remove(uid)
			continue
		}
		a := &Agent{Agent: agent, Route: registry.ReadRoute(agent)}
		agents.Set(uid, a)
		names.Set(a.ID, a)
		for _, alias := range a.Aliases {
			names.Set(alias, a)
		}
	}
	s.agents, s.names, s.inOrder = agents.Map(), names.Map(), &agentOrder{}
}

// applyPolicies makes the set that decides from now on. Where the row of a policy that
// comes with the gateway is gone, it is again what it was.
func (s *Snapshot) applyPolicies(was *Snapshot, changed map[uuid.UUID][]policy.Policy) error {
	if len(changed) == 0 {
		return nil
	}
	ids := shard.Edit(was.policyIDs)
	var come []policy.Policy
	var gone []policy.Removal
	named := map[string]bool{} // of one name another row may come in the same change
	for uid, policies := range changed {
		if len(policies) > 0 {
			come = append(come, policies...)
			named[policies[0].ID] = true
		}
		id, ok := ids.Get(uid)
		if !ok {
			continue
		}
		gone = append(gone, policy.Removal{ID: id}, policy.Removal{ID: id, Shadow: true})
		ids.Remove(uid)
	}
	for _, r := range gone {
		if !named[r.ID] && !r.Shadow {
			come = append(come, shipped(r.ID)...)
		}
	}
	for uid, policies := range changed {
		if len(policies) > 0 {
			ids.Set(uid, policies[0].ID)
		}
	}
	set, err := s.policies.Apply(come, gone)
	if err != nil {
		return fmt.Errorf("compile policies: %w", err)
	}
	s.policies, s.policyIDs = set, ids.Map()
	return nil
}

func shipped(id string) []policy.Policy {
	all := policy.Shipped()
	if i := slices.IndexFunc(all, func(p policy.Policy) bool { return p.ID == id }); i >= 0 {
		return all[i : i+1]
	}
	return nil
}

func (s *Snapshot) noteChanges(was *Snapshot, d Delta) {
	changes := shard.Edit(was.changes)
	note(changes, d.Keys, d.Revision)
	note(changes, d.Agents, d.Revision)
	note(changes, d.Teams, d.Revision)
	note(changes, d.Users, d.Revision)
	note(changes, d.Roles, d.Revision)
	s.changes = changes.Map()
	if len(d.Teams) == 0 {
		return
	}
	teams := shard.Edit(was.teamChanges)
	for uid, team := range d.Teams {
		if old, ok := was.teams.Get(uid); ok {
			teams.Set(old.ID, d.Revision)
		}
		if team != nil {
			teams.Set(team.ID, d.Revision)
		}
	}
	s.teamChanges = teams.Map()
}

// note remembers when something changed. What is gone is remembered too: it may come back
// under the same uid, as users and roles do, and must not look unchanged then.
func note[T any](changes *shard.Editor[uuid.UUID, int64], changed map[uuid.UUID]T, revision int64) {
	for uid := range changed {
		changes.Set(uid, revision)
	}
}

package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// ErrRevisionGone is a revision whose policies and entities are not known any more, or
// not yet.
var ErrRevisionGone = errors.New("the configuration of this revision is not known")

// EntityVersion is what an entity was from a revision on.
type EntityVersion struct {
	Revision uint64
	UID      UID
	// Entity makes the entity; nil says that it was deleted. It is called for what
	// decisions touch, always gives the same and is safe for concurrent use.
	Entity func() Entity
}

// Version is what a policy, or a grant, was from a revision on.
type Version struct {
	Revision uint64
	ID       string
	// Policies are the one that is enforced or disabled and its shadow; none says that it
	// was deleted.
	Policies []Policy
}

// Timeline is the entities and policies of many revisions, for answering recorded
// questions with what was there when they were asked. It is safe for concurrent use.
type Timeline struct {
	first, last uint64
	entities    map[UID][]EntityVersion
	// changes are the revisions at which some entity changed, in order.
	changes []uint64

	policies map[string][]Version
	// edits are the revisions at which some policy changed, in order.
	edits []edit
	base  []Policy

	mu sync.Mutex
	// sets are some that were asked for, the newest first.
	sets []setAt
}

// edit is the policies that changed with one revision.
type edit struct {
	revision uint64
	ids      []string
}

// setAt is the set after so many edits.
type setAt struct {
	edits int
	set   *Set
}

// timelineSets is how many sets a timeline keeps. Decisions of several replicas come
// from a few revisions at a time.
const timelineSets = 8

// NewTimeline returns the timeline from a first to a last revision, both included. It
// wants what was in force at the first one and every change up to the last, in any
// order; of two versions with one revision the later one counts. base are the policies
// that are there from the beginning: a version takes the place of the one of its id
// until it is deleted.
func NewTimeline(first, last uint64, entities []EntityVersion, policies []Version, base []Policy) *Timeline {
	t := &Timeline{
		first: first, last: last, entities: map[UID][]EntityVersion{}, policies: map[string][]Version{}, base: slices.Clone(base),
	}
	for _, v := range entities {
		t.entities[v.UID] = append(t.entities[v.UID], v)
		t.changes = append(t.changes, v.Revision)
	}
	slices.Sort(t.changes)
	t.changes = slices.Compact(t.changes)
	for _, versions := range t.entities {
		slices.SortStableFunc(versions, func(a, b EntityVersion) int { return cmp.Compare(a.Revision, b.Revision) })
	}
	ids := map[uint64][]string{}
	for _, v := range policies {
		t.policies[v.ID] = append(t.policies[v.ID], v)
		ids[v.Revision] = append(ids[v.Revision], v.ID)
	}
	for _, revision := range slices.Sorted(maps.Keys(ids)) {
		t.edits = append(t.edits, edit{revision: revision, ids: ids[revision]})
	}
	for _, versions := range t.policies {
		slices.SortStableFunc(versions, func(a, b Version) int { return cmp.Compare(a.Revision, b.Revision) })
	}
	return t
}

// Span returns the first and the last revision.
func (t *Timeline) Span() (first, last uint64) { return t.first, t.last }

// At returns the entities of a revision, false when it is not known.
func (t *Timeline) At(revision uint64) (Entities, bool) {
	if revision < t.first || revision > t.last {
		return nil, false
	}
	m := &moment{timeline: t, revision: revision}
	// Revisions between which no entity changed are the same to caches.
	if n := upTo(t.changes, revision, func(r uint64) uint64 { return r }); n > 0 {
		m.changed = t.changes[n-1]
	}
	return m, true
}

// upTo returns how many of some things in the order of their revisions are not after
// one.
func upTo[T any](all []T, revision uint64, of func(T) uint64) int {
	n, _ := slices.BinarySearchFunc(all, revision, func(one T, revision uint64) int {
		if of(one) <= revision {
			return -1
		}
		return 1
	})
	return n
}

// moment is a timeline at one revision.
type moment struct {
	timeline          *Timeline
	revision, changed uint64
}

// Entity returns an entity, false when there was none.
func (m *moment) Entity(uid UID) (Entity, bool) {
	if v := m.version(uid); v != nil {
		return v.Entity(), true
	}
	return Entity{}, false
}

// Generation returns the revision of the version that was in force.
func (m *moment) Generation(uid UID) uint64 {
	if v := m.version(uid); v != nil {
		// What was there before there were revisions is there, too.
		return v.Revision + 1
	}
	return 0
}

// Revision returns the revision at which an entity changed last.
func (m *moment) Revision() uint64 { return m.changed }

// version returns what an entity was, nil when it was not.
func (m *moment) version(uid UID) *EntityVersion {
	versions := m.timeline.entities[uid]
	n := upTo(versions, m.revision, func(v EntityVersion) uint64 { return v.Revision })
	if n == 0 || versions[n-1].Entity == nil {
		return nil
	}
	return &versions[n-1]
}

// Set returns the policies that were in force at a revision. It fails with
// [ErrRevisionGone], or when a policy cannot be read any more. It is made from a set of a
// revision near by, when there is one.
func (t *Timeline) Set(revision uint64) (*Set, error) {
	if revision < t.first || revision > t.last {
		return nil, fmt.Errorf("%w: %d", ErrRevisionGone, revision)
	}
	edits := upTo(t.edits, revision, func(e edit) uint64 { return e.revision })
	t.mu.Lock()
	defer t.mu.Unlock()
	near := 0
	for i, s := range t.sets {
		if s.edits == edits {
			t.keep(i, s)
			return s.set, nil
		}
		if distance(s.edits, edits) < distance(t.sets[near].edits, edits) {
			near = i
		}
	}
	var from setAt
	if len(t.sets) > 0 {
		from = t.sets[near]
	} else {
		set, err := Load(t.base)
		if err != nil {
			return nil, fmt.Errorf("load the policies of revision %d: %w", revision, err)
		}
		from = setAt{set: set}
	}
	come, gone := t.between(from.edits, edits)
	set := from.set
	if len(come)+len(gone) > 0 {
		var err error
		if set, err = set.Apply(come, gone); err != nil {
			return nil, fmt.Errorf("load the policies of revision %d: %w", revision, err)
		}
	}
	t.keep(len(t.sets), setAt{edits: edits, set: set})
	return set, nil
}

func distance(a, b int) int { return max(a-b, b-a) }

// keep puts a set in front; i is where it is, or the number of sets for a new one.
func (t *Timeline) keep(i int, s setAt) {
	if i < len(t.sets) {
		t.sets = slices.Delete(t.sets, i, i+1)
	}
	t.sets = slices.Insert(t.sets, 0, s)
	t.sets = t.sets[:min(len(t.sets), timelineSets)]
}

// between returns what differs between two numbers of edits, earlier or later.
func (t *Timeline) between(from, to int) (come []Policy, gone []Removal) {
	var ids []string
	for _, e := range t.edits[min(from, to):max(from, to)] {
		ids = append(ids, e.ids...)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		gone = append(gone, Removal{ID: id}, Removal{ID: id, Shadow: true})
		come = append(come, t.policiesOf(id, to)...)
	}
	return come, gone
}

// policiesOf returns what a policy was after so many edits.
func (t *Timeline) policiesOf(id string, edits int) []Policy {
	if edits > 0 {
		versions := t.policies[id]
		n := upTo(versions, t.edits[edits-1].revision, func(v Version) uint64 { return v.Revision })
		if n > 0 && len(versions[n-1].Policies) > 0 {
			return versions[n-1].Policies
		}
	}
	var base []Policy
	for _, p := range t.base {
		if p.ID == id {
			base = append(base, p)
		}
	}
	return base
}

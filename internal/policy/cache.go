package policy

import (
	"hash/maphash"
	"sync/atomic"
)

// Cache remembers what does not depend on the context of questions: whether each
// statement that could apply does. What it remembers holds as long as the set, the
// generations of the entities that were looked at, and the time at which a comparison
// with the time would turn out otherwise. Its answers are those of [Set.Decide].
//
// A cache serves the revisions of one catalogue, in any order, and any sets. It holds
// a bounded number of entries and is safe for concurrent use.
type Cache struct {
	seed  maphash.Seed
	slots []atomic.Pointer[cacheEntry]
	hand  atomic.Uint32
}

// cacheWays is how many entries share a place.
const cacheWays = 4

// cacheKey is what an entry is about.
type cacheKey struct {
	principal, resource UID
	action              Action
}

type cacheEntry struct {
	key    cacheKey
	claims Claims
	plan   *plan
	// revision is one at which everything that the plan rests on was as it is now.
	revision atomic.Uint64
}

// NewCache returns a cache of at least so many entries.
func NewCache(entries int) *Cache {
	size := cacheWays
	for size < entries {
		size *= 2
	}
	return &Cache{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[cacheEntry], size)}
}

// Decide answers a question as [Set.Decide] does.
func (c *Cache) Decide(s *Set, e Entities, q Query) Answer {
	return c.decide(s, e, &q, true)
}

// Peek answers as Decide does and remembers nothing new. It is for walks over a whole
// catalogue, which would push out what calls need.
func (c *Cache) Peek(s *Set, e Entities, q Query) Answer {
	return c.decide(s, e, &q, false)
}

func (c *Cache) decide(s *Set, e Entities, q *Query, fill bool) Answer {
	if len(q.Extra) > 0 || q.Context.Time.IsZero() {
		return s.decide(e, q)
	}
	key := cacheKey{principal: q.Principal, resource: q.Resource, action: q.Action}
	place := c.place(key)
	now := q.Context.Time.UnixMilli()
	for i := range place {
		entry := place[i].Load()
		if entry == nil || entry.key != key || !entry.claims.Equal(q.Claims) {
			continue
		}
		if !entry.holds(s, e, now) {
			if !fill {
				return s.decide(e, q)
			}
			return c.fill(&place[i], key, s, e, q)
		}
		if entry.plan.open == nil {
			return entry.plan.done
		}
		return entry.plan.answer(s, newLookup(e, q), q)
	}
	if !fill {
		return s.decide(e, q)
	}
	return c.fill(c.victim(place, s), key, s, e, q)
}

// place returns the slots that a key may be in.
func (c *Cache) place(key cacheKey) []atomic.Pointer[cacheEntry] {
	i := int(maphash.Comparable(c.seed, key)%uint64(len(c.slots)/cacheWays)) * cacheWays
	return c.slots[i : i+cacheWays]
}

// victim chooses the slot that a new entry takes: an empty one, one of another set,
// else each in turn.
func (c *Cache) victim(place []atomic.Pointer[cacheEntry], s *Set) *atomic.Pointer[cacheEntry] {
	for i := range place {
		if entry := place[i].Load(); entry == nil || entry.plan.token != s.token {
			return &place[i]
		}
	}
	return &place[c.hand.Add(1)%cacheWays]
}

func (c *Cache) fill(slot *atomic.Pointer[cacheEntry], key cacheKey, s *Set, e Entities, q *Query) Answer {
	if err := q.Invalid(); err != nil {
		return invalid(err)
	}
	// The revision is read before the entities: a catalogue that wrongly changed
	// meanwhile would be noticed.
	entry := &cacheEntry{key: key, claims: q.Claims}
	entry.revision.Store(e.Revision())
	look := newLookup(e, q)
	entry.plan = s.plan(look, q)
	entry.plan.rests = look.rests()
	slot.Store(entry)
	return entry.plan.answer(s, look, q)
}

// holds tells whether an entry still says what deciding anew would say.
func (entry *cacheEntry) holds(s *Set, e Entities, now int64) bool {
	p := entry.plan
	if p.token != s.token || !p.window.holds(now) {
		return false
	}
	revision := e.Revision()
	if entry.revision.Load() == revision {
		return true
	}
	for _, r := range p.rests {
		if e.Generation(r.uid) != r.generation {
			return false
		}
	}
	entry.revision.Store(revision)
	return true
}

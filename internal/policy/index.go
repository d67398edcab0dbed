package policy

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// pair is where a statement stands in the index: the anchors of both its scopes.
type pair struct{ principal, resource anchor }

// index finds the statements whose scope fits a question without looking at the
// others. Its copies share what did not change.
type index struct {
	pairs shards[pair, *bucket]
	// The anchors that some statement has, with how many, so that most pairs need not
	// be looked for.
	principals shards[anchor, int]
	resources  shards[anchor, int]
}

// smallBucket is how many statements are looked through rather than found by action.
const smallBucket = 16

// bucket are the statements of one pair.
type bucket struct {
	all []*statement
	// byAction are the same by what their action scope names, for large buckets; the
	// zero UID for statements about every action.
	byAction map[UID][]*statement
}

func newBucket(all []*statement) *bucket {
	b := &bucket{all: all}
	if len(all) <= smallBucket {
		return b
	}
	b.byAction = map[UID][]*statement{}
	for _, s := range all {
		if s.actions == nil {
			b.byAction[UID{}] = append(b.byAction[UID{}], s)
		}
		for _, a := range s.actions {
			b.byAction[a] = append(b.byAction[a], s)
		}
	}
	return b
}

// appendMatching appends the statements that fit.
func (b *bucket) appendMatching(to []*statement, principal UID, action *actionModel, resource UID) []*statement {
	fit := func(from []*statement) {
		for _, s := range from {
			if s.acts(action) && s.principal.matches(principal) && s.resource.matches(resource) {
				to = append(to, s)
			}
		}
	}
	if b.byAction == nil {
		fit(b.all)
		return to
	}
	start := len(to)
	fit(b.byAction[UID{}])
	for _, group := range action.within {
		fit(b.byAction[group])
	}
	// A statement that names an action and its group was found twice.
	found := to[start:]
	sortStatements(found)
	return to[:start+len(slices.Compact(found))]
}

// sortStatements puts statements in the order in which answers name them.
func sortStatements(s []*statement) { slices.SortFunc(s, compareStatements) }

func compareStatements(a, b *statement) int { return strings.Compare(string(a.key), string(b.key)) }

// candidates returns the statements whose scope fits, in order. principals and
// resources are the two with everything that they are in, themselves first.
func (x *index) candidates(principals []UID, action *actionModel, resources []UID) []*statement {
	var pFound, rFound [12]anchor
	ps := appendAnchors(pFound[:0], &x.principals, principals)
	rs := appendAnchors(rFound[:0], &x.resources, resources)
	var found []*statement
	for _, p := range ps {
		for _, r := range rs {
			if b, ok := x.pairs.get(pair{p, r}); ok {
				found = b.appendMatching(found, principals[0], action, resources[0])
			}
		}
	}
	sortStatements(found)
	return found
}

// appendAnchors appends the anchors in use that fit an entity with what it is in.
func appendAnchors(to []anchor, used *shards[anchor, int], closure []UID) []anchor {
	try := func(a anchor) {
		if _, ok := used.get(a); ok {
			to = append(to, a)
		}
	}
	try(anchor{})
	try(anchor{kind: scopeIs, uid: UID{Type: closure[0].Type}})
	for _, uid := range closure {
		try(anchor{kind: scopeIn, uid: uid})
	}
	return to
}

// edit returns a copy of the index with some statements gone and others come.
func (x index) edit(gone, come []*statement) index {
	pairs, principals, resources := edit(x.pairs), edit(x.principals), edit(x.resources)
	changed := map[pair][]*statement{}
	list := func(k pair) []*statement {
		if _, ok := changed[k]; !ok {
			if b, ok := pairs.next.get(k); ok {
				changed[k] = slices.Clone(b.all)
			}
		}
		return changed[k]
	}
	count := func(e *editor[anchor, int], k anchor, by int) {
		n, _ := e.next.get(k)
		if n+by == 0 {
			e.remove(k)
		} else {
			e.set(k, n+by)
		}
	}
	drop := map[pair]map[*statement]bool{}
	for _, s := range gone {
		k := s.pair()
		if drop[k] == nil {
			drop[k] = map[*statement]bool{}
		}
		drop[k][s] = true
		count(principals, k.principal, -1)
		count(resources, k.resource, -1)
	}
	for k, statements := range drop {
		changed[k] = slices.DeleteFunc(list(k), func(s *statement) bool { return statements[s] })
	}
	for _, s := range come {
		k := s.pair()
		changed[k] = append(list(k), s)
		count(principals, k.principal, 1)
		count(resources, k.resource, 1)
	}
	for k, statements := range changed {
		if len(statements) == 0 {
			pairs.remove(k)
		} else {
			pairs.set(k, newBucket(statements))
		}
	}
	return index{pairs: pairs.next, principals: principals.next, resources: resources.next}
}

func (s *statement) pair() pair { return pair{s.principal.anchor(), s.resource.anchor()} }

// shardCount makes a change to one of 100 000 policies copy about 400 entries.
const shardCount = 256

var shardSeed = maphash.MakeSeed()

// shards is a map whose copies share what did not change. The zero value is an empty
// map. A published value is never written.
type shards[K comparable, V any] struct {
	parts *[shardCount]map[K]V
	count int
}

func (s shards[K, V]) get(k K) (V, bool) {
	if s.count == 0 {
		var none V
		return none, false
	}
	v, ok := s.parts[maphash.Comparable(shardSeed, k)%shardCount][k]
	return v, ok
}

// each calls f for every entry, in no order, until it returns false.
func (s shards[K, V]) each(f func(K, V) bool) {
	if s.parts == nil {
		return
	}
	for _, part := range s.parts {
		for k, v := range part {
			if !f(k, v) {
				return
			}
		}
	}
}

// editor changes a copy of shards; parts are copied when they are first written.
type editor[K comparable, V any] struct {
	next   shards[K, V]
	copied [shardCount]bool
}

func edit[K comparable, V any](s shards[K, V]) *editor[K, V] {
	parts := new([shardCount]map[K]V)
	if s.parts != nil {
		*parts = *s.parts
	}
	return &editor[K, V]{next: shards[K, V]{parts: parts, count: s.count}}
}

func (e *editor[K, V]) part(k K) map[K]V {
	i := maphash.Comparable(shardSeed, k) % shardCount
	if !e.copied[i] {
		part := make(map[K]V, len(e.next.parts[i])+1)
		maps.Copy(part, e.next.parts[i])
		e.next.parts[i], e.copied[i] = part, true
	}
	return e.next.parts[i]
}

func (e *editor[K, V]) set(k K, v V) {
	part := e.part(k)
	if _, ok := part[k]; !ok {
		e.next.count++
	}
	part[k] = v
}

func (e *editor[K, V]) remove(k K) {
	part := e.part(k)
	if _, ok := part[k]; ok {
		e.next.count--
		delete(part, k)
	}
}

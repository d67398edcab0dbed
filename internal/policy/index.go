package policy

import (
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/shard"
)

// pair is where a statement stands in the index: the anchors of both its scopes.
type pair struct{ principal, resource anchor }

// index finds the statements whose scope fits a question without looking at the
// others. Its copies share what did not change.
type index struct {
	pairs shard.Map[pair, *bucket]
	// The anchors that some statement has, with how many, so that most pairs need not
	// be looked for.
	principals shard.Map[anchor, int]
	resources  shard.Map[anchor, int]
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
			if b, ok := x.pairs.Get(pair{p, r}); ok {
				found = b.appendMatching(found, principals[0], action, resources[0])
			}
		}
	}
	sortStatements(found)
	return found
}

// appendAnchors appends the anchors in use that fit an entity with what it is in.
func appendAnchors(to []anchor, used *shard.Map[anchor, int], closure []UID) []anchor {
	try := func(a anchor) {
		if _, ok := used.Get(a); ok {
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
	pairs, principals, resources := shard.Edit(x.pairs), shard.Edit(x.principals), shard.Edit(x.resources)
	changed := map[pair][]*statement{}
	list := func(k pair) []*statement {
		if _, ok := changed[k]; !ok {
			if b, ok := pairs.Get(k); ok {
				changed[k] = slices.Clone(b.all)
			}
		}
		return changed[k]
	}
	count := func(e *shard.Editor[anchor, int], k anchor, by int) {
		n, _ := e.Get(k)
		if n+by == 0 {
			e.Remove(k)
		} else {
			e.Set(k, n+by)
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
			pairs.Remove(k)
		} else {
			pairs.Set(k, newBucket(statements))
		}
	}
	return index{pairs: pairs.Map(), principals: principals.Map(), resources: resources.Map()}
}

func (s *statement) pair() pair { return pair{s.principal.anchor(), s.resource.anchor()} }

package snapshot

import (
	"hash/maphash"
	"maps"
)

// shardCount makes a change to one of 100 000 resources copy about 100 entries.
const shardCount = 1024

var seed = maphash.MakeSeed()

// shards is a map whose copies share what did not change. The zero value is an
// empty map. A published value is never written.
type shards[K comparable, V any] struct {
	parts *[shardCount]map[K]V
	count int
}

func (s shards[K, V]) get(k K) (V, bool) {
	if s.parts == nil {
		var none V
		return none, false
	}
	v, ok := s.parts[maphash.Comparable(seed, k)%shardCount][k]
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
	e := &editor[K, V]{}
	parts := new([shardCount]map[K]V)
	if s.parts != nil {
		*parts = *s.parts
	}
	e.next = shards[K, V]{parts: parts, count: s.count}
	return e
}

func (e *editor[K, V]) part(k K) map[K]V {
	i := maphash.Comparable(seed, k) % shardCount
	if !e.copied[i] {
		old := e.next.parts[i]
		part := make(map[K]V, len(old)+1)
		maps.Copy(part, old)
		e.next.parts[i] = part
		e.copied[i] = true
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

func (e *editor[K, V]) get(k K) (V, bool) { return e.next.get(k) }

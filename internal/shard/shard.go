// Package shard is a map whose copies share what did not change, so that a new version
// of a large map costs what changed and readers of old versions are not disturbed. It
// is for values that are published as a whole and never written again; maps that are
// small or written all the time are better off with a lock.
package shard

import (
	"hash/maphash"
	"iter"
	"maps"
)

// parts makes a change to one of 100 000 entries copy about 100 of them.
const parts = 1024

var seed = maphash.MakeSeed()

// Map is an immutable map. Its zero value is empty. Copies are cheap and all are safe
// for concurrent use.
type Map[K comparable, V any] struct {
	parts *[parts]map[K]V
	count int
}

// Get returns the value of a key, false when there is none.
func (m Map[K, V]) Get(k K) (V, bool) {
	if m.count == 0 {
		var none V
		return none, false
	}
	v, ok := m.parts[place(k)][k]
	return v, ok
}

// Len returns the number of entries.
func (m Map[K, V]) Len() int { return m.count }

// Each calls f for every entry, in no order, until it returns false.
func (m Map[K, V]) Each(f func(K, V) bool) {
	if m.count == 0 {
		return
	}
	for _, part := range m.parts {
		for k, v := range part {
			if !f(k, v) {
				return
			}
		}
	}
}

// All ranges over every entry, in no order.
func (m Map[K, V]) All() iter.Seq2[K, V] { return m.Each }

func place[K comparable](k K) uint64 { return maphash.Comparable(seed, k) % parts }

// Editor changes a copy of a map. The parts of it that are written are copied first,
// once. It is not safe for concurrent use.
type Editor[K comparable, V any] struct {
	next   Map[K, V]
	copied [parts]bool
}

// Edit begins a copy of a map, which itself stays as it is.
func Edit[K comparable, V any](m Map[K, V]) *Editor[K, V] {
	all := new([parts]map[K]V)
	if m.parts != nil {
		*all = *m.parts
	}
	return &Editor[K, V]{next: Map[K, V]{parts: all, count: m.count}}
}

// Get returns what was set last, false when the key has no value.
func (e *Editor[K, V]) Get(k K) (V, bool) { return e.next.Get(k) }

// Set gives a key a value.
func (e *Editor[K, V]) Set(k K, v V) {
	part := e.part(k)
	if _, ok := part[k]; !ok {
		e.next.count++
	}
	part[k] = v
}

// Remove takes a key out; one that is not there is no fault.
func (e *Editor[K, V]) Remove(k K) {
	if _, ok := e.next.Get(k); ok {
		e.next.count--
		delete(e.part(k), k)
	}
}

// Map ends the editing and returns the copy. The editor must not be used any more.
func (e *Editor[K, V]) Map() Map[K, V] {
	m := e.next
	e.next = Map[K, V]{}
	return m
}

func (e *Editor[K, V]) part(k K) map[K]V {
	i := place(k)
	if !e.copied[i] {
		old := e.next.parts[i]
		part := make(map[K]V, len(old)+1)
		maps.Copy(part, old)
		e.next.parts[i], e.copied[i] = part, true
	}
	return e.next.parts[i]
}

// Package lru keeps a bounded number of values: those that were used last.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps values by their keys. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	size int

	mu      sync.Mutex
	entries map[K]*list.Element
	recent  list.List // of entry[K, V], the one used last first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns a Cache of a size, one at least.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: max(size, 1), entries: map[K]*list.Element{}}
}

// Get returns the value of a key.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return value, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// Put keeps a value, in the place of one that the key had.
func (c *Cache[K, V]) Put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		e.Value = entry[K, V]{key, value}
		c.recent.MoveToFront(e)
		return
	}
	c.add(key, value)
}

// GetOrPut returns the value of a key, and keeps the given one when there is none.
func (c *Cache[K, V]) GetOrPut(key K, value V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.recent.MoveToFront(e)
		return e.Value.(entry[K, V]).value
	}
	c.add(key, value)
	return value
}

// add keeps a new value. The lock is held.
func (c *Cache[K, V]) add(key K, value V) {
	c.entries[key] = c.recent.PushFront(entry[K, V]{key, value})
	if c.recent.Len() > c.size {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.entries, oldest.Value.(entry[K, V]).key)
	}
}

// Len returns how many values are kept.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

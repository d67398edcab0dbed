package task

import (
	"hash/maphash"
	"sync"
)

const cacheShards = 64

// cache remembers bindings. Each shard has two generations: when the young one is
// full it becomes the old one and what was old is forgotten, so that what is used
// stays and no entry costs more than a map slot.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
	size   int // of one generation of one shard
}

type cacheShard struct {
	mu         sync.Mutex
	young, old map[ID]Binding
}

func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed(), size: max(1, size/cacheShards/2)}
	for i := range c.shards {
		c.shards[i].young = map[ID]Binding{}
	}
	return c
}

func (c *cache) shard(id ID) *cacheShard {
	return &c.shards[maphash.Comparable(c.seed, id)%cacheShards]
}

func (c *cache) get(id ID) (Binding, bool) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.young[id]; ok {
		return b, true
	}
	b, ok := s.old[id]
	if ok {
		s.add(id, b, c.size)
	}
	return b, ok
}

func (c *cache) put(id ID, b Binding) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(id, b, c.size)
}

// bind puts a binding unless the id is bound to another owner, in one step. fresh
// tells that the id was bound to nobody.
func (c *cache) bind(id ID, b Binding) (bound, fresh bool) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.young[id]
	if !ok {
		known, ok = s.old[id]
	}
	if ok && known.Owner != b.Owner {
		return false, false
	}
	s.add(id, b, c.size)
	return true, !ok
}

func (s *cacheShard) add(id ID, b Binding, size int) {
	if len(s.young) >= size {
		if _, there := s.young[id]; !there {
			s.old, s.young = s.young, make(map[ID]Binding, size/4)
		}
	}
	s.young[id] = b
}

func (c *cache) each(f func(ID, Binding)) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for id, b := range s.old {
			if _, newer := s.young[id]; !newer {
				f(id, b)
			}
		}
		for id, b := range s.young {
			f(id, b)
		}
		s.mu.Unlock()
	}
}

package token

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	// cacheShards is how many parts the cache has, each with a lock of its own.
	cacheShards = 32
	// maxCacheBytes bounds what the remembered tokens take together: few of them are
	// as long as they may be, and those must not take the room of a thousand others each.
	maxCacheBytes = 64 << 20
	// entryBytes is about what an entry takes besides its token.
	entryBytes = 1 << 10
)

// entry is a token that was verified, and what that rests on.
type entry struct {
	principal   identity.Principal
	issuer      *identity.Issuer
	source      *source
	set         *keySet
	from, until time.Time

	hash uint64
	slot int         // in the shard's ring; guarded by its mu
	used atomic.Bool // since the hand passed
}

// holds tells whether the token would still be believed: its issuer is configured as it
// was, has the keys that it had, and the time is within the token's.
func (e *entry) holds(issuers Issuers, now time.Time) bool {
	issuer, known := issuers.IssuerByURL(e.issuer.URL)
	return known && issuer == e.issuer && !issuer.Disabled &&
		!e.source.dropped.Load() && e.source.keys.Load() == e.set &&
		now.Before(e.until) && !now.Before(e.from)
}

func (e *entry) size() int { return entryBytes + len(e.principal.Claims.Token) }

// cache remembers verified tokens. The whole token is compared: the hash, whose seed
// nobody knows, only finds it.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

// shard is a part of the cache. When it is full, those go that were not used since the
// hand came by last.
type shard struct {
	maxEntries, maxBytes int

	mu     sync.RWMutex
	byHash map[uint64]*entry
	ring   []*entry
	hand   int
	bytes  int
}

func newCache(maxTokens int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = shard{
			maxEntries: (maxTokens + cacheShards - 1) / cacheShards,
			maxBytes:   maxCacheBytes / cacheShards,
			byHash:     map[uint64]*entry{},
		}
	}
	return c
}

func (c *cache) hash(token string) uint64 { return maphash.String(c.seed, token) }

// get returns the entry of a token, or nil. Whether it still holds is not looked at.
func (c *cache) get(hash uint64, token string) *entry {
	s := &c.shards[hash%cacheShards]
	s.mu.RLock()
	e := s.byHash[hash]
	s.mu.RUnlock()
	if e == nil || e.principal.Claims.Token != token {
		return nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// put keeps an entry, in the place of an older one of the same token.
func (c *cache) put(hash uint64, e *entry) {
	e.hash = hash
	s := &c.shards[hash%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byHash[hash]; old != nil {
		s.remove(old)
	}
	for len(s.ring) > 0 && (len(s.ring) >= s.maxEntries || s.bytes+e.size() > s.maxBytes) {
		s.evict()
	}
	e.slot = len(s.ring)
	s.ring = append(s.ring, e)
	s.byHash[hash] = e
	s.bytes += e.size()
}

// evict moves the hand to an entry that was not used, and removes it.
func (s *shard) evict() {
	for {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if !e.used.Swap(false) {
			s.remove(e)
			return
		}
		s.hand++
	}
}

func (s *shard) remove(e *entry) {
	last := len(s.ring) - 1
	s.ring[e.slot] = s.ring[last]
	s.ring[e.slot].slot = e.slot
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.byHash, e.hash)
	s.bytes -= e.size()
}

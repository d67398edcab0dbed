package token

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/identity"
)

// remembered makes an entry of a token.
func remembered(token string) *entry {
	return &entry{principal: identity.Principal{Claims: &identity.Claims{Token: token}}}
}

// totals returns how many entries and bytes the cache holds, and checks that it holds together.
func totals(t *testing.T, c *cache) (entries, bytes int) {
	t.Helper()
	for i := range c.shards {
		s := &c.shards[i]
		if len(s.ring) != len(s.byHash) {
			t.Fatalf("shard %d has %d entries in the ring and %d in the map", i, len(s.ring), len(s.byHash))
		}
		size := 0
		for slot, e := range s.ring {
			if e.slot != slot || s.byHash[e.hash] != e {
				t.Fatalf("shard %d: the entry in slot %d thinks it is in %d", i, slot, e.slot)
			}
			size += e.size()
		}
		if size != s.bytes {
			t.Fatalf("shard %d counts %d bytes, has %d", i, s.bytes, size)
		}
		entries += len(s.ring)
		bytes += size
	}
	return entries, bytes
}

func TestCache_HasABound(t *testing.T) {
	const maxTokens = 1024
	for name, length := range map[string]int{"short tokens": 10, "long tokens": MaxLength} {
		t.Run(name, func(t *testing.T) {
			c := newCache(maxTokens * 8)
			for i := range maxTokens * 16 {
				token := fmt.Sprintf("%0*d", length, i)
				c.put(c.hash(token), remembered(token))
			}
			entries, bytes := totals(t, c)
			if entries > maxTokens*8 || bytes > maxCacheBytes {
				t.Errorf("the cache holds %d tokens and %d bytes", entries, bytes)
			}
			if entries < maxTokens*2 {
				t.Errorf("the cache holds only %d tokens", entries)
			}
		})
	}
}

func TestCache_WhatIsUsedStays(t *testing.T) {
	c := newCache(cacheShards * 100)
	used := make([]string, cacheShards*10)
	for i := range used {
		used[i] = fmt.Sprintf("used %d", i)
		c.put(c.hash(used[i]), remembered(used[i]))
	}
	lost := 0
	for i := range 100_000 {
		token := fmt.Sprintf("once %d", i)
		c.put(c.hash(token), remembered(token))
		if i%50 == 0 {
			for _, token := range used {
				if c.get(c.hash(token), token) == nil {
					lost++
					c.put(c.hash(token), remembered(token))
				}
			}
		}
	}
	if lost > len(used)/10 {
		t.Errorf("%d times a token was forgotten that is used all the time", lost)
	}
}

func TestCache_HashesThatCollideAreToldApart(t *testing.T) {
	c := newCache(100)
	c.put(7, remembered("one"))
	if c.get(7, "two") != nil {
		t.Error("another token of the same hash was found")
	}
	c.put(7, remembered("two"))
	if c.get(7, "one") != nil || c.get(7, "two") == nil {
		t.Error("the newer one did not take the place of the older")
	}
	if entries, _ := totals(t, c); entries != 1 {
		t.Errorf("the cache holds %d tokens", entries)
	}
}

func TestCache_HoldsTogetherUnderLoad(t *testing.T) {
	c := newCache(200)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 5000 {
				token := strings.Repeat("x", r.IntN(50)) + fmt.Sprint(r.IntN(1000))
				if e := c.get(c.hash(token), token); e == nil {
					c.put(c.hash(token), remembered(token))
				} else if e.principal.Claims.Token != token {
					t.Errorf("got another token")
				}
			}
		})
	}
	wg.Wait()
	totals(t, c)
}

package lru_test

import (
	"sync"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/lru"
)

func TestCache_KeepsWhatWasUsedLast(t *testing.T) {
	c := lru.New[string, string](2)
	c.Put("a", "A")
	c.Put("b", "B")
	if got, ok := c.Get("a"); !ok || got != "A" {
		t.Errorf("a: %q, %v", got, ok)
	}
	c.Put("d", "D")
	if got, ok := c.Get("b"); ok {
		t.Errorf("b, unused for the longest, is still there: %q", got)
	}
	for key, want := range map[string]string{"a": "A", "d": "D"} {
		if got, ok := c.Get(key); !ok || got != want {
			t.Errorf("got %q, %v, want %s", got, ok, want)
		}
	}
	if got := c.GetOrPut("a", "other"); got != "A" {
		t.Errorf("a second one took the place of the first: %q", got)
	}
	if got := c.GetOrPut("e", "E"); got != "E" || c.Len() != 2 {
		t.Errorf("got %q, %d values", got, c.Len())
	}
	c.Put("e", "F")
	if got, ok := c.Get("e"); !ok || got != "F" || c.Len() != 2 {
		t.Errorf("got %q, %v, %d values", got, ok, c.Len())
	}
}

func TestCache_StaysWithinItsSizeUnderConcurrentUse(t *testing.T) {
	c := lru.New[int, int](8)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				key := (i*7 + g) % 40
				if got := c.GetOrPut(key, key); got != key {
					t.Errorf("%d has the value %d", key, got)
				}
				c.Get(key)
			}
		})
	}
	wg.Wait()
	if c.Len() != 8 {
		t.Errorf("%d values are kept, want 8", c.Len())
	}
}

package cardsign

import (
	"fmt"
	"testing"
)

func TestCache_KeepsWhatWasUsedLast(t *testing.T) {
	c := newCache(2)
	a, b, d := cacheKey("k", "", []byte("a")), cacheKey("k", "", []byte("b")), cacheKey("k", "", []byte("d"))
	c.put(a, []byte("A"))
	c.put(b, []byte("B"))
	if got, ok := c.get(a); !ok || string(got) != "A" {
		t.Errorf("a: %q, %v", got, ok)
	}
	c.put(d, []byte("D"))
	if got, ok := c.get(b); ok {
		t.Errorf("b, unused for the longest, is still there: %q", got)
	}
	for hash, want := range map[[32]byte]string{a: "A", d: "D"} {
		if got, ok := c.get(hash); !ok || string(got) != want {
			t.Errorf("got %q, %v, want %s", got, ok, want)
		}
	}
	if got := c.put(a, []byte("other")); string(got) != "A" {
		t.Errorf("a second one took the place of the first: %q", got)
	}
	if len(c.entries) != 2 || c.recent.Len() != 2 {
		t.Errorf("%d entries, %d in order", len(c.entries), c.recent.Len())
	}
}

func TestCacheKey_TellsEverythingApart(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, parts := range [][3]string{{"k", "j", "c"}, {"kj", "", "c"}, {"k", "", "jc"}, {"", "kj", "c"}, {"k", "j", ""}, {"k", "jc", ""}} {
		key := cacheKey(parts[0], parts[1], []byte(parts[2]))
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %s have one key", parts, other)
		}
		seen[key] = fmt.Sprintf("%q", parts)
	}
}

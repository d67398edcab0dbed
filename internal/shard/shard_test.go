package shard_test

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/shard"
)

func TestMap_TheZeroValueIsEmpty(t *testing.T) {
	var m shard.Map[string, int]
	if _, ok := m.Get("a"); ok || m.Len() != 0 {
		t.Errorf("an empty map has %d entries", m.Len())
	}
	for k := range m.All() {
		t.Errorf("an empty map has %q", k)
	}
	e := shard.Edit(m)
	e.Remove("a")
	if _, ok := e.Get("a"); ok || e.Map().Len() != 0 {
		t.Error("removing what is not there adds something")
	}
}

// Random edits of random versions: each version goes on holding what it held.
func TestEdit_LeavesEveryVersionAsItWas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type version struct {
		m    shard.Map[int, int]
		want map[int]int
	}
	versions := []version{{want: map[int]int{}}}
	for range 200 {
		from := versions[r.IntN(len(versions))]
		e, want := shard.Edit(from.m), maps.Clone(from.want)
		for range r.IntN(50) {
			k, v := r.IntN(2000), r.Int()
			if r.IntN(3) == 0 {
				e.Remove(k)
				delete(want, k)
			} else {
				e.Set(k, v)
				want[k] = v
			}
			got, ok := e.Get(k)
			if before, had := want[k]; got != before || ok != had {
				t.Fatalf("the editor has %d, %v for %d; want %d, %v", got, ok, k, before, had)
			}
		}
		versions = append(versions, version{e.Map(), want})
	}
	for i, v := range versions {
		if diff := cmp.Diff(v.want, maps.Collect(v.m.All())); diff != "" || v.m.Len() != len(v.want) {
			t.Fatalf("version %d of %d entries, want %d (-want +got):\n%s", i, v.m.Len(), len(v.want), diff)
		}
		for k, want := range v.want {
			if got, ok := v.m.Get(k); !ok || got != want {
				t.Fatalf("version %d: %d is %d, %v; want %d", i, k, got, ok, want)
			}
		}
	}
}

func TestEach_StopsWhenItIsTold(t *testing.T) {
	e := shard.Edit(shard.Map[int, int]{})
	for i := range 1000 {
		e.Set(i, i)
	}
	seen := 0
	e.Map().Each(func(int, int) bool {
		seen++
		return seen < 3
	})
	if seen != 3 {
		t.Errorf("%d entries were seen, want 3", seen)
	}
}

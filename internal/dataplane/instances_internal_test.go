package dataplane

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// agentOf is an agent with one endpoint of each weight.
func agentOf(weights ...uint32) *snapshot.Agent {
	a := &registry.Agent{UID: uuid.New(), ID: "echo"}
	for i, w := range weights {
		a.Endpoints = append(a.Endpoints, registry.Endpoint{URL: fmt.Sprintf("http://instance-%d", i), Weight: w})
	}
	return &snapshot.Agent{Agent: a}
}

// at is a clock that a test moves.
type at struct{ now time.Time }

func (a *at) clock() clock.Clock { return clock.Func(func() time.Time { return a.now }) }

// chosen counts what is chosen in n choices.
func chosen(s *instances, a *snapshot.Agent, tried uint64, n int) map[int]int {
	counts := map[int]int{}
	for range n {
		counts[s.choose(a, "", tried)]++
	}
	return counts
}

func TestChoose_PinnedAndTried(t *testing.T) {
	one, three := agentOf(1), agentOf(1, 1, 1)
	pinned := three.Endpoints[1].URL
	for _, tt := range []struct {
		name   string
		agent  *snapshot.Agent
		pinned string
		tried  uint64
		want   []int
	}{
		{"the only one", one, "", 0, []int{0}},
		{"the only one, tried", one, "", 1, []int{-1}},
		{"the only one, pinned", one, one.Endpoints[0].URL, 0, []int{0}},
		{"the only one, pinned and tried", one, one.Endpoints[0].URL, 1, []int{-1}},
		{"any of three", three, "", 0, []int{0, 1, 2}},
		{"one tried", three, "", 0b010, []int{0, 2}},
		{"two tried", three, "", 0b101, []int{1}},
		{"all tried", three, "", 0b111, []int{-1}},
		{"pinned", three, pinned, 0, []int{1}},
		{"pinned, others tried", three, pinned, 0b101, []int{1}},
		// No other instance knows the task, so there is none to go to instead.
		{"pinned and tried", three, pinned, 0b010, []int{-1}},
		{"pinned to one that is gone", three, "http://gone", 0, []int{0, 1, 2}},
		{"pinned to one that is gone, one tried", three, "http://gone", 0b001, []int{1, 2}},
		{"pinned to one that is gone, the only one", one, "http://gone", 0, []int{0}},
	} {
		s := &instances{clock: clock.System{}}
		counts := map[int]int{}
		for range 200 {
			counts[s.choose(tt.agent, tt.pinned, tt.tried)]++
		}
		for _, i := range tt.want {
			if counts[i] == 0 {
				t.Errorf("%s: %d is never chosen: %v", tt.name, i, counts)
			}
			delete(counts, i)
		}
		if len(counts) > 0 {
			t.Errorf("%s: chosen beside %v: %v", tt.name, tt.want, counts)
		}
	}
}

func TestChoose_AnInstanceThatCannotBeDialledIsPassedOverForAWhile(t *testing.T) {
	a, now := agentOf(1, 1), &at{time.Unix(1_800_000_000, 0)}
	s := &instances{clock: now.clock()}
	bad := s.get(a.UID, a.Endpoints[0].URL)
	ejected := func() bool {
		t.Helper()
		counts := chosen(s, a, 0, 200)
		if counts[1] == 0 {
			t.Fatalf("the good instance is never chosen: %v", counts)
		}
		return counts[0] == 0
	}
	for range failuresToEject - 1 {
		bad.failed(now.now)
		if ejected() {
			t.Fatal("ejected before its time")
		}
	}
	// Twice as long each time, and no longer than the longest.
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		bad.failed(now.now)
		now.now = now.now.Add(pause*time.Second - time.Nanosecond)
		if !ejected() {
			t.Errorf("not ejected any more before %ds are over", pause)
		}
		now.now = now.now.Add(time.Nanosecond)
		if ejected() {
			t.Errorf("still ejected after %ds", pause)
		}
	}
	// One success makes all good, and the count begins again.
	bad.failed(now.now)
	bad.succeeded()
	if ejected() {
		t.Error("ejected after a success")
	}
	for range failuresToEject - 1 {
		bad.failed(now.now)
	}
	if ejected() {
		t.Error("failures before a success still count")
	}
}

func TestChoose_WhenAllAreEjectedOneIsTried(t *testing.T) {
	a, now := agentOf(1, 1), &at{time.Unix(1_800_000_000, 0)}
	s := &instances{clock: now.clock()}
	for _, e := range a.Endpoints {
		for range failuresToEject {
			s.get(a.UID, e.URL).failed(now.now)
		}
	}
	if counts := chosen(s, a, 0, 200); counts[0] == 0 || counts[1] == 0 || counts[-1] != 0 {
		t.Errorf("all ejected: %v", counts)
	}
	if counts := chosen(s, a, 0b01, 10); counts[1] != 10 {
		t.Errorf("all ejected, one tried: %v", counts)
	}
	// A task's own instance is asked even so: nobody else can answer.
	if got := s.choose(a, a.Endpoints[0].URL, 0); got != 0 {
		t.Errorf("pinned to an ejected instance: %d", got)
	}
}

// What is known of an instance belongs to one agent.
func TestChoose_AnotherAgentAtTheSameURLIsAnotherInstance(t *testing.T) {
	a, b := agentOf(1, 1), agentOf(1, 1)
	s := &instances{clock: (&at{time.Unix(1_800_000_000, 0)}).clock()}
	for range failuresToEject {
		s.get(a.UID, a.Endpoints[0].URL).failed(s.clock.Now())
	}
	if counts := chosen(s, b, 0, 200); counts[0] == 0 {
		t.Errorf("another agent's failures count: %v", counts)
	}
}

func TestChoose_UnderLoadCallsAreSharedByWeight(t *testing.T) {
	for _, weights := range [][]uint32{{1, 1}, {3, 1}, {1, 9}, {5, 3, 2}, {0, 1}} {
		a := agentOf(weights...)
		s := &instances{clock: clock.System{}}
		var sum float64
		for _, w := range weights {
			sum += float64(max(1, w))
		}
		// 200 calls are in flight all the time; the oldest ends when the next begins.
		const inFlight, calls = 200, 20_000
		counts := make([]int, len(weights))
		var open []int
		for n := range calls {
			if len(open) == inFlight {
				s.get(a.UID, a.Endpoints[open[0]].URL).inFlight.Add(-1)
				open = open[1:]
			}
			i := s.choose(a, "", 0)
			s.get(a.UID, a.Endpoints[i].URL).inFlight.Add(1)
			open = append(open, i)
			if n >= inFlight {
				counts[i]++
			}
		}
		for i, w := range weights {
			got, want := float64(counts[i])/(calls-inFlight), float64(max(1, w))/sum
			if got < want-0.05 || got > want+0.05 {
				t.Errorf("weights %v: instance %d has %.1f %% of the calls, want %.1f %%", weights, i, got*100, want*100)
			}
		}
	}
}

// Most agents have one call at a time or none, and a weight is a share of the calls
// then too.
func TestChoose_OneCallAtATimeIsSharedByWeightToo(t *testing.T) {
	for _, weights := range [][]uint32{{1, 1}, {3, 1}, {9, 1}, {2, 1, 1}} {
		a := agentOf(weights...)
		counts := chosen(&instances{clock: clock.System{}}, a, 0, 20_000)
		var sum float64
		for _, w := range weights {
			sum += float64(w)
		}
		for i, w := range weights {
			got, want := float64(counts[i])/20_000, float64(w)/sum
			if got < want-0.05 || got > want+0.05 {
				t.Errorf("weights %v: instance %d has %.1f %% of the calls, want %.1f %%", weights, i, got*100, want*100)
			}
		}
	}
}

func TestChoose_PrefersWhoHasLessToDo(t *testing.T) {
	a := agentOf(1, 1)
	s := &instances{clock: clock.System{}}
	s.get(a.UID, a.Endpoints[0].URL).inFlight.Store(50)
	if counts := chosen(s, a, 0, 200); counts[1] != 200 {
		t.Errorf("the idle instance has %d of 200 calls", counts[1])
	}
}

package dataplane

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// An instance that could not be dialled so often in a row is passed over for a
// while, twice as long each time.
const (
	failuresToEject = 3
	firstEjection   = time.Second
	longestEjection = 30 * time.Second
)

// instance is what this replica knows of one endpoint of an agent.
type instance struct {
	inFlight atomic.Int64
	failures atomic.Int64
	ejected  atomic.Int64 // until when, in nanoseconds since 1970
	// subscribesByGET says that the instance takes subscriptions over HTTP+JSON by GET.
	subscribesByGET atomic.Bool
}

type instanceKey struct {
	agent uuid.UUID
	url   string
}

// instances remembers instances. The zero value with a clock is ready.
type instances struct {
	clock clock.Clock
	known sync.Map // instanceKey → *instance
}

func (s *instances) get(agent uuid.UUID, url string) *instance {
	key := instanceKey{agent, url}
	if i, ok := s.known.Load(key); ok {
		return i.(*instance)
	}
	i, _ := s.known.LoadOrStore(key, &instance{})
	return i.(*instance)
}

// succeeded notes that a connection came about.
func (i *instance) succeeded() {
	if i.failures.Load() != 0 {
		i.failures.Store(0)
		i.ejected.Store(0)
	}
}

// failed notes that no connection came about.
func (i *instance) failed(now time.Time) {
	n := i.failures.Add(1)
	if n < failuresToEject {
		return
	}
	pause := longestEjection
	if shift := n - failuresToEject; shift < 5 {
		pause = min(firstEjection<<shift, longestEjection)
	}
	i.ejected.Store(now.Add(pause).UnixNano())
}

// choose returns the index of the endpoint that a call goes to, leaving out those
// that were tried, or -1 when none is left. A pinned endpoint is the only choice as
// long as it is registered: no other instance knows the task.
func (s *instances) choose(a *snapshot.Agent, pinned string, tried uint64) int {
	endpoints := a.Endpoints
	if pinned != "" {
		for i := range endpoints {
			if endpoints[i].URL == pinned {
				if tried&(1<<i) != 0 {
					return -1
				}
				return i
			}
		}
	}
	if len(endpoints) == 1 {
		if tried != 0 {
			return -1
		}
		return 0
	}
	now := s.clock.Now().UnixNano()
	var healthy, rest []int
	for i := range endpoints {
		switch {
		case tried&(1<<i) != 0:
		case s.get(a.UID, endpoints[i].URL).ejected.Load() > now:
			rest = append(rest, i)
		default:
			healthy = append(healthy, i)
		}
	}
	if len(healthy) == 0 {
		healthy = rest // all are ejected: trying one beats refusing
	}
	switch len(healthy) {
	case 0:
		return -1
	case 1:
		return healthy[0]
	}
	// The better of two random choices, each drawn by weight: the first, unless the
	// second has fewer calls in flight for each unit of weight.
	x := draw(endpoints, healthy)
	y := draw(endpoints, slices.DeleteFunc(slices.Clone(healthy), func(i int) bool { return i == x }))
	load := func(i int) float64 {
		return float64(s.get(a.UID, endpoints[i].URL).inFlight.Load()) / float64(max(1, endpoints[i].Weight))
	}
	if load(y) < load(x) {
		return y
	}
	return x
}

// draw returns one of the candidates, by their weights.
func draw(endpoints []registry.Endpoint, candidates []int) int {
	var total uint32
	for _, i := range candidates {
		total += max(1, endpoints[i].Weight)
	}
	at := rand.Uint32N(total)
	for _, i := range candidates {
		weight := max(1, endpoints[i].Weight)
		if at < weight {
			return i
		}
		at -= weight
	}
	return candidates[len(candidates)-1]
}

package audit

import (
	"cmp"
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What is recorded one by one of the calls whose caller is not known: refusals before
// authentication, and reads of what everybody may read.
const (
	sourceRate  = 20  // a second from one source, and at once
	replicaRate = 200 // a second in all, and at once
	// maxSources is the number of sources that are told apart. The one that was silent
	// for longest is forgotten first and begins anew; the rate of all still holds.
	maxSources = 4096
	// maxReasons is the number of reasons that are told apart. There are fewer.
	maxReasons   = 64
	otherReasons = "OTHER"
	noReason     = "UNSPECIFIED"
	// servedReason stands where calls without a credential were served: they are part
	// of the same flood, and no refusals.
	servedReason = string(Succeeded)
)

// flood decides which calls of unknown callers are recorded one by one, and counts the
// others.
type flood struct {
	mu      sync.Mutex
	all     bucket
	sources map[netip.Prefix]*list.Element // of *source
	recent  list.List                      // the source heard of last is in front
	counts  map[Plane]*counts              // of the planes of which something is counted
}

type source struct {
	prefix netip.Prefix
	bucket bucket
}

func newFlood() *flood {
	f := &flood{sources: make(map[netip.Prefix]*list.Element), counts: make(map[Plane]*counts)}
	f.recent.Init()
	return f
}

// bucket is a token bucket: full of rate tokens at first, and filled by rate a second.
type bucket struct {
	tokens float64
	last   time.Time // zero before the first use
}

func (b *bucket) fill(rate float64, now time.Time) {
	if b.last.IsZero() {
		b.tokens = rate
	} else if d := now.Sub(b.last); d > 0 {
		b.tokens = min(rate, b.tokens+d.Seconds()*rate)
	}
	b.last = now
}

// allow takes a token of the source and one of the replica, or none.
func (f *flood) allow(address string, now time.Time) bool {
	prefix := sourceOf(address)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.source(prefix)
	s.bucket.fill(sourceRate, now)
	f.all.fill(replicaRate, now)
	if s.bucket.tokens < 1 || f.all.tokens < 1 {
		return false
	}
	s.bucket.tokens--
	f.all.tokens--
	return true
}

func (f *flood) source(prefix netip.Prefix) *source {
	if e, ok := f.sources[prefix]; ok {
		f.recent.MoveToFront(e)
		s, _ := e.Value.(*source)
		return s
	}
	if len(f.sources) == maxSources {
		last, _ := f.recent.Remove(f.recent.Back()).(*source)
		delete(f.sources, last.prefix)
	}
	s := &source{prefix: prefix}
	f.sources[prefix] = f.recent.PushFront(s)
	return s
}

// count counts a call that has no entry of its own.
func (f *flood) count(plane Plane, address, reason string, authenticated bool, now time.Time) {
	prefix, plane := sourceOf(address), cmp.Or(plane, PlaneData)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts[plane] == nil {
		f.counts[plane] = newCounts(now)
	}
	f.counts[plane].add(prefix, cmp.Or(reason, noReason), authenticated, now)
}

// take returns what was counted of a plane and begins anew; nil means nothing.
func (f *flood) take(plane Plane) *counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[plane]
	delete(f.counts, plane)
	return c
}

// giveBack puts back what could not be recorded.
func (f *flood) giveBack(plane Plane, c *counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := f.counts[plane]; since != nil {
		c.merge(since)
	}
	f.counts[plane] = c
}

// counts are the calls since the last summary.
type counts struct {
	from, to      time.Time
	total         int64
	authenticated int64
	sources       map[netip.Prefix]struct{}
	capped        bool // there are more sources than that
	reasons       map[string]int64
}

func newCounts(now time.Time) *counts {
	return &counts{from: now, to: now, sources: make(map[netip.Prefix]struct{}), reasons: make(map[string]int64)}
}

func (c *counts) add(prefix netip.Prefix, reason string, authenticated bool, now time.Time) {
	c.span(now, now)
	c.total++
	if authenticated {
		c.authenticated++
	}
	c.addSource(prefix)
	c.addReason(reason, 1)
}

func (c *counts) span(from, to time.Time) {
	if from.Before(c.from) {
		c.from = from
	}
	if to.After(c.to) {
		c.to = to
	}
}

func (c *counts) addSource(prefix netip.Prefix) {
	if _, ok := c.sources[prefix]; ok {
		return
	}
	if len(c.sources) == maxSources {
		c.capped = true
		return
	}
	c.sources[prefix] = struct{}{}
}

func (c *counts) addReason(reason string, n int64) {
	if _, ok := c.reasons[reason]; !ok && len(c.reasons) >= maxReasons {
		reason = otherReasons
	}
	c.reasons[reason] += n
}

func (c *counts) merge(o *counts) {
	c.span(o.from, o.to)
	c.total += o.total
	c.authenticated += o.authenticated
	c.capped = c.capped || o.capped
	for prefix := range o.sources {
		c.addSource(prefix)
	}
	for reason, n := range o.reasons {
		c.addReason(reason, n)
	}
}

// refusals returns the counts as they are recorded.
func (c *counts) refusals() Refusals {
	r := Refusals{
		From: c.from, To: c.to, Count: c.total, Authenticated: c.authenticated,
		Sources: int64(len(c.sources)), SourcesCapped: c.capped,
		Reasons: make([]ReasonCount, 0, len(c.reasons)),
	}
	for reason, n := range c.reasons {
		r.Reasons = append(r.Reasons, ReasonCount{Reason: reason, Count: n})
	}
	slices.SortFunc(r.Reasons, func(a, b ReasonCount) int { return cmp.Compare(a.Reason, b.Reason) })
	return r
}

// sourceOf returns what an address counts as: an IPv4 address, or the /64 that one
// IPv6 subscriber has to itself. What cannot be read counts as one source.
func sourceOf(address string) netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		port, err := netip.ParseAddrPort(address)
		if err != nil {
			return netip.Prefix{}
		}
		addr = port.Addr()
	}
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

package task

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// maxCounts is how many counts one generation has; see cache.
	maxCounts = 4096
	// recountAfter is the age at which a count is made anew when it is used.
	recountAfter = time.Second
	// maxRecounts is how many counts wait to be made anew.
	maxRecounts = 64
	// recountTimeout bounds a count that nobody waits for.
	recountTimeout = 5 * time.Second
)

// countKey names the tasks that a caller has of one agent; those of one context when
// that is not empty.
type countKey struct {
	agent, owner uuid.UUID
	context      string
}

// counts remembers how many tasks callers have, so that a list of them need not wait
// for the database. New bindings of this replica are added as they come; what other
// replicas bind is seen when a count is made anew.
type counts struct {
	mu         sync.Mutex
	young, old map[countKey]*count
}

type count struct {
	n     int
	known bool
	// asked is when the database last answered; zero when it must be asked again.
	asked time.Time
	// asking tells that a recount is on its way.
	asking bool
	// added is the sum of the changes that bindings brought, changes their number: a
	// count that is being made must not lose those that come meanwhile.
	added, changes int
}

func newCounts() *counts { return &counts{young: map[countKey]*count{}} }

// entry returns what is kept under a key, and nil when that is nothing. c.mu is held.
func (c *counts) entry(key countKey) *count {
	if e, ok := c.young[key]; ok {
		return e
	}
	e, ok := c.old[key]
	if !ok {
		return nil
	}
	c.keep(key, e)
	return e
}

// keep puts e under a key. c.mu is held.
func (c *counts) keep(key countKey, e *count) {
	if len(c.young) >= maxCounts {
		c.old, c.young = c.young, map[countKey]*count{}
	}
	c.young[key] = e
}

// get returns a count if there is one, and whether it is to be made anew: then the
// caller must see to it, or call [counts.fail].
func (c *counts) get(key countKey, now time.Time) (n int, known, recount bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(key)
	if e == nil || !e.known {
		return 0, false, false
	}
	recount = !e.asking && now.Sub(e.asked) >= recountAfter
	e.asking = e.asking || recount
	return max(e.n, 0), true, recount
}

// estimate keeps n where nothing is known, until the database has been asked.
func (c *counts) estimate(key countKey, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(key)
	if e == nil {
		e = &count{}
		c.keep(key, e)
	}
	if !e.known {
		e.n, e.known = n, true
	}
}

// begin notes that the database is going to be asked, and returns how things stand.
func (c *counts) begin(key countKey) count {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(key)
	if e == nil {
		e = &count{}
		c.keep(key, e)
	}
	return *e
}

// done keeps what the database answered to a question that was begun at before.
func (c *counts) done(key countKey, n int, before count, now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(key)
	if e == nil { // forgotten meanwhile, with what came meanwhile
		e = &count{changes: before.changes + 1, added: before.added}
		c.keep(key, e)
	}
	e.n, e.known, e.asking = n+e.added-before.added, true, false
	e.asked = now
	if e.changes != before.changes {
		// The database may have known some of the changes already.
		e.asked = time.Time{}
	}
	return max(e.n, 0)
}

// fail notes that a count was not made anew.
func (c *counts) fail(key countKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entry(key); e != nil {
		e.asking = false
	}
}

// add counts a task that was bound, or with n < 0 one that turned out to be another's.
func (c *counts) add(agent, owner uuid.UUID, contextID string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(countKey{agent, owner, ""}, n)
	if contextID != "" {
		c.change(countKey{agent, owner, contextID}, n)
	}
}

// move counts a task in another context.
func (c *counts) move(agent, owner uuid.UUID, from, to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from != "" {
		c.change(countKey{agent, owner, from}, -1)
	}
	if to != "" {
		c.change(countKey{agent, owner, to}, 1)
	}
}

// forget has a count asked for anew at its next use.
func (c *counts) forget(key countKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entry(key); e != nil {
		// One that is being made may lack what changed, and is made once more.
		e.known, e.asked, e.changes = false, time.Time{}, e.changes+1
	}
}

// change adds to a count that is kept or being made. c.mu is held.
func (c *counts) change(key countKey, n int) {
	// Not through entry: a binding is no use, and must not keep a count alive.
	e, ok := c.young[key]
	if !ok {
		e, ok = c.old[key]
	}
	if ok {
		e.n, e.added, e.changes = e.n+n, e.added+n, e.changes+1
	}
}

// count asks the database for a count, of which the bindings that are still on their
// way there are a part.
func (l *Ledger) count(ctx context.Context, wait time.Duration, key countKey) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	l.mu.Lock()
	before := l.counts.begin(key)
	unwritten := map[string]struct{}{}
	for _, bindings := range []map[ID]Binding{l.pending, l.flushing} {
		for id, b := range bindings {
			if key.has(id, b) {
				unwritten[id.ID] = struct{}{}
			}
		}
	}
	l.mu.Unlock()
	except := make([]string, 0, len(unwritten))
	for id := range unwritten {
		except = append(except, id)
	}
	n, err := l.cfg.Store.Count(ctx, key.agent, key.owner, key.context, except)
	if err != nil {
		l.counts.fail(key)
		return 0, err
	}
	return l.counts.done(key, n+len(except), before, l.cfg.Clock.Now()), nil
}

// has tells whether a binding is one of those that are counted.
func (k countKey) has(id ID, b Binding) bool {
	return id.Kind == Task && id.Agent == k.agent && b.Owner == k.owner && (k.context == "" || b.Context == k.context)
}

// countKnown counts what this replica knows. It looks at all that it remembers, so it
// is for when the database cannot be asked.
func (l *Ledger) countKnown(key countKey) int {
	seen := map[string]struct{}{}
	note := func(id ID, b Binding) {
		if key.has(id, b) {
			seen[id.ID] = struct{}{}
		}
	}
	l.mu.Lock()
	for _, bindings := range []map[ID]Binding{l.pending, l.flushing} {
		for id, b := range bindings {
			note(id, b)
		}
	}
	l.mu.Unlock()
	l.cache.each(note)
	return len(seen)
}

// uncount takes back what was counted for owners that turned out not to be the owners.
func (l *Ledger) uncount(batch, conflicts []Entry) {
	lost := make(map[ID]struct{}, len(conflicts))
	for _, c := range conflicts {
		lost[c.ID] = struct{}{}
	}
	for _, e := range batch {
		if _, ok := lost[e.ID]; ok && e.Kind == Task {
			l.counts.add(e.Agent, e.Owner, e.Context, -1)
		}
	}
}

// recountLater has a count made anew by and by.
func (l *Ledger) recountLater(key countKey) {
	select {
	case l.recounts <- key:
	default: // its next use asks again
		l.counts.fail(key)
	}
}

// recount makes counts anew until ctx ends.
func (l *Ledger) recount(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-l.recounts:
			if _, err := l.count(ctx, recountTimeout, key); err != nil && ctx.Err() == nil {
				// Whether the database answers is said by the writer of bindings.
				l.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "tasks could not be counted", slog.Any("error", err))
			}
		}
	}
}

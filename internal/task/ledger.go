package task

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

// How long bindings are kept.
const (
	keepTerminal = 30 * 24 * time.Hour
	keepContext  = 90 * 24 * time.Hour
	purgeEvery   = time.Hour
)

// Config says how a Ledger works.
type Config struct {
	// Store is required.
	Store Store
	// Timeout bounds what a call waits for the database; 0 means 250 ms.
	Timeout time.Duration
	// Flush is the time within which a new binding is written; 0 means 20 ms.
	Flush time.Duration
	// CacheSize is the number of bindings kept in memory; 0 means 200 000.
	CacheSize int
	// PendingSize is the number of bindings that wait for the database at most; 0
	// means 500 000. Beyond it the oldest are kept in memory only, and counted.
	PendingSize int
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets outages and conflicts; nil discards.
	Logger *slog.Logger
}

// Ledger answers whose a task or context is, from memory where it can, and writes
// new bindings to the database in batches.
type Ledger struct {
	cfg      Config
	cache    *cache
	counts   *counts
	recounts chan countKey // counts to be made anew; a full channel drops some, until they are next used
	wake     chan struct{}

	mu sync.Mutex // taken before the counts' own
	// pending is what the database does not have yet; it is looked into before the
	// cache and never evicted.
	pending map[ID]Binding
	order   []ID
	// flushing is what is being written right now.
	flushing map[ID]Binding
	dropped  int64
}

// NewLedger returns a Ledger over a store.
func NewLedger(cfg Config) (*Ledger, error) {
	if cfg.Store == nil {
		return nil, errors.New("task: Config.Store is required")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 250 * time.Millisecond
	}
	if cfg.Flush == 0 {
		cfg.Flush = 20 * time.Millisecond
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = 200_000
	}
	if cfg.PendingSize == 0 {
		cfg.PendingSize = 500_000
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Ledger{
		cfg: cfg, cache: newCache(cfg.CacheSize), counts: newCounts(), recounts: make(chan countKey, maxRecounts),
		wake: make(chan struct{}, 1), pending: map[ID]Binding{},
	}, nil
}

// Question is what a call wants to know before it goes on.
type Question struct {
	Agent uuid.UUID
	// Owner is the caller.
	Owner uuid.UUID
	// Tasks must all be the caller's.
	Tasks []string
	// Context, when it is not empty, must be the caller's, or nobody's when Claim is
	// set: then it becomes the caller's.
	Context string
	Claim   bool
}

// Answer is what the ledger knows.
type Answer struct {
	// TasksOwned tells that every task asked for is the caller's.
	TasksOwned bool
	// ContextOwned tells that the context is the caller's; true when none was asked for.
	ContextOwned bool
	// TaskEndpoint is the instance that holds the first task, ContextEndpoint the one
	// that holds the context; empty when not known.
	TaskEndpoint, ContextEndpoint string
}

// Ask answers a question, with at most one bounded look into the database, and only
// for ids that this replica does not know. ErrUnavailable is returned when that
// look was needed and failed; TasksOwned then tells what is known of the tasks alone.
func (l *Ledger) Ask(ctx context.Context, q Question) (Answer, error) {
	answer := Answer{TasksOwned: true, ContextOwned: true}
	var unknown []string
	for i, id := range q.Tasks {
		b, ok := l.lookup(ID{Task, q.Agent, id})
		switch {
		case !ok:
			unknown = append(unknown, id)
		case b.Owner != q.Owner:
			return Answer{ContextOwned: true}, nil
		case i == 0:
			answer.TaskEndpoint = b.Endpoint
		}
	}
	var contexts, claims []string
	if q.Context != "" {
		b, ok := l.lookup(ID{Context, q.Agent, q.Context})
		switch {
		case !ok && q.Claim:
			claims = []string{q.Context}
		case !ok:
			contexts = []string{q.Context}
		case b.Owner != q.Owner:
			answer.ContextOwned = false
		default:
			answer.ContextEndpoint = b.Endpoint
		}
	}
	if len(unknown) == 0 && len(contexts) == 0 && len(claims) == 0 {
		return answer, nil
	}
	found, err := l.resolve(ctx, l.cfg.Timeout, q.Agent, q.Owner, unknown, contexts, claims)
	if err != nil {
		answer.TasksOwned = len(unknown) == 0
		return answer, err
	}
	for _, id := range unknown {
		b, ok := found[ID{Task, q.Agent, id}]
		if !ok || b.Owner != q.Owner {
			answer.TasksOwned = false
			continue
		}
		if id == q.Tasks[0] {
			answer.TaskEndpoint = b.Endpoint
		}
	}
	for _, id := range slices.Concat(contexts, claims) {
		b, ok := found[ID{Context, q.Agent, id}]
		switch {
		case !ok || b.Owner != q.Owner:
			answer.ContextOwned = false
		default:
			answer.ContextEndpoint = b.Endpoint
		}
	}
	return answer, nil
}

// resolve looks ids up in the database, waits no longer than the given time, and
// remembers what it finds. The error is ErrUnavailable; the cause is logged.
func (l *Ledger) resolve(
	ctx context.Context, wait time.Duration, agent, owner uuid.UUID, tasks, contexts, claims []string,
) (map[ID]Binding, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	entries, err := l.cfg.Store.Resolve(ctx, agent, owner, tasks, contexts, claims)
	if err != nil {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "ownership could not be looked up", slog.Any("error", err))
		return nil, ErrUnavailable
	}
	found := make(map[ID]Binding, len(entries))
	day := l.today()
	for _, e := range entries {
		e.day = day // as far as this replica knows: it is written again a day later
		l.cache.put(e.ID, e.Binding)
		found[e.ID] = e.Binding
	}
	return found, nil
}

// Bind records that an id seen in an answer belongs to the caller. It never waits
// for the database. It returns false when the id is known to be another's; then
// nothing moves.
func (l *Ledger) Bind(id ID, b Binding) bool {
	b.day = l.today()
	known, ok := l.lookup(id)
	if ok {
		if known.Owner != b.Owner {
			return false
		}
		news := (b.Endpoint != known.Endpoint && b.Endpoint != "") || (b.Context != known.Context && b.Context != "") ||
			(b.Terminal && !known.Terminal) || (id.Kind == Context && b.day != known.day)
		if !news {
			return true
		}
		if b.Endpoint == "" {
			b.Endpoint = known.Endpoint
		}
		if b.Context == "" {
			b.Context = known.Context
		}
		b.Terminal = b.Terminal || known.Terminal
	}
	bound, fresh := l.cache.bind(id, b)
	if !bound {
		return false
	}
	l.mu.Lock()
	l.queue(id, b)
	switch {
	case id.Kind != Task:
	case fresh && !ok:
		l.counts.add(id.Agent, b.Owner, b.Context, 1)
	case ok && known.Context != b.Context:
		l.counts.move(id.Agent, b.Owner, known.Context, b.Context)
	}
	l.mu.Unlock()
	l.arm()
	return true
}

// today is the day that contexts are marked as used on; a day is exact enough for
// bindings that are kept for 90.
func (l *Ledger) today() int64 { return l.cfg.Clock.Now().Unix() / (24 * 60 * 60) }

// queue makes a binding wait for the database, in place of the oldest when too many
// do already. l.mu is held.
func (l *Ledger) queue(id ID, b Binding) {
	if _, waiting := l.pending[id]; !waiting {
		for len(l.pending)+len(l.flushing) >= l.cfg.PendingSize && len(l.order) > 0 {
			oldest := l.order[0]
			l.order = l.order[1:]
			if _, there := l.pending[oldest]; there {
				delete(l.pending, oldest)
				l.dropped++
			}
		}
		l.order = append(l.order, id)
	}
	l.pending[id] = b
}

func (l *Ledger) arm() {
	select {
	case l.wake <- struct{}{}:
	default: // the writer is already due
	}
}

func (l *Ledger) lookup(id ID) (Binding, bool) {
	if b, ok := l.cache.get(id); ok {
		return b, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.pending[id]; ok {
		return b, true
	}
	b, ok := l.flushing[id]
	return b, ok
}

// Run writes new bindings until ctx ends, then once more, removes old ones, and keeps
// the counts of tasks fresh.
func (l *Ledger) Run(ctx context.Context) error {
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { l.purge(ctx) })
	others.Go(func() { l.recount(ctx) })
	wait := l.cfg.Flush / 2
	for {
		select {
		case <-ctx.Done():
			return l.finish(ctx)
		case <-l.wake:
		}
		// Let what comes in the next moments travel in the same statement.
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return l.finish(ctx)
		}
		more, err := l.flush(ctx)
		switch {
		case err == nil:
			wait = l.cfg.Flush / 2
		case wait == l.cfg.Flush/2 && ctx.Err() == nil:
			l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "bindings wait for the database", slog.Any("error", err))
			fallthrough
		default:
			wait = min(wait*2, 2*time.Second)
		}
		if more {
			l.arm()
		}
	}
}

// lastFlush bounds what a stop waits for.
const lastFlush = 2 * time.Second

func (l *Ledger) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	for {
		more, err := l.flush(ctx)
		if err != nil {
			l.cfg.Logger.LogAttrs(ctx, slog.LevelError, "bindings were not written before the stop", slog.Any("error", err))
			return nil
		}
		if !more {
			return nil
		}
	}
}

func (l *Ledger) purge(ctx context.Context) {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		now := l.cfg.Clock.Now()
		if err := l.cfg.Store.Purge(bounded, now.Add(-keepTerminal), now.Add(-keepContext)); err != nil && ctx.Err() == nil {
			l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "old bindings were not removed", slog.Any("error", err))
		}
		cancel()
	}
}

// flushSize is how many bindings travel in one statement: few enough that it ends
// within its time after the longest outage.
const flushSize = 5000

// flush writes the oldest of what is pending, and tells whether more is. What could
// not be written is pending again.
func (l *Ledger) flush(ctx context.Context) (more bool, err error) {
	l.mu.Lock()
	batch := make([]Entry, 0, min(len(l.pending), flushSize))
	l.flushing = make(map[ID]Binding, cap(batch))
	for len(l.order) > 0 && len(batch) < flushSize {
		id := l.order[0]
		l.order = l.order[1:]
		b, ok := l.pending[id]
		if !ok {
			continue
		}
		delete(l.pending, id)
		l.flushing[id] = b
		batch = append(batch, Entry{id, b})
	}
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelError, "bindings were given up: too many wait for the database", slog.Int64("count", dropped))
	}
	var rest []Entry
	if len(batch) > 0 {
		rest, err = l.write(ctx, batch)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushing = nil
	for _, e := range rest {
		if _, newer := l.pending[e.ID]; !newer {
			l.queue(e.ID, e.Binding)
		}
	}
	return len(l.pending) > 0, err
}

// write stores a batch and returns what is left of it when that fails. An entry that
// the database will never take is given up alone: it must not hold up the others.
func (l *Ledger) write(ctx context.Context, batch []Entry) (rest []Entry, err error) {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conflicts, err := l.cfg.Store.Write(bounded, batch)
	switch {
	case err == nil:
		if len(conflicts) > 0 {
			l.uncount(batch, conflicts)
		}
		for _, c := range conflicts {
			l.cache.put(c.ID, c.Binding)
			l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "an agent answered with an id that belongs to another caller",
				slog.String("agent_uid", c.Agent.String()), slog.Bool("task", c.Kind == Task))
		}
		return nil, nil
	case !errors.Is(err, ErrUnstorable):
		return batch, err
	case len(batch) == 1:
		l.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a binding cannot be stored and is given up",
			slog.String("agent_uid", batch[0].Agent.String()), slog.Any("error", err))
		return nil, nil
	}
	half := len(batch) / 2
	first, err1 := l.write(ctx, batch[:half])
	second, err2 := l.write(ctx, batch[half:])
	return append(first, second...), errors.Join(err1, err2)
}

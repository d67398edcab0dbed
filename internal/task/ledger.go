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
	cfg   Config
	cache *cache
	wake  chan struct{}

	mu sync.Mutex
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
		cfg: cfg, cache: newCache(cfg.CacheSize), wake: make(chan struct{}, 1),
		pending: map[ID]Binding{},
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
	// Endpoint is the instance that holds the first task, else the context; empty
	// when not known.
	Endpoint string
}

// Ask answers a question, with at most one bounded look into the database, and only
// for ids that this replica does not know. ErrUnavailable is returned when that
// look was needed and failed.
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
			answer.Endpoint = b.Endpoint
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
		case answer.Endpoint == "":
			answer.Endpoint = b.Endpoint
		}
	}
	if len(unknown) == 0 && len(contexts) == 0 && len(claims) == 0 {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	entries, err := l.cfg.Store.Resolve(ctx, q.Agent, q.Owner, unknown, contexts, claims)
	if err != nil {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "ownership could not be looked up", slog.Any("error", err))
		return Answer{}, ErrUnavailable
	}
	found := make(map[ID]Binding, len(entries))
	for _, e := range entries {
		l.cache.put(e.ID, e.Binding)
		found[e.ID] = e.Binding
	}
	for _, id := range unknown {
		b, ok := found[ID{Task, q.Agent, id}]
		if !ok || b.Owner != q.Owner {
			answer.TasksOwned = false
			continue
		}
		if id == q.Tasks[0] {
			answer.Endpoint = b.Endpoint
		}
	}
	for _, id := range slices.Concat(contexts, claims) {
		b, ok := found[ID{Context, q.Agent, id}]
		switch {
		case !ok || b.Owner != q.Owner:
			answer.ContextOwned = false
		case answer.Endpoint == "":
			answer.Endpoint = b.Endpoint
		}
	}
	return answer, nil
}

// Bind records that an id seen in an answer belongs to the caller. It never waits
// for the database. It returns false when the id is known to be another's; then
// nothing moves.
func (l *Ledger) Bind(id ID, b Binding) bool {
	if known, ok := l.lookup(id); ok {
		if known.Owner != b.Owner {
			return false
		}
		if (b.Endpoint == known.Endpoint || b.Endpoint == "") &&
			(b.Context == known.Context || b.Context == "") && (known.Terminal || !b.Terminal) {
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
	l.cache.put(id, b)
	l.mu.Lock()
	if _, waiting := l.pending[id]; !waiting {
		if len(l.pending) >= l.cfg.PendingSize {
			oldest := l.order[0]
			l.order = l.order[1:]
			delete(l.pending, oldest)
			l.dropped++
		}
		l.order = append(l.order, id)
	}
	l.pending[id] = b
	first := len(l.pending) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default: // the writer is already due
		}
	}
	return true
}

// Owned returns the ids of a caller's tasks of one agent, of one context when
// contextID is not empty. When the database does not answer it returns what this
// replica knows and false.
func (l *Ledger) Owned(ctx context.Context, agent, owner uuid.UUID, contextID string) (map[string]struct{}, bool) {
	owned := map[string]struct{}{}
	add := func(id ID, b Binding) {
		if id.Kind == Task && id.Agent == agent && b.Owner == owner && (contextID == "" || b.Context == contextID) {
			owned[id.ID] = struct{}{}
		}
	}
	l.mu.Lock()
	for id, b := range l.pending {
		add(id, b)
	}
	for id, b := range l.flushing {
		add(id, b)
	}
	l.mu.Unlock()
	// What is on its way to the database was looked at first: what arrives there in
	// between is counted twice rather than not at all.
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	ids, err := l.cfg.Store.Owned(ctx, agent, owner, contextID)
	for _, id := range ids {
		owned[id] = struct{}{}
	}
	if err != nil {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "owned tasks could not be listed", slog.Any("error", err))
		l.cache.each(add)
	}
	return owned, err == nil
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

// Run writes new bindings until ctx ends, then once more, and removes old ones.
func (l *Ledger) Run(ctx context.Context) error {
	purge := time.NewTicker(purgeEvery)
	defer purge.Stop()
	backoff := l.cfg.Flush
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := l.flush(last); err != nil {
				l.cfg.Logger.LogAttrs(last, slog.LevelError, "bindings were not written before the stop", slog.Any("error", err))
			}
			return nil
		case <-purge.C:
			now := l.cfg.Clock.Now()
			if err := l.cfg.Store.Purge(ctx, now.Add(-keepTerminal), now.Add(-keepContext)); err != nil && ctx.Err() == nil {
				l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "old bindings were not removed", slog.Any("error", err))
			}
			continue
		case <-l.wake:
		}
		// Let what comes in the next moments travel in the same statement.
		wait := time.NewTimer(backoff / 2)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			l.rearm()
			continue
		}
		if err := l.flush(ctx); err != nil {
			if ctx.Err() == nil && backoff == l.cfg.Flush {
				l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "bindings wait for the database", slog.Any("error", err))
			}
			backoff = min(backoff*2, 2*time.Second)
			l.rearm()
			continue
		}
		backoff = l.cfg.Flush
	}
}

func (l *Ledger) rearm() {
	select {
	case l.wake <- struct{}{}:
	default: // already armed
	}
}

// flush writes what is pending. What could not be written is pending again.
func (l *Ledger) flush(ctx context.Context) error {
	l.mu.Lock()
	l.flushing, l.pending, l.order = l.pending, map[ID]Binding{}, nil
	batch := make([]Entry, 0, len(l.flushing))
	for id, b := range l.flushing {
		batch = append(batch, Entry{id, b})
	}
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	write, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conflicts, err := l.cfg.Store.Write(write, batch)
	l.mu.Lock()
	if err != nil {
		for id, b := range l.flushing {
			if _, newer := l.pending[id]; !newer {
				l.pending[id] = b
				l.order = append(l.order, id)
			}
		}
	}
	l.flushing = nil
	l.mu.Unlock()
	for _, c := range conflicts {
		l.cache.put(c.ID, c.Binding)
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "an agent answered with an id that belongs to another caller",
			slog.String("agent_uid", c.Agent.String()), slog.Int("kind", int(c.Kind)))
	}
	return err
}

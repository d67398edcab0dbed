package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// note is what waits for the database: that a config is there or that it is gone.
type note struct {
	Config
	removed bool
}

// notes holds what calls noted until it is written, the newest of each config.
type notes struct {
	limit int
	wake  chan struct{}

	mu      sync.Mutex
	pending map[ID]note
	order   []ID
	dropped int64
}

func newNotes(limit int) *notes {
	return &notes{limit: limit, wake: make(chan struct{}, 1), pending: map[ID]note{}}
}

// put makes a note wait, in place of the oldest when too many do already.
func (q *notes) put(n note) {
	q.mu.Lock()
	q.add(n)
	q.mu.Unlock()
	q.arm()
}

// add is put with q.mu held.
func (q *notes) add(n note) {
	if _, waiting := q.pending[n.ID]; !waiting {
		for len(q.pending) >= q.limit && len(q.order) > 0 {
			delete(q.pending, q.order[0])
			q.order = q.order[1:]
			q.dropped++
		}
		q.order = append(q.order, n.ID)
	}
	q.pending[n.ID] = n
}

func (q *notes) arm() {
	select {
	case q.wake <- struct{}{}:
	default: // the writer is already due
	}
}

// take returns the oldest notes and how many were given up since the last time.
func (q *notes) take(limit int) (batch []note, dropped int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.order), limit)
	batch = make([]note, n)
	for i, id := range q.order[:n] {
		batch[i] = q.pending[id]
		delete(q.pending, id)
	}
	q.order = q.order[n:]
	dropped, q.dropped = q.dropped, 0
	return batch, dropped
}

// giveBack makes notes wait again, unless there are newer ones of the same configs.
func (q *notes) giveBack(batch []note) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, n := range batch {
		if _, newer := q.pending[n.ID]; !newer {
			q.add(n)
		}
	}
}

// empty tells that nothing waits.
func (q *notes) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pending) == 0
}

const (
	// flushAfter lets what comes in the next moments travel in the same statement.
	flushAfter = 10 * time.Millisecond
	flushSize  = 2000
	flushLimit = 5 * time.Second
	// slowestFlush is the longest pause between two tries while the database is away.
	slowestFlush = 2 * time.Second
	// lastFlush bounds what a stop waits for.
	lastFlush = 2 * time.Second
)

// write writes notes until ctx ends, then once more.
func (r *Revoker) write(ctx context.Context) {
	wait := flushAfter
	for {
		select {
		case <-ctx.Done():
			r.writeLast(ctx)
			return
		case <-r.notes.wake:
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			r.writeLast(ctx)
			return
		}
		err := r.flush(ctx)
		switch {
		case err == nil:
			wait = flushAfter
		case wait == flushAfter && ctx.Err() == nil:
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "notes of push configs wait for the database", slog.Any("error", err))
			fallthrough
		default:
			wait = min(wait*2, slowestFlush)
		}
		if !r.notes.empty() {
			r.notes.arm()
		}
	}
}

func (r *Revoker) writeLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	for !r.notes.empty() {
		if err := r.flush(ctx); err != nil {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "notes of push configs were not written before the stop", slog.Any("error", err))
			return
		}
	}
}

// flush writes the oldest notes. What could not be written waits again.
func (r *Revoker) flush(ctx context.Context) error {
	batch, dropped := r.notes.take(flushSize)
	if dropped > 0 {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "notes of push configs were given up: too many wait for the database",
			slog.Int64("count", dropped))
	}
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	err := r.store(ctx, batch)
	if !errors.Is(err, ErrUnstorable) {
		if err != nil {
			r.notes.giveBack(batch)
		}
		return err
	}
	// One that the database will never take must not hold up the others.
	for i, n := range batch {
		err := r.store(ctx, batch[i:i+1])
		switch {
		case errors.Is(err, ErrUnstorable):
			r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a note of a push config cannot be stored and is given up",
				slog.String("agent_uid", n.Agent.String()), slog.Any("error", err))
		case err != nil:
			r.notes.giveBack(batch[i:])
			return err
		}
	}
	return nil
}

func (r *Revoker) store(ctx context.Context, batch []note) error {
	var noted, removed []Config
	for _, n := range batch {
		if n.removed {
			removed = append(removed, n.Config)
			continue
		}
		noted = append(noted, n.Config)
	}
	return r.cfg.Store.Write(ctx, noted, removed)
}

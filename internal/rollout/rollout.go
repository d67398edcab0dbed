// Package rollout tells how far a change of the configuration has come: which replicas
// say that they serve it. It changes nothing and waits for nobody that is silent.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// SilentAfter is how long a replica may be without a sign of life before nobody waits
// for it any more. It may still serve calls.
const SilentAfter = 15 * time.Second

// Replica is a replica that may serve calls.
type Replica struct {
	UID uuid.UUID
	// ServedRevision is what it last said it serves.
	ServedRevision int64
	// LastSeen is when it last gave a sign of life, and Silent how long that is ago by
	// the same clock.
	LastSeen time.Time
	Silent   time.Duration
}

// Store knows the replicas.
type Store interface {
	// Replicas returns the replicas that have not said that they stopped and gave a sign
	// of life not longer ago than within (0 means ever), the ones last seen first.
	Replicas(ctx context.Context, within time.Duration) ([]Replica, error)
}

// Rollout says how far a change has come.
type Rollout struct {
	Revision int64
	// Confirmed is how many replicas serve the change.
	Confirmed int
	// Unconfirmed are those that may still serve what was before, the ones last seen
	// first.
	Unconfirmed []Replica
}

// Config says how a Watch works.
type Config struct {
	// Store is required.
	Store Store
	// ServesFor is how long a replica serves what it knows without the database; 0 means
	// without end. Replicas that are silent for longer are not listed.
	ServesFor time.Duration
}

// Watch asks the replicas for changes.
type Watch struct {
	store  Store
	within time.Duration
}

// New returns a Watch.
func New(cfg Config) (*Watch, error) {
	if cfg.Store == nil {
		return nil, errors.New("rollout: Config.Store is required")
	}
	w := &Watch{store: cfg.Store}
	if cfg.ServesFor > 0 {
		// The two did not lose the database in the same moment.
		w.within = cfg.ServesFor + SilentAfter
	}
	return w, nil
}

// The times between two looks, and what one look may take.
const (
	firstDelay  = 10 * time.Millisecond
	lastDelay   = 160 * time.Millisecond
	lookTimeout = time.Second
)

// Confirm waits until every replica that is not silent serves a revision, or until ctx
// ends, and returns what is known then. It looks once at least.
func (w *Watch) Confirm(ctx context.Context, revision int64) (Rollout, error) {
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		r, waiting, err := w.look(ctx, revision)
		if err != nil || !waiting {
			return r, err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			r, _, err = w.look(ctx, revision)
			return r, err
		}
	}
}

// look returns what is known now, and whether it is worth to wait for more.
func (w *Watch) look(ctx context.Context, revision int64) (r Rollout, waiting bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	replicas, err := w.store.Replicas(ctx, w.within)
	if err != nil {
		return Rollout{}, false, fmt.Errorf("look for replicas: %w", err)
	}
	r.Revision = revision
	for _, replica := range replicas {
		if replica.ServedRevision >= revision {
			r.Confirmed++
			continue
		}
		r.Unconfirmed = append(r.Unconfirmed, replica)
		waiting = waiting || replica.Silent < SilentAfter
	}
	return r, waiting, nil
}

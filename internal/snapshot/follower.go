package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox/internal/clock"
)

// Source reads the configuration from where it is kept. Every method is bounded by
// its context.
type Source interface {
	// Revision returns the newest committed revision.
	Revision(ctx context.Context) (int64, error)
	// All returns the whole configuration at one revision.
	All(ctx context.Context) (Delta, error)
	// Since returns the present state of what changed after a revision, together with the
	// revision that it is the state of. mark is the one that came with the revision before;
	// ErrOtherHistory says that the database has another revision of this number.
	Since(ctx context.Context, after int64, mark string) (Delta, error)
}

// ErrOtherHistory says that the database was set back and has gone on otherwise.
var ErrOtherHistory = errors.New("the database has another history of the configuration")

// Config says how a Follower works.
type Config struct {
	// Source is required.
	Source Source
	// Wake, when it is not nil, is sent to when there may be a new revision. It only
	// makes a change arrive sooner than the next poll.
	Wake <-chan struct{}
	// Poll is the time between two questions for the revision; 0 means 500 ms.
	Poll time.Duration
	// Timeout bounds one question; 0 means 5 s.
	Timeout time.Duration
	// AdminSecret is the hash of an admin key that the environment gave: it is the only
	// one then. nil means those of the database.
	AdminSecret *[32]byte
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets outages and their ends; nil discards.
	Logger *slog.Logger
}

// Follower keeps the snapshot of a replica up to date.
type Follower struct {
	cfg     Config
	current atomic.Pointer[Snapshot]
	// confirmed is when the database last said that current is its newest revision,
	// in nanoseconds since 1970.
	confirmed atomic.Int64
	ask       chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed when current is replaced
}

// NewFollower loads the configuration once and returns a Follower that serves it.
func NewFollower(ctx context.Context, cfg Config) (*Follower, error) {
	if cfg.Source == nil {
		return nil, errors.New("snapshot: Config.Source is required")
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Follower{cfg: cfg, ask: make(chan struct{}, 1), changed: make(chan struct{})}
	all, err := cfg.Source.All(ctx)
	if err != nil {
		return nil, fmt.Errorf("load configuration: %w", err)
	}
	first, err := empty(0)
	if err != nil {
		return nil, err
	}
	if first, err = first.apply(f.admins(all)); err != nil {
		return nil, fmt.Errorf("load configuration: %w", err)
	}
	f.current.Store(first)
	f.confirmed.Store(cfg.Clock.Now().UnixNano())
	return f, nil
}

// Current returns the snapshot to serve from.
func (f *Follower) Current() *Snapshot { return f.current.Load() }

// Changed returns a channel that is closed when the snapshot is replaced.
func (f *Follower) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Age returns how long ago the database confirmed that the snapshot is the newest.
func (f *Follower) Age() time.Duration {
	return f.cfg.Clock.Now().Sub(time.Unix(0, f.confirmed.Load()))
}

// Sync waits until the snapshot shows at least the given revision, so that a
// caller who changed the configuration here finds it changed.
func (f *Follower) Sync(ctx context.Context, revision int64) error {
	for {
		changed := f.Changed()
		if f.Current().Revision() >= revision {
			return nil
		}
		select {
		case f.ask <- struct{}{}:
		default: // a question is already due
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Run follows the configuration until ctx ends. An outage of the database leaves
// the snapshot as it is.
func (f *Follower) Run(ctx context.Context) error {
	ticker := time.NewTicker(f.cfg.Poll)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-f.ask:
		case <-f.cfg.Wake:
		}
		err := f.refresh(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "configuration cannot be confirmed, serving the last one known",
				slog.Int64("revision", f.Current().Revision()), slog.Any("error", err))
		case err == nil && failing:
			failing = false
			f.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "configuration is confirmed again",
				slog.Int64("revision", f.Current().Revision()))
		}
	}
}

func (f *Follower) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	asked := f.cfg.Clock.Now()
	revision, err := f.cfg.Source.Revision(ctx)
	if err != nil {
		return err
	}
	current := f.Current()
	if revision != current.Revision() {
		var delta Delta
		back := revision < current.Revision()
		if !back {
			delta, err = f.cfg.Source.Since(ctx, current.Revision(), current.mark)
			back = errors.Is(err, ErrOtherHistory)
		}
		if back {
			// The database was set back: what was made since is gone, and no change says so.
			if current, err = empty(current.lineage + 1); err != nil {
				return err
			}
			delta, err = f.cfg.Source.All(ctx)
		}
		if err != nil {
			return err
		}
		next, err := current.apply(f.admins(delta))
		if err != nil {
			return err
		}
		f.current.Store(next)
		f.mu.Lock()
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
	}
	f.confirmed.Store(asked.UnixNano())
	return nil
}

// admins puts the admin key of the environment in the place of those of the database.
func (f *Follower) admins(d Delta) Delta {
	if f.cfg.AdminSecret != nil {
		d.Admins = [][32]byte{*f.cfg.AdminSecret}
	}
	return d
}

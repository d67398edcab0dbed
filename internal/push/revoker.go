package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

const (
	// keep is how long a note is kept.
	keep = 30 * 24 * time.Hour
	// A deletion that failed is tried again after firstRetry, then after twice as long
	// each time, up to longestRetry.
	firstRetry   = 5 * time.Second
	longestRetry = time.Hour
	// giveUp is how long a deletion is tried.
	giveUp = 24 * time.Hour
	// pause keeps passes apart while the configuration changes all the time.
	pause = 250 * time.Millisecond
	// confirmWait bounds how long a pass waits for the configuration to be confirmed.
	confirmWait = 3 * time.Second
	// databaseLimit bounds one question to the database.
	databaseLimit = 10 * time.Second
	// claimSize configs are claimed at a time and deleted by workers; each is given
	// attemptLimit, so that all are done before the lease ends.
	claimSize    = 64
	workers      = 16
	attemptLimit = 15 * time.Second
	lease        = 2 * time.Minute
)

// RevokerConfig says how a Revoker works.
type RevokerConfig struct {
	// Store, Agents, Snapshots and Recorder are required.
	Store     Store
	Agents    Agents
	Snapshots Snapshots
	Recorder  audit.Recorder
	// Poll is the time between two looks for what is due, beside those that a change of
	// the configuration causes; 0 means 3 s.
	Poll time.Duration
	// PendingSize is the number of notes that wait for the database at most; 0 means
	// 100 000. Beyond it the oldest are given up, and counted.
	PendingSize int
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// Logger gets outages and what was given up; nil discards.
	Logger *slog.Logger
}

// Revoker remembers push configs and deletes at the agents those whose owner's key is
// disabled, has expired or is gone, and those at agents whose owner allows none any
// more. All replicas share the work.
type Revoker struct {
	cfg   RevokerConfig
	notes *notes
}

// NewRevoker returns a Revoker. Its Run must run, or nothing is remembered.
func NewRevoker(cfg RevokerConfig) (*Revoker, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("push: RevokerConfig.Store is required")
	case cfg.Agents == nil:
		return nil, errors.New("push: RevokerConfig.Agents is required")
	case cfg.Snapshots == nil:
		return nil, errors.New("push: RevokerConfig.Snapshots is required")
	case cfg.Recorder == nil:
		return nil, errors.New("push: RevokerConfig.Recorder is required")
	}
	if cfg.Poll == 0 {
		cfg.Poll = 3 * time.Second
	}
	if cfg.PendingSize == 0 {
		cfg.PendingSize = 100_000
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Revoker{cfg: cfg, notes: newNotes(cfg.PendingSize)}, nil
}

// Noted remembers a config that an agent was given. It never waits.
func (r *Revoker) Noted(c Config) { r.notes.put(note{Config: c}) }

// Removed forgets a config that its owner deleted. It never waits.
func (r *Revoker) Removed(c Config) { r.notes.put(note{Config: c, removed: true}) }

// Run writes notes and deletes what is due until ctx ends, then writes the last notes.
func (r *Revoker) Run(ctx context.Context) error {
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { r.write(ctx) })
	ticker := time.NewTicker(r.cfg.Poll)
	defer ticker.Stop()
	failing := false
	for {
		changed := r.cfg.Snapshots.Changed() // taken first, so that no change goes unseen
		err := r.pass(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "push configs of revoked callers cannot be looked up", slog.Any("error", err))
		case err == nil && failing:
			failing = false
			r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "push configs of revoked callers can be looked up again")
		}
		if !sleep(ctx, pause) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-changed:
		}
	}
}

// pass deletes all that is due now.
func (r *Revoker) pass(ctx context.Context) error {
	read, cancel := context.WithTimeout(ctx, databaseLimit)
	owners, agents, err := r.cfg.Store.Holders(read)
	cancel()
	if err != nil {
		return err
	}
	asked := r.cfg.Clock.Now()
	due, gone := r.due(owners, agents)
	if !due.Empty() || len(gone) > 0 {
		// A key or an agent that looks gone may just not be known here yet.
		if !r.confirmed(ctx, asked) {
			return nil
		}
		due, gone = r.due(owners, agents)
	}
	tidy, cancel := context.WithTimeout(ctx, databaseLimit)
	defer cancel()
	if err := r.cfg.Store.Tidy(tidy, due, gone, r.cfg.Clock.Now().Add(-keep)); err != nil {
		return err
	}
	if due.Empty() {
		return nil
	}
	return r.revoke(ctx, due)
}

// due tells of whom the configs are to be deleted, and which agents are gone.
func (r *Revoker) due(owners, agents []uuid.UUID) (due Due, gone []uuid.UUID) {
	s, now := r.cfg.Snapshots.Current(), r.cfg.Clock.Now()
	for _, uid := range owners {
		if s.Revoked(uid, now) {
			due.Owners = append(due.Owners, uid)
		}
	}
	for _, uid := range agents {
		agent, ok := s.AgentByUID(uid)
		switch {
		case !ok:
			gone = append(gone, uid)
		case agent.Push != registry.PushDirect:
			due.Agents = append(due.Agents, uid)
		}
	}
	return due, gone
}

// confirmed waits until the snapshot is known to have been the newest at a time or
// later. It returns false when that takes too long; the next pass asks again.
func (r *Revoker) confirmed(ctx context.Context, at time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	for r.cfg.Clock.Now().Add(-r.cfg.Snapshots.Age()).Before(at) {
		if !sleep(ctx, pause/5) {
			return false
		}
	}
	return true
}

// revoke deletes what is due until nothing is left that may be tried now.
func (r *Revoker) revoke(ctx context.Context, due Due) error {
	for {
		read, cancel := context.WithTimeout(ctx, databaseLimit)
		claims, err := r.cfg.Store.Claim(read, due, lease, claimSize)
		cancel()
		if err != nil || len(claims) == 0 {
			return err
		}
		var wg sync.WaitGroup
		work := make(chan Claim)
		for range min(workers, len(claims)) {
			wg.Go(func() {
				for c := range work {
					r.attempt(ctx, c)
				}
			})
		}
		for _, c := range claims {
			work <- c
		}
		close(work)
		wg.Wait()
		if len(claims) < claimSize {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// attempt tries to delete a config at its agent, and says when to try again.
func (r *Revoker) attempt(ctx context.Context, c Claim) {
	if ctx.Err() != nil {
		return // another replica, or the next start, claims it when the lease is over
	}
	err := r.remove(ctx, c)
	retry := time.Duration(0)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return
	default:
		retry = backoff(c.Attempts)
		attrs := []slog.Attr{
			slog.String("agent_uid", c.Agent.String()), slog.String("owner_uid", c.Owner.String()),
			slog.String("task_id", c.Task), slog.Int("attempts", c.Attempts), slog.Any("error", err),
		}
		if retry == 0 {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelError,
				"a push config of a revoked caller could not be deleted at its agent and is given up; delete it there", attrs...)
		} else if c.Attempts == 1 {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn,
				"a push config of a revoked caller could not be deleted at its agent yet", attrs...)
		}
	}
	bounded, cancel := context.WithTimeout(ctx, databaseLimit)
	defer cancel()
	if err := r.cfg.Store.Settle(bounded, c, retry); err != nil && ctx.Err() == nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the deletion of a push config was not noted and will be repeated", slog.Any("error", err))
	}
}

// backoff is the time to the next attempt after so many; 0 means that there is none.
func backoff(attempts int) time.Duration {
	wait, spent := firstRetry, time.Duration(0)
	for range attempts - 1 {
		spent += wait
		wait = min(2*wait, longestRetry)
	}
	if spent+wait > giveUp {
		return 0
	}
	return wait
}

// sleep waits for a while. It returns false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

package admin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/filter"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

const (
	// replayWindow is the number of events that are read at once.
	replayWindow = 4096
	// replayAhead is how many windows are read before they are wanted.
	replayAhead = 2
	// progressEvery is the time between two reports of progress.
	progressEvery = 250 * time.Millisecond
	// revisionSlack is how much older than its event a decision's configuration may be: a
	// replica without the database goes on with what it knows.
	revisionSlack = 24 * time.Hour
)

// ReplayRequest says which decisions are to be made again, and how.
type ReplayRequest struct {
	// Draft is tried in the place of the policy that it names, enforced or, with DISABLED,
	// absent; nil means the policies as they are.
	Draft *Trial
	// Since and Until bound the times of events; zero means no bound.
	Since, Until time.Time
	// Filter is one of events.
	Filter string
	// Now uses the entities of now in the place of those of the recorded revisions.
	Now bool
	// Scope must be set, or nothing is found.
	Scope audit.Scope
}

// Recorded is a decision as the record has it.
type Recorded struct {
	Sequence   int64
	Invocation uuid.UUID
	Time       time.Time
	Plane      audit.Plane
	Team       string // the caller's
	Caller     string
	// Unseen says that what was asked for looked to the caller as if it were not there.
	Unseen bool
	// Decision is nil when the entry cannot be read.
	Decision *audit.Decision
}

// Progress says how far a replay has come.
type Progress struct {
	Replayed, NotReplayable int64
	// Read and Total count events.
	Read, Total int64
}

// replay is a replay at work.
type replay struct {
	service  *Service
	set      *policy.Replayer
	base     *policy.Replayer
	timeline *policy.Timeline // nil for the entities of now
	now      policy.Entities
	// hides says that what callers did not see is not for who wants the report either.
	hides    bool
	report   report
	progress Progress
	began    time.Time
	told     time.Time
	tell     func(Progress) error
	// at are the entities of the revision that was wanted last.
	at       policy.Entities
	revision int64
}

// Replay makes recorded decisions again as they would be under other policies, and keeps
// what they come to. It calls progress, unless it is nil, from time to time; its errors
// end the replay. It returns ErrTooManyReplays when this replica is at work on others.
//
// The result depends on the request, the revision whose policies stand beside the draft,
// and the last event alone.
func (s *Service) Replay(ctx context.Context, caller *identity.Principal, req ReplayRequest, progress func(Progress) error) (Replay, error) {
	conditions, err := audit.ParseFilter(req.Filter)
	if err != nil {
		return Replay{}, err
	}
	if !req.Until.IsZero() && !req.Since.Before(req.Until) {
		return Replay{}, &InvalidError{Field: "until_time", Problem: "must be after since_time"}
	}
	if !req.Scope.All() {
		if !s.ofTeams.TryAcquire(1) {
			return Replay{}, ErrTooManyReplays
		}
		defer s.ofTeams.Release(1)
	}
	if !s.replays.TryAcquire(1) {
		return Replay{}, ErrTooManyReplays
	}
	defer s.replays.Release(1)
	// Every event up to the head was decided with a revision that there is by now.
	head, err := s.decisions.Head(ctx)
	if err != nil {
		return Replay{}, fmt.Errorf("replay decisions: %w", err)
	}
	snap := s.snapshot()
	r, out, err := s.begin(snap, req)
	if err != nil {
		return Replay{}, err
	}
	r.tell = progress
	if err := r.readHistory(ctx, snap, req); err != nil {
		return Replay{}, fmt.Errorf("replay decisions: %w", err)
	}
	first := int64(1)
	if !req.Since.IsZero() {
		if first, err = s.decisions.First(ctx, req.Since); err != nil {
			return Replay{}, fmt.Errorf("replay decisions: %w", err)
		}
	}
	if !req.Since.IsZero() {
		conditions = append(conditions, filter.Condition{Field: audit.FieldTime, Op: filter.GreaterOrEqual, Time: req.Since})
	}
	if !req.Until.IsZero() {
		conditions = append(conditions, filter.Condition{Field: audit.FieldTime, Op: filter.Less, Time: req.Until})
	}
	query := audit.Query{Conditions: conditions, Scope: req.Scope}
	if first > 0 && first <= head {
		r.progress.Total = head - first + 1
		if progress != nil { // once at the start, so that who waits knows for how much
			if err := progress(r.progress); err != nil {
				return Replay{}, fmt.Errorf("replay decisions: %w", err)
			}
		}
		if err := r.run(ctx, query, first-1, head); err != nil {
			return Replay{}, fmt.Errorf("replay decisions: %w", err)
		}
	}
	r.report.finish(&out)
	out.UID, out.Author, out.CreateTime = uuid.New(), caller.Name, s.now()
	out.LastSequence, out.Elapsed = head, s.clock.Now().Sub(r.began)
	if !req.Scope.All() {
		out.Teams = req.Scope.Teams()
	}
	if err := s.store.CreateReplay(ctx, out); err != nil {
		return Replay{}, fmt.Errorf("keep replay: %w", err)
	}
	return out, nil
}

// begin makes the sets that decide.
func (s *Service) begin(snap *snapshot.Snapshot, req ReplayRequest) (*replay, Replay, error) {
	out := Replay{
		Mode: policy.ModeEnforce, Since: req.Since.UTC(), Until: req.Until.UTC(), Filter: req.Filter, Now: req.Now, Revision: snap.Revision(),
		DraftSHA256: sha256.Sum256(nil),
	}
	set := snap.Policies()
	if d := req.Draft; d != nil {
		trial := *d
		if trial.Mode != policy.ModeDisabled {
			trial.Mode = policy.ModeEnforce
		}
		var err error
		if set, err = tried(set, trial); err != nil {
			return nil, Replay{}, err
		}
		out.Policy, out.Mode, out.DraftSHA256 = d.ID, trial.Mode, sha256.Sum256([]byte(d.Text))
	}
	now := s.clock.Now()
	r := &replay{
		service: s, set: policy.NewReplayer(set), now: snap.Entities(), revision: -1, began: now, told: now,
		hides: !req.Scope.All(), report: newReport(),
	}
	if req.Draft != nil {
		r.base = policy.NewReplayer(snap.Policies())
	}
	return r, out, nil
}

// readHistory reads the entities of the revisions that decisions may have been made with.
func (r *replay) readHistory(ctx context.Context, snap *snapshot.Snapshot, req ReplayRequest) error {
	if req.Now {
		return nil
	}
	first, last := int64(0), snap.Revision()
	newest, err := r.service.store.Revision(ctx)
	if err != nil {
		return err
	}
	if !req.Since.IsZero() {
		if first, err = r.service.store.RevisionAt(ctx, req.Since.Add(-revisionSlack)); err != nil {
			return err
		}
	}
	r.timeline, err = r.service.store.Timeline(ctx, first, max(last, newest))
	return err
}

// run reads and decides, the one ahead of the other.
func (r *replay) run(ctx context.Context, q audit.Query, after, through int64) error {
	type window struct {
		decisions []Recorded
		through   int64
	}
	windows := make(chan window, replayAhead) // a reader that is further ahead waits
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(windows)
		for at := after; at < through; {
			next := min(at+replayWindow, through)
			decisions, err := r.service.decisions.Decisions(ctx, q, at, next)
			if err != nil {
				return err
			}
			select {
			case windows <- window{decisions, next}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			at = next
		}
		return nil
	})
	g.Go(func() error {
		for w := range windows {
			for i := range w.decisions {
				if err := r.decide(&w.decisions[i]); err != nil {
					return err
				}
			}
			r.progress.Read = w.through - after
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := r.say(); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// say reports progress when it is time to.
func (r *replay) say() error {
	now := r.service.clock.Now()
	if r.tell == nil || now.Sub(r.told) < progressEvery {
		return nil
	}
	r.told = now
	return r.tell(r.progress)
}

// decide makes one decision again.
func (r *replay) decide(d *Recorded) error {
	if r.hides && d.Unseen {
		return nil
	}
	if d.Decision == nil {
		r.cannot(causeEntry)
		return nil
	}
	q, err := recorded.Query(d.Decision, d.Time)
	if err != nil {
		r.cannot(cause(d.Decision))
		return nil //nolint:nilerr // that is counted
	}
	entities, ok := r.entities(d.Decision.Revision)
	if !ok {
		r.cannot(causeRevision)
		return nil
	}
	answer := asCalled(r.set, entities, q)
	r.progress.Replayed++
	r.report.replayed++
	change := policy.Replayed{Recorded: policy.Recorded{Query: q, Permit: d.Decision.Permitted}, Answer: answer}.Change()
	if change == policy.ChangeNone {
		return nil
	}
	already := r.base != nil && asCalled(r.base, entities, q).Permit == answer.Permit
	r.report.add(d, q, change, answer, already)
	return nil
}

func (r *replay) cannot(why string) {
	r.progress.NotReplayable++
	r.report.causes[why]++
}

// entities returns those of a revision, or those of now.
func (r *replay) entities(revision int64) (policy.Entities, bool) {
	if r.timeline == nil {
		return r.now, true
	}
	if revision != r.revision {
		at, ok := r.timeline.At(uint64(revision))
		if !ok || revision < 0 {
			return nil, false
		}
		r.at, r.revision = at, revision
	}
	return r.at, true
}

// asCalled decides as calls are decided: what may not be seen may not be called, and
// what may not be called is not seen.
func asCalled(p *policy.Replayer, e policy.Entities, q policy.Query) policy.Answer {
	decide := func(q policy.Query) policy.Answer { return p.Replay(e, policy.Recorded{Query: q}).Answer }
	answer := decide(q)
	if !answer.Permit || q.Resource.Type != policy.TypeAgent || q.Principal.Type == policy.TypeAnonymous || !policy.Invoke.Includes(q.Action) {
		return answer
	}
	if q.Action == policy.Discover {
		if settled, visible := policy.Visible(decide, q); !visible {
			return settled
		}
		return answer
	}
	q.Action = policy.Discover
	if discover := decide(q); !discover.Permit {
		return discover
	}
	return answer
}

// GetReplay returns what a replay came to, or ErrReplayNotFound.
func (s *Service) GetReplay(ctx context.Context, uid uuid.UUID) (Replay, error) {
	r, err := s.store.Replay(ctx, uid)
	if err != nil {
		return Replay{}, fmt.Errorf("get replay %s: %w", uid, err)
	}
	return r, nil
}

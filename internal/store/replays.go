package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

var _ admin.Decisions = (*Events)(nil)

// CreateReplay implements [admin.ReplayStore].
func (s *Store) CreateReplay(ctx context.Context, r admin.Replay) error {
	report, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return fault(s.queries.ReplayInsert(ctx, s.pool, dbsqlc.ReplayInsertParams{
		UID: r.UID, DraftSHA256: r.DraftSHA256[:], PolicyID: r.Policy, Author: r.Author, Teams: r.Teams, Report: report, CreateTime: r.CreateTime,
	}))
}

// Replay implements [admin.ReplayStore].
func (s *Store) Replay(ctx context.Context, uid uuid.UUID) (admin.Replay, error) {
	row, err := s.queries.ReplayGet(ctx, s.pool, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return admin.Replay{}, admin.ErrReplayNotFound
	}
	if err != nil {
		return admin.Replay{}, fault(err)
	}
	var r admin.Replay
	if err := json.Unmarshal(row.Report, &r); err != nil {
		return admin.Replay{}, fmt.Errorf("read replay %s: %w", uid, err)
	}
	r.UID, r.Author, r.Teams, r.CreateTime = row.UID, row.Author, row.Teams, row.CreateTime.UTC()
	copy(r.DraftSHA256[:], row.DraftSHA256)
	return r, nil
}

// First implements [admin.Decisions].
func (s *Events) First(ctx context.Context, since time.Time) (int64, error) {
	var first int64
	err := s.readOnly(ctx, func(tx pgx.Tx) error {
		// An event is ingested after its time, unless clocks differ.
		return tx.QueryRow(ctx, "SELECT event_sequence FROM events WHERE ingest_time >= $1 ORDER BY event_sequence LIMIT 1", since.Add(-maxClockSkew)).Scan(&first)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for the first event: %w", err)
	}
	return first, nil
}

// readOnly runs queries within the time that queries have.
func (s *Events) readOnly(ctx context.Context, f func(tx pgx.Tx) error) error {
	begin := fmt.Sprintf("BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL statement_timeout = %d",
		max(s.queryTime.Milliseconds(), 1))
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, f)
	if isState(err, stateCanceled) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", audit.ErrQueryTooSlow, err)
	}
	return fault(err)
}

// Of a call of an agent the decision is in the opening; the closing is read only where
// it may hold another one.
const decisionSelect = `SELECT event_sequence, invocation_id, event_time, plane, team, caller, opened_entry,
	CASE WHEN plane = 'MANAGEMENT' THEN closed_entry END
FROM events `

// Decisions implements [admin.Decisions].
func (s *Events) Decisions(ctx context.Context, q audit.Query, after, through int64) ([]admin.Recorded, error) {
	w, err := wanted(q)
	if err != nil {
		return nil, err
	}
	w.add("event_sequence >", after)
	w.add("event_sequence <=", through)
	w.addRaw("outcome <> 'SUMMARY'") // which stands for calls without a decision
	var all []admin.Recorded
	err = s.readOnly(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, decisionSelect+w.text.String()+" ORDER BY event_sequence", w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		all = make([]admin.Recorded, 0, through-after)
		for rows.Next() {
			r, err := scanDecision(rows)
			if err != nil {
				return err
			}
			if r.Decision != nil || r.Sequence != 0 {
				all = append(all, r)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read decisions after %d: %w", after, err)
	}
	return all, nil
}

// scanDecision reads a row. It returns nothing for a call about which nothing was
// decided, and no decision where the entry cannot be read.
func scanDecision(rows pgx.Rows) (admin.Recorded, error) {
	var r admin.Recorded
	var invocation pgtype.UUID
	var plane string
	var opened, closed pgtype.DriverBytes // which are gone with the next row
	if err := rows.Scan(&r.Sequence, &invocation, &r.Time, &plane, &r.Team, &r.Caller, &opened, &closed); err != nil {
		return admin.Recorded{}, err
	}
	r.Invocation, r.Time, r.Plane = invocation.Bytes, r.Time.UTC(), audit.Plane(plane)
	var err error
	if r.Decision, r.Unseen, err = decisionIn(opened, closed); err != nil {
		if errors.Is(err, audit.ErrMalformed) {
			return r, nil
		}
		return admin.Recorded{}, err
	}
	if r.Decision == nil {
		return admin.Recorded{}, nil
	}
	return r, nil
}

// decisionIn returns the decision of a call, nil when nothing was decided, and whether the
// caller did not see what it was about.
func decisionIn(opened, closed []byte) (d *audit.Decision, unseen bool, err error) {
	if closed != nil {
		e, err := mergeEvent(opened, closed)
		return e.Decision, e.Unseen(), err
	}
	if opened == nil {
		return nil, false, nil
	}
	e, err := audit.DecodeEntry(opened)
	return e.Opening.Decision, e.Unseen(), err
}

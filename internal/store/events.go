package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/filter"
)

// Get returns the event of an invocation.
func (s *Events) Get(ctx context.Context, invocation uuid.UUID, scope audit.Scope) (audit.Event, error) {
	w := scoped(scope)
	w.add("invocation_id =", invocation)
	events, err := s.selectEvents(ctx, w, "LIMIT 1")
	if err != nil {
		return audit.Event{}, fmt.Errorf("get event %s: %w", invocation, err)
	}
	if len(events) == 0 {
		return audit.Event{}, audit.ErrEventNotFound
	}
	return events[0], nil
}

// List returns a page of events, the newest first.
func (s *Events) List(ctx context.Context, q audit.Query, before int64, size int) (audit.Page, error) {
	w, tail, err := listed(q, before, size)
	if err != nil {
		return audit.Page{}, err
	}
	events, err := s.selectEvents(ctx, w, tail)
	if err != nil {
		return audit.Page{}, fmt.Errorf("list events: %w", err)
	}
	if len(events) <= size {
		return audit.Page{Events: events}, nil
	}
	events = events[:size]
	return audit.Page{Events: events, Next: events[size-1].Sequence}, nil
}

// listed is the query of List.
func listed(q audit.Query, before int64, size int) (w *where, tail string, err error) {
	if w, err = wanted(q); err != nil {
		return nil, "", err
	}
	if before > 0 {
		w.add("event_sequence <", before)
	}
	// One more tells whether there is another page.
	return w, "ORDER BY event_sequence DESC LIMIT " + w.value(size+1), nil
}

// After returns the events after a sequence, the oldest first.
func (s *Events) After(ctx context.Context, q audit.Query, after, through int64, limit int) ([]audit.Event, error) {
	w, err := wanted(q)
	if err != nil {
		return nil, err
	}
	w.add("event_sequence >", after)
	w.add("event_sequence <=", through)
	events, err := s.selectEvents(ctx, w, "ORDER BY event_sequence LIMIT "+w.value(limit))
	if err != nil {
		return nil, fmt.Errorf("read events after %d: %w", after, err)
	}
	return events, nil
}

// Head returns the sequence of the newest event.
func (s *Events) Head(ctx context.Context) (int64, error) {
	head, err := s.queries.EventHead(ctx, s.pool)
	if err != nil {
		return 0, fault(fmt.Errorf("read the head of the events: %w", err))
	}
	return head, nil
}

// stateCanceled is the SQLSTATE of a statement whose time was over.
const stateCanceled = "57014"

// where is a condition of SQL: fixed text, and values as parameters.
type where struct {
	text strings.Builder
	args []any
}

// value makes v a parameter and returns its name.
func (w *where) value(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

// add adds a condition that ends in a value.
func (w *where) add(condition string, v any) { w.addRaw(condition + " " + w.value(v)) }

func (w *where) addRaw(condition string) {
	if w.text.Len() == 0 {
		w.text.WriteString("WHERE ")
	} else {
		w.text.WriteString(" AND ")
	}
	w.text.WriteString(condition)
}

// scoped begins a condition with what the reader may see.
func scoped(scope audit.Scope) *where {
	w := &where{}
	switch {
	case scope.All():
	case len(scope.Teams()) == 1:
		w.add("team =", scope.Teams()[0])
	default: // of none, nothing
		w.addRaw("team = ANY(" + w.value(scope.Teams()) + "::text[])")
	}
	return w
}

// wanted turns a query into SQL.
func wanted(q audit.Query) (*where, error) {
	w := scoped(q.Scope)
	for _, c := range q.Conditions {
		column, ok := eventColumn(c.Field)
		if !ok {
			return nil, fmt.Errorf("events have no column for %q", c.Field)
		}
		var v any = c.Value
		if c.Field == audit.FieldTime {
			v = c.Time
		}
		switch c.Op {
		case filter.Equal, filter.Less, filter.LessOrEqual, filter.Greater, filter.GreaterOrEqual:
			w.add(column+" "+string(c.Op), v)
		case filter.NotEqual:
			w.add(column+" <>", v)
		case filter.Has:
			w.addRaw("strpos(lower(" + column + "), lower(" + w.value(v) + ")) > 0")
		default:
			return nil, fmt.Errorf("events have no operator %q", c.Op)
		}
		if c.Field == audit.FieldTime && (c.Op == filter.Greater || c.Op == filter.GreaterOrEqual || c.Op == filter.Equal) {
			// An event is ingested after its time, unless the clocks of the gateway and of
			// Postgres differ. This rules partitions out, which the time does not.
			w.add("ingest_time >=", c.Time.Add(-maxClockSkew))
		}
	}
	return w, nil
}

// maxClockSkew is how far a gateway's clock may be ahead of Postgres's before a search by
// time misses its events.
const maxClockSkew = time.Hour

func eventColumn(field string) (string, bool) {
	switch field {
	case audit.FieldAgent, audit.FieldTeam, audit.FieldCaller, audit.FieldMethod, audit.FieldOutcome, audit.FieldUpstreamDialect,
		audit.FieldPlane, audit.FieldResource:
		return field, true
	case audit.FieldTime:
		return "event_time", true
	default:
		return "", false
	}
}

const eventSelect = `SELECT event_sequence, ingest_time, invocation_id, event_time, event_count, outcome, method, agent, agent_uid,
	caller, caller_uid, team, task_id, context_id, trace_id, upstream_dialect, plane, resource, replica_uid, replica_epoch,
	opened_entry, closed_entry
FROM events `

// selectEvents is the one query that sqlc does not make: which conditions it has, and so
// which index serves it, depends on the filter. It has a time limit in the database,
// which tells a query that asks for too much from a database that does not answer.
func (s *Events) selectEvents(ctx context.Context, w *where, tail string) ([]audit.Event, error) {
	var events []audit.Event
	// A plan for any values would lock every partition, and guess what a LIMIT is.
	begin := fmt.Sprintf("BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL statement_timeout = %d",
		max(s.queryTime.Milliseconds(), 1))
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		// The arguments are complete: tail and its value were made before.
		result, err := tx.Query(ctx, eventSelect+w.text.String()+" "+tail, w.args...)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(result, scanEvent)
		return err
	})
	if isState(err, stateCanceled) {
		return nil, fmt.Errorf("%w: %w", audit.ErrQueryTooSlow, err)
	}
	return events, fault(err)
}

func scanEvent(row pgx.CollectableRow) (audit.Event, error) {
	var c audit.Event // what the columns say
	var agent, caller *uuid.UUID
	var opened, closed []byte
	err := row.Scan(&c.Sequence, &c.IngestTime, &c.Invocation, &c.Time, &c.Count, &c.Outcome, &c.Method, &c.Agent, &agent,
		&c.Caller, &caller, &c.Team, &c.TaskID, &c.ContextID, &c.TraceID, &c.UpstreamDialect, &c.Plane, &c.Resource,
		&c.Replica, &c.Epoch, &opened, &closed)
	if err != nil {
		return audit.Event{}, err
	}
	c.IngestTime, c.Time = c.IngestTime.UTC(), c.Time.UTC()
	e, err := mergeEvent(opened, closed)
	if errors.Is(err, audit.ErrMalformed) {
		// A newer version wrote it. The columns are less, but right.
		if agent != nil {
			c.AgentUID = *agent
		}
		if caller != nil {
			c.CallerUID = *caller
		}
		return c, nil
	}
	e.Sequence, e.IngestTime, e.Replica, e.Epoch = c.Sequence, c.IngestTime, c.Replica, c.Epoch
	return e, err
}

// mergeEvent makes an event of the stored bytes.
func mergeEvent(opened, closed []byte) (audit.Event, error) {
	var o, c *audit.Entry
	for data, to := range map[*[]byte]**audit.Entry{&opened: &o, &closed: &c} {
		if *data == nil {
			continue
		}
		e, err := audit.DecodeEntry(*data)
		if err != nil {
			return audit.Event{}, err
		}
		*to = &e
	}
	return audit.Merge(o, c)
}

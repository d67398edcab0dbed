package store

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/signalbox-dev/signalbox/internal/audit"
)

// eventRow is an event before it is a row.
type eventRow struct {
	event audit.Event
	pair  audit.Pair
}

// eventColumns are the columns that copyEvents gives, in its order. sqlc could make
// both, but pgx turns its uuid.UUID into text and back, which cost more than all the
// rest of shipping an event.
var eventColumns = []string{
	"event_sequence", "ingest_time", "invocation_id", "event_time", "event_count", "outcome", "method", "agent", "agent_uid",
	"caller", "caller_uid", "team", "task_id", "context_id", "trace_id", "upstream_dialect", "plane", "resource", "replica_uid", "replica_epoch",
	"opened_number", "closed_number", "opened_entry", "closed_entry",
}

// copyEvents gives rows to COPY.
func copyEvents(rows []eventRow) pgx.CopyFromSource {
	values := make([]any, len(eventColumns))
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		e, p := &rows[i].event, &rows[i].pair
		var epoch int64
		var openedNumber, closedNumber pgtype.Int8
		var openedEntry, closedEntry []byte
		if p.Closed != nil {
			epoch, closedEntry = signed(p.Closed.Epoch), p.Closed.Data
			closedNumber = pgtype.Int8{Int64: signed(p.Closed.Number), Valid: true}
		}
		if p.Opened != nil {
			epoch, openedEntry = signed(p.Opened.Epoch), p.Opened.Data
			openedNumber = pgtype.Int8{Int64: signed(p.Opened.Number), Valid: true}
		}
		// pgx has encoded a row before it asks for the next.
		return append(values[:0],
			e.Sequence, e.IngestTime, nullable(e.Invocation), e.Time, e.Count, string(e.Outcome), e.Method, e.Agent, nullable(e.AgentUID),
			e.Caller, nullable(e.CallerUID), e.Team, e.TaskID, e.ContextID, e.TraceID, e.UpstreamDialect, string(e.Plane), e.Resource, nullable(e.Replica), epoch,
			openedNumber, closedNumber, openedEntry, closedEntry,
		), nil
	})
}

// nullable returns NULL for the id of nothing.
func nullable(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// Events is the record in a migrated database: the replicas' entries become events
// there, and are read.
type Events struct {
	pool    *pgxpool.Pool
	queries *dbsqlc.Queries
	// queryTime bounds queries whose cost depends on what the reader asks for.
	queryTime time.Duration
}

var (
	_ audit.Ledger = (*Events)(nil)
	_ audit.Events = (*Events)(nil)
)

// NewEvents returns the record that pool's database holds.
func NewEvents(pool *pgxpool.Pool) *Events {
	return &Events{pool: pool, queries: dbsqlc.New(), queryTime: queryTime}
}

// queryTime leaves a reader that has 10 s as much again to wait for a connection.
const queryTime = 5 * time.Second

// beginAppend also bounds for how long a process that hangs in the middle can keep the
// others from appending.
const beginAppend = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"

// Register makes p the process that ships for its replica.
func (s *Events) Register(ctx context.Context, p audit.Process) (uint64, error) {
	through, err := s.queries.ReplicaRegister(ctx, s.pool, dbsqlc.ReplicaRegisterParams{
		ReplicaUID: p.Replica, ReplicaEpoch: signed(p.Epoch), InstanceID: p.Instance,
	})
	if err != nil {
		return 0, fault(fmt.Errorf("register: %w", err))
	}
	return unsigned(through), nil
}

// Heartbeat is a sign of life.
func (s *Events) Heartbeat(ctx context.Context, p audit.Process, servedRevision int64) error {
	n, err := s.queries.ReplicaHeartbeat(ctx, s.pool, dbsqlc.ReplicaHeartbeatParams{
		ReplicaUID: p.Replica, InstanceID: p.Instance, ServedRevision: servedRevision,
	})
	if err != nil {
		return fault(fmt.Errorf("heartbeat: %w", err))
	}
	if n == 0 {
		return audit.ErrReplaced
	}
	return nil
}

// Leave says that p's replica serves no calls until it is registered again.
func (s *Events) Leave(ctx context.Context, p audit.Process) error {
	err := s.queries.ReplicaStop(ctx, s.pool, dbsqlc.ReplicaStopParams{ReplicaUID: p.Replica, InstanceID: p.Instance})
	if err != nil {
		return fault(fmt.Errorf("stop replica: %w", err))
	}
	return nil
}

// Recorded returns those of the calls that have an event, and those that are open.
func (s *Events) Recorded(ctx context.Context, invocations []uuid.UUID) (ended, open []uuid.UUID, err error) {
	// In this order none is missed that ends in between.
	if open, err = s.queries.OpenInvocations(ctx, s.pool, invocations); err != nil {
		return nil, nil, fault(fmt.Errorf("look for openings: %w", err))
	}
	if ended, err = s.queries.EventInvocations(ctx, s.pool, invocations); err != nil {
		return nil, nil, fault(fmt.Errorf("look for events: %w", err))
	}
	return ended, open, nil
}

// Ship appends the events that the entries finish.
func (s *Events) Ship(ctx context.Context, p audit.Process, entries []audit.SpooledEntry) (audit.Shipment, error) {
	var out audit.Shipment
	err := s.appending(ctx, func(ctx context.Context, a *appender) error {
		out = audit.Shipment{}
		through, err := a.lockReplica(ctx, p)
		if err != nil {
			return err
		}
		out.Through = through
		first := slices.IndexFunc(entries, func(e audit.SpooledEntry) bool { return e.Number > through })
		if first < 0 {
			return nil
		}
		fresh := entries[first:]
		out.Through = fresh[len(fresh)-1].Number
		pairing := audit.PairUp(fresh)
		if out.Late, err = a.finish(ctx, p, pairing.Events); err != nil {
			return err
		}
		out.Events = len(a.rows)
		if err := a.keepOpen(ctx, p, pairing.Open); err != nil {
			return err
		}
		for _, e := range pairing.Unreadable {
			if err := a.setAside(ctx, p.Replica, signed(e.Epoch), signed(e.Number), e.Data, e.Fault); err != nil {
				return err
			}
		}
		err = a.queries.ReplicaAdvance(ctx, a.tx, dbsqlc.ReplicaAdvanceParams{
			ReplicaUID: p.Replica, ShippedThrough: signed(out.Through),
		})
		if err != nil {
			return fmt.Errorf("advance replica: %w", err)
		}
		return nil
	})
	if err != nil {
		return audit.Shipment{}, err
	}
	return out, nil
}

// Interrupt ends the record of calls of earlier runs of p's replica.
func (s *Events) Interrupt(ctx context.Context, p audit.Process, through uint64, limit int) (int, error) {
	n := 0
	err := s.appending(ctx, func(ctx context.Context, a *appender) error {
		if _, err := a.lockReplica(ctx, p); err != nil {
			return err
		}
		open, err := a.queries.OpenInvocationTakeThrough(ctx, a.tx, dbsqlc.OpenInvocationTakeThroughParams{
			ReplicaUID: p.Replica, Through: signed(through), MaxRows: rows(limit),
		})
		if err != nil {
			return fmt.Errorf("take openings: %w", err)
		}
		n = len(open)
		return a.interrupt(ctx, open)
	})
	return n, err
}

// WriteOff ends the record of calls of replicas that gave no sign of life for age.
func (s *Events) WriteOff(ctx context.Context, p audit.Process, age time.Duration, limit int) (int, error) {
	n := 0
	err := s.appending(ctx, func(ctx context.Context, a *appender) error {
		open, err := a.queries.OpenInvocationTakeAbandoned(ctx, a.tx, dbsqlc.OpenInvocationTakeAbandonedParams{
			ReplicaUID: p.Replica, AgeSeconds: age.Seconds(), MaxRows: rows(limit),
		})
		if err != nil {
			return fmt.Errorf("take openings: %w", err)
		}
		n = len(open)
		return a.interrupt(ctx, open)
	})
	return n, err
}

// appender collects the events of one transaction that holds the head.
type appender struct {
	tx      pgx.Tx
	queries *dbsqlc.Queries
	rows    []eventRow
}

// appending runs f while nobody else appends, then appends what f collected. The lock
// on the head is the total order: who reads sequence n can read every one before.
func (s *Events) appending(ctx context.Context, f func(ctx context.Context, a *appender) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: beginAppend}, func(tx pgx.Tx) error {
		a := &appender{tx: tx, queries: s.queries}
		head, err := a.queries.EventHeadLock(ctx, tx)
		if err != nil {
			return fmt.Errorf("lock head: %w", err)
		}
		if err := f(ctx, a); err != nil {
			return err
		}
		if len(a.rows) == 0 {
			return nil
		}
		return a.insert(ctx, head)
	})
	return fault(err)
}

func (a *appender) insert(ctx context.Context, head dbsqlc.EventHeadLockRow) error {
	now, err := a.queries.EventTime(ctx, a.tx)
	if err != nil {
		return fmt.Errorf("read the time: %w", err)
	}
	// The clock of a database can go back; the order of ingest times may not.
	if now.Before(head.LastIngestTime) {
		now = head.LastIngestTime
	}
	sequence := head.LastSequence
	for i := range a.rows {
		sequence++
		a.rows[i].event.Sequence, a.rows[i].event.IngestTime = sequence, now
	}
	if _, err := a.tx.CopyFrom(ctx, pgx.Identifier{"events"}, eventColumns, copyEvents(a.rows)); err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	err = a.queries.EventHeadAdvance(ctx, a.tx, dbsqlc.EventHeadAdvanceParams{LastSequence: sequence, LastIngestTime: now})
	if err != nil {
		return fmt.Errorf("advance head: %w", err)
	}
	return nil
}

// lockReplica returns how far p's replica is shipped. It comes after the lock on the
// head, always.
func (a *appender) lockReplica(ctx context.Context, p audit.Process) (uint64, error) {
	r, err := a.queries.ReplicaLock(ctx, a.tx, p.Replica)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fmt.Errorf("replica %s is not registered: %w", p.Replica, audit.ErrReplaced)
	case err != nil:
		return 0, fmt.Errorf("lock replica: %w", err)
	case r.InstanceID != p.Instance:
		return 0, audit.ErrReplaced
	}
	return unsigned(r.ShippedThrough), nil
}

// finish collects the events of finished calls, and returns those that have one already.
func (a *appender) finish(ctx context.Context, p audit.Process, pairs []audit.Pair) (late []uuid.UUID, err error) {
	var missing []uuid.UUID
	for _, pair := range pairs {
		if pair.Opened == nil {
			missing = append(missing, pair.Closed.Entry.Invocation())
		}
	}
	open, recorded, err := a.earlier(ctx, p.Replica, missing)
	if err != nil {
		return nil, err
	}
	for _, pair := range pairs {
		if pair.Opened == nil {
			id := pair.Closed.Entry.Invocation()
			if recorded[id] {
				late = append(late, id)
				continue
			}
			if row, ok := open[id]; ok {
				if pair.Opened, err = reopened(row); err != nil {
					return nil, err
				}
			}
			// Neither open nor recorded: the opening was lost with its disk. The closing
			// alone still is the record of a call.
			recorded[id] = true
		}
		if err := a.add(p.Replica, pair); err != nil {
			return nil, err
		}
	}
	return late, nil
}

// earlier returns which of the calls are open, and which have an event.
func (a *appender) earlier(ctx context.Context, replica uuid.UUID, ids []uuid.UUID) (
	open map[uuid.UUID]dbsqlc.OpenInvocation, recorded map[uuid.UUID]bool, err error,
) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	taken, err := a.queries.OpenInvocationTake(ctx, a.tx, dbsqlc.OpenInvocationTakeParams{ReplicaUID: replica, Ids: ids})
	if err != nil {
		return nil, nil, fmt.Errorf("take openings: %w", err)
	}
	open = make(map[uuid.UUID]dbsqlc.OpenInvocation, len(taken))
	for _, row := range taken {
		open[row.InvocationID] = row
	}
	recorded = make(map[uuid.UUID]bool)
	unknown := slices.DeleteFunc(ids, func(id uuid.UUID) bool { _, ok := open[id]; return ok })
	if len(unknown) == 0 {
		return open, recorded, nil
	}
	known, err := a.queries.EventInvocations(ctx, a.tx, unknown)
	if err != nil {
		return nil, nil, fmt.Errorf("look for events: %w", err)
	}
	for _, id := range known {
		recorded[id] = true
	}
	return open, recorded, nil
}

// reopened reads an opening that was kept.
func reopened(row dbsqlc.OpenInvocation) (*audit.SpooledEntry, error) {
	entry, err := audit.DecodeEntry(row.OpenedEntry)
	if err != nil {
		return nil, fmt.Errorf("read the opening of call %s: %w", row.InvocationID, err)
	}
	return &audit.SpooledEntry{
		Number: unsigned(row.OpenedNumber), Epoch: unsigned(row.ReplicaEpoch), Data: row.OpenedEntry, Entry: entry,
	}, nil
}

// interrupt collects the events of calls that nobody will close.
func (a *appender) interrupt(ctx context.Context, open []dbsqlc.OpenInvocation) error {
	slices.SortFunc(open, func(x, y dbsqlc.OpenInvocation) int {
		return cmp.Or(slices.Compare(x.ReplicaUID[:], y.ReplicaUID[:]), cmp.Compare(x.OpenedNumber, y.OpenedNumber))
	})
	for _, row := range open {
		opened, err := reopened(row)
		if err != nil {
			err = a.setAside(ctx, row.ReplicaUID, row.ReplicaEpoch, row.OpenedNumber, row.OpenedEntry, err)
		} else {
			err = a.add(row.ReplicaUID, audit.Pair{Opened: opened})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add collects the event of a pair of entries.
func (a *appender) add(replica uuid.UUID, pair audit.Pair) error {
	var opened, closed *audit.Entry
	if pair.Opened != nil {
		opened = &pair.Opened.Entry
	}
	if pair.Closed != nil {
		closed = &pair.Closed.Entry
	}
	e, err := audit.Merge(opened, closed)
	if err != nil {
		return err
	}
	e.Replica = replica
	a.rows = append(a.rows, eventRow{event: e, pair: pair})
	return nil
}

func (a *appender) keepOpen(ctx context.Context, p audit.Process, open []*audit.SpooledEntry) error {
	if len(open) == 0 {
		return nil
	}
	arg := dbsqlc.OpenInvocationInsertParams{ReplicaUID: p.Replica}
	for _, e := range open {
		arg.InvocationIds = append(arg.InvocationIds, e.Entry.Invocation())
		arg.ReplicaEpochs = append(arg.ReplicaEpochs, signed(e.Epoch))
		arg.OpenedNumbers = append(arg.OpenedNumbers, signed(e.Number))
		arg.OpenedEntries = append(arg.OpenedEntries, e.Data)
	}
	if _, err := a.queries.OpenInvocationInsert(ctx, a.tx, arg); err != nil {
		return fmt.Errorf("keep openings: %w", err)
	}
	return nil
}

func (a *appender) setAside(ctx context.Context, replica uuid.UUID, epoch, number int64, data []byte, why error) error {
	err := a.queries.UnreadableEntryInsert(ctx, a.tx, dbsqlc.UnreadableEntryInsertParams{
		ReplicaUID: replica, ReplicaEpoch: epoch, EntryNumber: number, Entry: data, Fault: printable(why.Error()),
	})
	if err != nil {
		return fmt.Errorf("set entry %d aside: %w", number, err)
	}
	return nil
}

// signed and unsigned convert numbers and epochs, which count from 1 and never come
// near the end of either.
func signed(n uint64) int64   { return int64(n) }
func unsigned(n int64) uint64 { return uint64(n) }

// rows is a LIMIT.
func rows(n int) int32 { return int32(min(n, 1<<20)) }

// printable returns text that Postgres takes.
func printable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

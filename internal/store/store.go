// Package store keeps what Signalbox knows in Postgres. It implements the ports of
// the domain packages, turns rows into their types and database errors into theirs,
// and decides nothing.
package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/semaphore"

	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
)

// Store is the configuration in a migrated database.
type Store struct {
	pool    *pgxpool.Pool
	queries *dbsqlc.Queries
	// writers has a place for each write of configuration of this process; one that must
	// be alone takes all of them.
	writers *semaphore.Weighted
}

// maxWriters is more than there ever are at one time.
const maxWriters = 1 << 30

// New returns the configuration that pool's database holds.
func New(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, queries: dbsqlc.New(), writers: semaphore.NewWeighted(maxWriters)}
}

// The SQLSTATEs that are told apart.
const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
)

// maxAttempts bounds how often a transaction is tried that others got in the way of.
const maxAttempts = 5

// InTx runs f in a transaction and commits unless f fails. When Postgres ended the
// transaction because of a concurrent one, f runs again from the start, so it must
// have no effects but on tx; inside it nothing may touch the pool.
func (s *Store) InTx(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	return s.inTx(ctx, pgx.TxOptions{}, f)
}

func (s *Store) inTx(ctx context.Context, opts pgx.TxOptions, f func(ctx context.Context, tx pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := pgx.BeginTxFunc(ctx, s.pool, opts, func(tx pgx.Tx) error { return f(ctx, tx) })
		inTheWay := isState(err, stateSerialization) || isState(err, stateDeadlock)
		if !inTheWay || attempt == maxAttempts {
			return fault(err)
		}
	}
}

// UnavailableError says that the database did not answer.
type UnavailableError struct{ Err error }

// Error returns the cause.
func (e *UnavailableError) Error() string { return "database unavailable: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// DatabaseUnavailable tells this error from others where this package is not imported.
func (e *UnavailableError) DatabaseUnavailable() bool { return true }

// fault marks errors that mean that the database cannot be reached or is going
// down; everything else stays as it is.
func fault(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*UnavailableError](err); ok {
		return err
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Class 57 is operator intervention, 53 insufficient resources, 08 the connection.
		switch class := pgErr.Code[:min(2, len(pgErr.Code))]; {
		case class == "57" && pgErr.Code != "57014", class == "53", class == "08":
			return &UnavailableError{Err: err}
		}
		return err
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return &UnavailableError{Err: err}
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[net.Error](err); ok || pgconn.Timeout(err) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &UnavailableError{Err: err}
	}
	return err
}

func isState(err error, state string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == state
}

// errUnchanged ends a transaction that turned out to have nothing to write.
var errUnchanged = errors.New("nothing to change")

// change is one entry of the configuration's history.
type change struct {
	kind, verb    string
	uid           uuid.UUID
	name          string
	author        string
	reason        string // in the author's words; may be empty
	before, after any    // documents without secrets; nil where there is none
	at            time.Time
}

// configure writes configuration. f writes the resource and says what changed. The
// revision is taken first: that row lock makes f the only writer, so what f reads
// stays true until the commit.
func (s *Store) configure(ctx context.Context, f func(ctx context.Context, tx pgx.Tx, revision int64) (change, error)) (int64, error) {
	return s.configureWith(ctx, 1, f)
}

// configureAlone is configure for writes that wait, while they keep others from writing,
// until this replica has the revision before theirs. No other write of this process may
// wait for them with a connection then, as the replica needs one.
func (s *Store) configureAlone(ctx context.Context, f func(ctx context.Context, tx pgx.Tx, revision int64) (change, error)) (int64, error) {
	return s.configureWith(ctx, maxWriters, f)
}

func (s *Store) configureWith(
	ctx context.Context, places int64, f func(ctx context.Context, tx pgx.Tx, revision int64) (change, error),
) (int64, error) {
	if err := s.writers.Acquire(ctx, places); err != nil {
		return 0, err
	}
	defer s.writers.Release(places)
	var revision int64
	err := s.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		revision, err = s.queries.ConfigurationRevisionAdvance(ctx, tx)
		if err != nil {
			return fmt.Errorf("advance revision: %w", err)
		}
		c, err := f(ctx, tx, revision)
		if err != nil {
			return err
		}
		if err := s.note(ctx, tx, revision, c); err != nil {
			return err
		}
		if err := s.queries.ConfigurationNotify(ctx, tx, strconv.FormatInt(revision, 10)); err != nil {
			return fmt.Errorf("notify replicas: %w", err)
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		// The revision that was taken is given back, so the one before is the newest
		// that the caller can have seen.
		return revision - 1, nil
	}
	return revision, err
}

// also notes a change that comes along with the one that configure writes, and after it,
// under a revision of its own, and returns that.
func (s *Store) also(ctx context.Context, tx pgx.Tx, c change) (int64, error) {
	revision, err := s.queries.ConfigurationRevisionAdvance(ctx, tx)
	if err != nil {
		return 0, fmt.Errorf("advance revision: %w", err)
	}
	return revision, s.note(ctx, tx, revision, c)
}

// note appends a change to the history.
func (s *Store) note(ctx context.Context, tx pgx.Tx, revision int64, c change) error {
	before, err := document(c.before)
	if err != nil {
		return err
	}
	after, err := document(c.after)
	if err != nil {
		return err
	}
	err = s.queries.ConfigChangeInsert(ctx, tx, dbsqlc.ConfigChangeInsertParams{
		Revision: revision, ResourceKind: c.kind, ResourceUID: c.uid, ResourceName: c.name, Verb: c.verb,
		Author: c.author, Reason: c.reason, BeforeState: before, AfterState: after, ChangeTime: c.at,
	})
	if err != nil {
		return fmt.Errorf("append to history: %w", err)
	}
	return nil
}

func document(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write history document: %w", err)
	}
	return doc, nil
}

// newEtag returns an etag that was never used before.
func newEtag() string { return rand.Text() }

// optional returns nil for the zero time, which stands for "never".
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// moment returns the zero time for nil, and UTC otherwise.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// onlyTeam is the argument of an optional team filter.
func onlyTeam(team string) *string {
	if team == "" {
		return nil
	}
	return &team
}

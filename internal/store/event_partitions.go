package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PartitionsConfig says how partitions of events are made.
type PartitionsConfig struct {
	// Pool is required.
	Pool *pgxpool.Pool
	// Months is the number of months that have a partition ahead of time, the present one
	// among them; 0 means 3.
	Months int
	// Every is the time between two looks; 0 means 1 h.
	Every time.Duration
	// Logger gets what did not work; nil discards.
	Logger *slog.Logger
}

// Partitions makes monthly partitions of events ahead of time. A month without one loses
// nothing: its events wait in the default partition. Any number of replicas may run it.
type Partitions struct {
	cfg PartitionsConfig
}

// NewPartitions returns a maker of partitions.
func NewPartitions(cfg PartitionsConfig) (*Partitions, error) {
	if cfg.Pool == nil {
		return nil, errors.New("store: PartitionsConfig.Pool is required")
	}
	if cfg.Months == 0 {
		cfg.Months = 3
	}
	if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Partitions{cfg: cfg}, nil
}

const (
	// partitionLock keeps two replicas from making the same partition.
	partitionLock = 0x5167_6e61_6c62_6f78
	// partitionWait bounds how long readers queue behind a partition that waits for
	// another reader to end. There are many more occasions.
	partitionWait = "SET LOCAL lock_timeout = '2s'"
	// stateLockTimeout is the SQLSTATE of a statement that waited for longer.
	stateLockTimeout = "55P03"
	// partitionRetry is the time until the next look after one that did not work.
	partitionRetry = time.Minute
)

// Run makes partitions at once and from time to time, until ctx ends, and returns nil.
func (p *Partitions) Run(ctx context.Context) error {
	for {
		next := p.cfg.Every
		if err := p.ensure(ctx); err != nil && ctx.Err() == nil {
			p.warn(ctx, err)
			next = min(next, partitionRetry)
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Ensure makes the partitions that are missing, and moves into each the events of its
// month that the default partition holds. When readers were in the way for too long it
// logs that and returns nil: the default partition serves until Run has more luck.
func (p *Partitions) Ensure(ctx context.Context) error {
	err := p.ensure(ctx)
	if isState(err, stateLockTimeout) {
		p.warn(ctx, err)
		return nil
	}
	return err
}

func (p *Partitions) warn(ctx context.Context, err error) {
	p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "partitions of events not made, the default one serves", slog.Any("error", err))
}

// ensure ends at the first month that does not work: the next would meet the same.
func (p *Partitions) ensure(ctx context.Context) error {
	var now time.Time
	if err := p.cfg.Pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return fault(fmt.Errorf("read the time: %w", err))
	}
	now = now.UTC()
	present := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	// Those to come are first: to make them in time is what keeps events from straying.
	var months []time.Time
	for i := range p.cfg.Months {
		months = append(months, present.AddDate(0, i, 0))
	}
	strays, err := p.strayMonths(ctx)
	if err != nil {
		return err
	}
	for _, month := range append(months, strays...) {
		if err := p.ensureMonth(ctx, month); err != nil {
			return fault(fmt.Errorf("partition of %s: %w", month.Format("2006-01"), err))
		}
	}
	return nil
}

// strayMonths returns the months of events in the default partition.
func (p *Partitions) strayMonths(ctx context.Context) ([]time.Time, error) {
	rows, err := p.cfg.Pool.Query(ctx,
		"SELECT DISTINCT date_trunc('month', ingest_time AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' FROM events_default LIMIT 100")
	if err != nil {
		return nil, fault(fmt.Errorf("look into the default partition: %w", err))
	}
	months, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, fault(fmt.Errorf("look into the default partition: %w", err))
	}
	for i := range months {
		months[i] = months[i].UTC()
	}
	return months, nil
}

func (p *Partitions) ensureMonth(ctx context.Context, month time.Time) error {
	name := "events_" + month.Format("200601")
	exists, err := partitionExists(ctx, p.cfg.Pool, name)
	if err != nil || exists {
		return err
	}
	return pgx.BeginFunc(ctx, p.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, partitionWait); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(partitionLock)); err != nil {
			return err
		}
		if exists, err := partitionExists(ctx, tx, name); err != nil || exists {
			return err
		}
		return attach(ctx, tx, name, month)
	})
}

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func partitionExists(ctx context.Context, db queryer, name string) (bool, error) {
	var exists bool
	err := db.QueryRow(ctx, `SELECT EXISTS (
		SELECT FROM pg_inherits WHERE inhparent = 'events'::regclass AND inhrelid = to_regclass($1)
	)`, name).Scan(&exists)
	return exists, err
}

// attach makes the partition of a month. To make it apart and attach it lets appending
// and reading go on, which CREATE TABLE … PARTITION OF does not.
func attach(ctx context.Context, tx pgx.Tx, name string, month time.Time) error {
	table := pgx.Identifier{name}.Sanitize()
	// DDL takes no parameters; these are dates and a name made of one.
	from, to := month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339)
	for _, sql := range []string{
		// From here nothing more falls into the default partition.
		"LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE",
		"CREATE TABLE " + table + " (LIKE events INCLUDING ALL)",
		fmt.Sprintf(`WITH moved AS (
			DELETE FROM events_default WHERE ingest_time >= '%s' AND ingest_time < '%s' RETURNING *
		) INSERT INTO %s SELECT * FROM moved`, from, to, table),
		fmt.Sprintf("ALTER TABLE events ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')", table, from, to),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

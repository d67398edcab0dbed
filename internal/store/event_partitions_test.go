package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func partitions(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func newPartitions(t *testing.T, cfg store.PartitionsConfig) *store.Partitions {
	t.Helper()
	p, err := store.NewPartitions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPartitions_AreMadeAheadByManyReplicasWhileEventsCome(t *testing.T) {
	pool := pgtest.New(t)
	const calls = 200
	r := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) { c.MaxBatch = 3 })
	var wg sync.WaitGroup
	wg.Go(func() {
		for range calls {
			r.end(r.open(), audit.Succeeded)
			r.drain()
		}
	})
	for range 4 {
		wg.Go(func() {
			if err := newPartitions(t, store.PartitionsConfig{Pool: pool}).Ensure(context.Background()); err != nil {
				t.Errorf("Ensure: %v", err)
			}
		})
	}
	wg.Wait()
	want := []string{}
	now := time.Now().UTC()
	for i := range 3 {
		want = append(want, "events_"+time.Date(now.Year(), now.Month()+time.Month(i), 1, 0, 0, 0, 0, time.UTC).Format("200601"))
	}
	want = append(want, "events_default")
	if diff := cmp.Diff(want, partitions(t, pool)); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	events := recorded(t, pool)
	checkOrder(t, events)
	if len(events) != calls {
		t.Errorf("%d events of %d calls", len(events), calls)
	}
	if n := rowCount(t, pool, "events_default"); n != 0 {
		t.Errorf("%d events are in the default partition", n)
	}
}

// Without anybody to make partitions, events wait in the default one, and move when
// somebody does.
func TestPartitions_TakeWhatFellIntoTheDefaultOne(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	var want []uuid.UUID
	for range 20 {
		o := r.open()
		r.end(o, audit.Succeeded)
		want = append(want, o.Invocation)
	}
	r.drain()
	// Half of them are of long ago.
	_, err := pool.Exec(t.Context(), "UPDATE events SET ingest_time = ingest_time - interval '3 months' WHERE event_sequence <= 10")
	if err != nil {
		t.Fatal(err)
	}
	before := recorded(t, pool)
	if n := rowCount(t, pool, "events_default"); n != 20 {
		t.Fatalf("%d events are in the default partition, want all", n)
	}
	p := newPartitions(t, store.PartitionsConfig{Pool: pool, Months: 2})
	for range 2 {
		if err := p.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := rowCount(t, pool, "events_default"); n != 0 {
		t.Errorf("%d events are still in the default partition", n)
	}
	if diff := cmp.Diff(before, recorded(t, pool)); diff != "" {
		t.Errorf("events (-before +after):\n%s", diff)
	}
	if got := partitions(t, pool); len(got) != 4 {
		t.Errorf("partitions = %v, want the month of long ago, two ahead and the default", got)
	}
	for _, id := range want {
		if _, err := store.NewEvents(pool).Get(t.Context(), id, audit.AllTeams()); err != nil {
			t.Errorf("Get: %v", err)
		}
	}
}

// Whoever reads events for long must not keep a gateway from starting.
func TestPartitions_AReaderInTheWayIsNoFault(t *testing.T) {
	pool := pgtest.New(t)
	reader, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(context.Background()) }()
	if _, err := reader.Exec(t.Context(), "SELECT count(*) FROM events"); err != nil {
		t.Fatal(err)
	}
	log := &watch{}
	p := newPartitions(t, store.PartitionsConfig{Pool: pool, Logger: log.logger()})
	if err := p.Ensure(t.Context()); err != nil {
		t.Errorf("Ensure = %v while somebody reads, want nil", err)
	}
	if n := log.count("partitions of events not made, the default one serves"); n != 1 {
		t.Errorf("logged %d times that there are no partitions, want once", n)
	}
	r := startReplica(t, pool, t.TempDir())
	r.end(r.open(), audit.Succeeded)
	r.drain()
	if n := rowCount(t, pool, "events_default"); n != 1 {
		t.Errorf("%d events are in the default partition, want the one", n)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := partitions(t, pool); len(got) != 4 {
		t.Errorf("partitions = %v, want three months and the default", got)
	}
}

func TestPartitions_AnUnreachableDatabaseIsAFault(t *testing.T) {
	pool := pgtest.New(t)
	p := newPartitions(t, store.PartitionsConfig{Pool: pool})
	pool.Close()
	if err := p.Ensure(t.Context()); err == nil {
		t.Error("Ensure = nil without a database")
	}
}

func TestPartitions_RunMakesThemAtOnceAndEndsWithItsContext(t *testing.T) {
	pool := pgtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	p := newPartitions(t, store.PartitionsConfig{Pool: pool, Months: 3})
	go func() { done <- p.Run(ctx) }()
	poll(t, "three partitions", func() bool { return len(partitions(t, pool)) == 4 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// The indexes that a list needs must exist on partitions that were made apart.
func TestPartitions_HaveTheIndexesOfEvents(t *testing.T) {
	pool := pgtest.New(t)
	if err := newPartitions(t, store.PartitionsConfig{Pool: pool, Months: 1}).Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	var attached, wanted int
	err := pool.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass),
		(SELECT count(*) FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid WHERE indrelid = to_regclass($1))`,
		partitions(t, pool)[0]).Scan(&wanted, &attached)
	if err != nil {
		t.Fatal(err)
	}
	if attached != wanted || wanted < 5 {
		t.Errorf("the partition has %d indexes of %d", attached, wanted)
	}
}

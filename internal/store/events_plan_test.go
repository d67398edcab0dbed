package store_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// fillMonths makes events of the past months, 3 000 each, a partition for each, and
// returns the names of the partitions, the newest first.
func fillMonths(t *testing.T, pool *pgxpool.Pool, months int) []string {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO events
		SELECT n, at, gen_random_uuid(), at - interval '1 s', 1, 'SUCCEEDED', 'SendMessage', 'agent-' || n % 50, NULL,
			'teams/t/keys/k', NULL, 'team-' || n % 50, '', '', '', gen_random_uuid(), 1, n, NULL, '{}', NULL
		FROM generate_series(1, 3000 * $1) AS n,
			LATERAL (SELECT date_trunc('month', now(), 'UTC') - interval '1 month' * ($1 - 1 - (n - 1) / 3000)
				+ interval '1 s' * (n % 3000)) AS t (at)`, months)
	if err != nil {
		t.Fatal(err)
	}
	if err := newPartitions(t, store.PartitionsConfig{Pool: pool, Months: 1}).Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "VACUUM ANALYZE events"); err != nil {
		t.Fatal(err)
	}
	names := partitions(t, pool)
	slices.Reverse(names)
	if len(names) != months+1 || names[0] != "events_default" {
		t.Fatalf("partitions = %v, want %d months", names, months)
	}
	return names[1:]
}

// explain returns the plan of a list.
func explain(t *testing.T, pool *pgxpool.Pool, q audit.Query) string {
	t.Helper()
	sql, args, err := store.ListSQL(q, 0, 50)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func TestList_WithoutAFilterReadsInTheOrderOfTheKey(t *testing.T) {
	pool := pgtest.New(t)
	fillMonths(t, pool, 4)
	plan := explain(t, pool, query(t, audit.AllTeams(), ""))
	if strings.Contains(plan, "Sort Method") || strings.Contains(plan, "Seq Scan on events_2") || !strings.Contains(plan, "_pkey") {
		t.Errorf("the list sorts or reads tables as a whole:\n%s", plan)
	}
}

func TestList_OfManagementDoesNotReadTheCallsAmongThem(t *testing.T) {
	pool := pgtest.New(t)
	fillMonths(t, pool, 2)
	if _, err := pool.Exec(t.Context(), `UPDATE events SET plane = 'MANAGEMENT', resource = 'agents/a-' || event_sequence
		WHERE event_sequence % 1000 = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "VACUUM ANALYZE events"); err != nil {
		t.Fatal(err)
	}
	for filter, index := range map[string]string{
		"plane=MANAGEMENT": "event_sequence_idx", `resource="agents/a-2000"`: "resource_event_sequence_idx",
	} {
		plan := explain(t, pool, query(t, audit.AllTeams(), filter))
		if strings.Contains(plan, "Rows Removed by Filter") || !strings.Contains(plan, index) {
			t.Errorf("%s reads calls:\n%s", filter, plan)
		}
	}
}

func TestList_OfATimeReadsItsPartitionsAlone(t *testing.T) {
	pool := pgtest.New(t)
	months := fillMonths(t, pool, 6)
	present, err := time.Parse("events_200601", months[0])
	if err != nil {
		t.Fatal(err)
	}
	inside := present.Add(10 * time.Minute)
	tests := map[string]struct {
		filter string
		want   []string
	}{
		// An event of the first minutes of a month may have been ingested by a clock that
		// is in the month before.
		"near a boundary": {"time>=" + inside.Format(time.RFC3339), months[:2]},
		"since long":      {"time>" + present.AddDate(0, -2, 0).Add(2*time.Hour).Format(time.RFC3339), months[:3]},
		"since":           {"time>=" + present.Add(2*time.Hour).Format(time.RFC3339), months[:1]},
		"a moment":        {"time=" + present.Add(2*time.Hour).Format(time.RFC3339), months[:1]},
		"until":           {"time<" + inside.Format(time.RFC3339), months},
	}
	partition := regexp.MustCompile(`events_2\d{5}\b`)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			plan := explain(t, pool, query(t, audit.AllTeams(), tc.filter))
			var got []string
			for line := range strings.SplitSeq(plan, "\n") {
				if name := partition.FindString(line); name != "" && strings.Contains(line, " on ") {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			slices.Reverse(got)
			if diff := cmp.Diff(tc.want, slices.Compact(got)); diff != "" {
				t.Errorf("partitions (-want +got):\n%s\n%s", diff, plan)
			}
		})
	}
}

// Many partitions must not exhaust the locks of a server.
func TestList_LocksFewPartitionsWhenItHasATime(t *testing.T) {
	pool := pgtest.New(t)
	fillMonths(t, pool, 12)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	sql, args, err := store.ListSQL(query(t, audit.AllTeams(), "time>="+time.Now().UTC().Format(time.RFC3339)), 0, 50)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
	var locks int
	if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()").Scan(&locks); err != nil {
		t.Fatal(err)
	}
	if locks > 40 {
		t.Errorf("a list of the present holds %d locks", locks)
	}
}

func TestEvents_AQueryThatTakesTooLongIsNotAnUnreachableDatabase(t *testing.T) {
	pool := pgtest.New(t)
	events := store.NewEvents(pool)
	store.LimitQueries(events, 50*time.Millisecond)
	q := query(t, audit.AllTeams(), "")
	reads := map[string]func(ctx context.Context) error{
		"List":  func(ctx context.Context) error { _, err := events.List(ctx, q, 0, 10); return err },
		"After": func(ctx context.Context) error { _, err := events.After(ctx, q, 0, 10, 10); return err },
	}
	// Nothing reads past this lock.
	lock, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback(context.Background()) }()
	if _, err := lock.Exec(t.Context(), "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	for name, read := range reads {
		if err := read(t.Context()); !errors.Is(err, audit.ErrQueryTooSlow) || unreachable(err) {
			t.Errorf("%s = %v, want ErrQueryTooSlow", name, err)
		}
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, read := range reads {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s after the lock = %v", name, err)
		}
	}
	thaw := pgtest.Freeze(t)
	defer thaw()
	for name, read := range reads {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := read(ctx); errors.Is(err, audit.ErrQueryTooSlow) || !unreachable(err) {
			t.Errorf("%s without an answer = %v, want an unreachable database", name, err)
		}
		cancel()
	}
}

func unreachable(err error) bool {
	_, ok := errors.AsType[*store.UnavailableError](err)
	return ok
}

func TestTail_ManyWithOneWatcherAllSeeEveryEvent(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	const tails = 40
	events := store.NewEvents(pool)
	watcher := audit.NewWatcher(events, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, done := make(chan audit.Event, 1000), make(chan error, tails)
	zero := int64(0)
	for i := range tails {
		go func() {
			done <- audit.Tail(ctx, audit.TailConfig{
				Events: events, Query: audit.Query{Scope: audit.AllTeams()}, Watch: watcher, Caller: fmt.Sprint(i % 3), After: &zero,
			}, func(e audit.Event) error { got <- e; return nil })
		}()
	}
	const calls = 5
	for range calls {
		r.end(r.open(), audit.Succeeded)
		r.drain()
	}
	limit := time.After(30 * time.Second)
	for range tails * calls {
		select {
		case <-got:
		case <-limit:
			t.Fatal("not every tail sent every event")
		}
	}
	cancel()
	for range tails {
		if err := <-done; err != nil {
			t.Errorf("Tail = %v", err)
		}
	}
}

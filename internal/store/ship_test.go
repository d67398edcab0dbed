package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// replica is one run of a gateway, as far as its record goes.
type replica struct {
	t        testing.TB
	dir      string
	pool     *pgxpool.Pool
	spool    *spool.Spool
	recorder *audit.SpoolRecorder
	shipper  *audit.Shipper
}

// startReplica opens the data directory dir and starts a shipper into pool's database.
func startReplica(t testing.TB, pool *pgxpool.Pool, dir string, change ...func(*audit.ShipperConfig)) *replica {
	t.Helper()
	sp, err := spool.Open(spool.Config{Dir: dir, SegmentBytes: 256 << 10, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, dir: dir, pool: pool, spool: sp}
	t.Cleanup(r.stop)
	r.recorder, err = audit.NewRecorder(audit.RecorderConfig{Spool: sp})
	if err != nil {
		t.Fatal(err)
	}
	cfg := audit.ShipperConfig{
		Spool: sp, Ledger: store.NewEvents(pool), Replica: sp.Replica(), Epoch: sp.Epoch(), Interval: 4 * time.Millisecond,
		ServedRevision: func() int64 { return 7 },
	}
	for _, f := range change {
		f(&cfg)
	}
	r.shipper, err = audit.NewShipper(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.shipper.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replica) stop() {
	if err := r.spool.Close(); err != nil && !errors.Is(err, spool.ErrClosed) {
		r.t.Error(err)
	}
}

// run runs the shipper until the returned function is called.
func (r *replica) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.shipper.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("Run: %v", err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *replica) drain() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.shipper.Drain(ctx); err != nil {
		r.t.Fatalf("Drain: %v", err)
	}
}

func (r *replica) open(change ...func(*audit.Opening)) *audit.Opening {
	r.t.Helper()
	o := &audit.Opening{
		Invocation: uuid.Must(uuid.NewV7()), Time: time.Now().UTC().Truncate(time.Microsecond),
		Caller: "teams/demo/keys/k", CallerUID: uuid.New(), Team: "demo", Agent: "echo", AgentUID: uuid.New(), Method: "SendMessage",
		Endpoint: "http://127.0.0.1:1", ContextID: "c", RequestBytes: 3,
	}
	for _, f := range change {
		f(o)
	}
	if err := r.recorder.Open(o); err != nil {
		r.t.Fatal(err)
	}
	return o
}

func (r *replica) end(o *audit.Opening, outcome audit.Outcome) {
	r.t.Helper()
	c := &audit.Closing{
		Invocation: o.Invocation, Duration: time.Millisecond, Outcome: outcome, TaskID: "learned", ResponseBytes: 5, HTTPStatus: 200,
	}
	if err := r.recorder.Close(c); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) refuse() uuid.UUID {
	r.t.Helper()
	o := &audit.Opening{Invocation: uuid.Must(uuid.NewV7()), Time: time.Now(), Agent: "nobody", SourceAddress: "192.0.2.1"}
	err := r.recorder.Refuse(o, &audit.Closing{
		Invocation: o.Invocation, Outcome: audit.Refused, HTTPStatus: 404, Error: &audit.CallError{Code: -31404, Reason: "AGENT_NOT_FOUND"},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return o.Invocation
}

// recorded returns every event, in order.
func recorded(t testing.TB, pool *pgxpool.Pool) []audit.Event {
	t.Helper()
	events := store.NewEvents(pool)
	head, err := events.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all, err := events.After(context.Background(), audit.Query{Scope: audit.AllTeams()}, 0, head, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkOrder fails unless sequences are consecutive from 1, ingest times never go back
// and no call has two events.
func checkOrder(t testing.TB, events []audit.Event) {
	t.Helper()
	seen := make(map[uuid.UUID]bool, len(events))
	for i, e := range events {
		if e.Sequence != int64(i+1) {
			t.Fatalf("event %d has sequence %d", i+1, e.Sequence)
		}
		if i > 0 && e.IngestTime.Before(events[i-1].IngestTime) {
			t.Errorf("event %d was ingested at %s, before the one in front of it", e.Sequence, e.IngestTime)
		}
		if seen[e.Invocation] {
			t.Errorf("call %s has two events", e.Invocation)
		}
		seen[e.Invocation] = true
	}
}

// outcomesOf returns how each call ended.
func outcomesOf(events []audit.Event) map[uuid.UUID]audit.Outcome {
	out := make(map[uuid.UUID]audit.Outcome, len(events))
	for _, e := range events {
		out[e.Invocation] = e.Outcome
	}
	return out
}

func rowCount(t testing.TB, pool *pgxpool.Pool, table string) (n int) {
	t.Helper()
	sql := "SELECT count(*) FROM " + pgx.Identifier{table}.Sanitize()
	if err := pool.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestShip_EachCallBecomesOneEvent(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	first := r.open()
	second := r.open()
	refused := r.refuse()
	r.end(second, audit.Failed)
	r.end(first, audit.Succeeded)
	for range 23 {
		o := &audit.Opening{Invocation: uuid.Must(uuid.NewV7()), Time: time.Now(), SourceAddress: "192.0.2.1"}
		if err := r.recorder.RefuseUnauthenticated(o, &audit.Closing{Invocation: o.Invocation, Outcome: audit.Refused}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.recorder.Flush(); err != nil {
		t.Fatal(err)
	}
	r.drain()

	events := recorded(t, pool)
	checkOrder(t, events)
	var calls int64
	for _, e := range events {
		calls += e.Count
		if e.Replica != uuid.UUID(r.spool.Replica()) || e.Epoch != 1 {
			t.Errorf("event %d is of replica %s, epoch %d", e.Sequence, e.Replica, e.Epoch)
		}
	}
	if len(events) != 24 || calls != 26 {
		t.Fatalf("%d events of %d calls, want 24 of 26", len(events), calls)
	}
	// A call has its place where it ended.
	want := []uuid.UUID{refused, second.Invocation, first.Invocation}
	if diff := cmp.Diff(want, []uuid.UUID{events[0].Invocation, events[1].Invocation, events[2].Invocation}); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	wantEvent := audit.Event{
		Sequence: 3, IngestTime: events[2].IngestTime, Invocation: first.Invocation, Replica: r.spool.Replica(), Epoch: 1,
		Plane: audit.PlaneData,
		Time:  first.Time, Duration: time.Millisecond, Outcome: audit.Succeeded, Count: 1,
		Caller: first.Caller, CallerUID: first.CallerUID, Team: "demo", Agent: "echo", AgentUID: first.AgentUID,
		Endpoint: first.Endpoint, Method: "SendMessage", TaskID: "learned", ContextID: "c",
		RequestBytes: 3, ResponseBytes: 5, HTTPStatus: 200,
	}
	if diff := cmp.Diff(wantEvent, events[2]); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if n := rowCount(t, pool, "open_invocations"); n != 0 {
		t.Errorf("%d openings are left", n)
	}
	if got := r.spool.Stats().Unreleased; got != 0 {
		t.Errorf("%d entries are not released", got)
	}
}

func TestShip_ClosingsFindOpeningsOfEarlierBatches(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) { c.MaxBatch = 7 })
	want := make(map[uuid.UUID]audit.Outcome)
	var open []*audit.Opening
	for i := range 100 {
		open = append(open, r.open())
		if i%3 == 0 {
			o := open[len(open)/2]
			open = append(open[:len(open)/2:len(open)/2], open[len(open)/2+1:]...)
			r.end(o, audit.Succeeded)
			want[o.Invocation] = audit.Succeeded
		}
		if i%10 == 0 {
			r.drain()
		}
	}
	r.drain()
	if got := rowCount(t, pool, "open_invocations"); got != len(open) {
		t.Errorf("%d openings wait, want %d", got, len(open))
	}
	for _, o := range open {
		r.end(o, audit.CallerLeft)
		want[o.Invocation] = audit.CallerLeft
	}
	r.drain()
	events := recorded(t, pool)
	checkOrder(t, events)
	if diff := cmp.Diff(want, outcomesOf(events)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	for _, e := range events {
		if e.Agent != "echo" || e.TaskID != "learned" {
			t.Errorf("event %d has agent %q and task %q, want both halves", e.Sequence, e.Agent, e.TaskID)
		}
	}
}

// forgetful is a spool that dies before it is told what is safe.
type forgetful struct{ *spool.Spool }

func (forgetful) Release(uint64) error { return nil }

func TestShip_AfterACrashBehindTheCommitDoublesNothing(t *testing.T) {
	pool := pgtest.New(t)
	dir := t.TempDir()
	first := startReplica(t, pool, dir, func(c *audit.ShipperConfig) {
		sp, _ := c.Spool.(*spool.Spool)
		c.Spool = forgetful{sp}
	})
	want := make(map[uuid.UUID]audit.Outcome)
	for range 50 {
		o := first.open()
		first.end(o, audit.Succeeded)
		want[o.Invocation] = audit.Succeeded
	}
	stays := first.open()
	first.drain()
	// These were not shipped.
	o := first.open()
	first.end(o, audit.Failed)
	want[o.Invocation] = audit.Failed
	lost := first.open()
	first.stop()

	second := startReplica(t, pool, dir)
	o = second.open()
	second.end(o, audit.Succeeded)
	want[o.Invocation] = audit.Succeeded
	second.drain()
	want[stays.Invocation], want[lost.Invocation] = audit.Interrupted, audit.Interrupted
	events := recorded(t, pool)
	checkOrder(t, events)
	if diff := cmp.Diff(want, outcomesOf(events)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestShip_SameBatchTwiceChangesNothing(t *testing.T) {
	pool := pgtest.New(t)
	events := store.NewEvents(pool)
	p := audit.Process{Replica: uuid.New(), Epoch: 1, Instance: uuid.New()}
	if _, err := events.Register(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r := startReplica(t, pool, t.TempDir())
	r.end(r.open(), audit.Succeeded)
	r.open()
	entries := spooled(t, r.spool)
	for i := range 3 {
		got, err := events.Ship(t.Context(), p, entries)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 1}[i == 0]; got.Through != 3 || got.Events != want {
			t.Errorf("time %d: %+v, want %d events and all 3 entries shipped", i+1, got, want)
		}
	}
	// A batch that overlaps, as after a shipper with another bound.
	got, err := events.Ship(t.Context(), p, entries[1:])
	if err != nil || got.Through != 3 || len(recorded(t, pool)) != 1 {
		t.Errorf("overlapping batch: %+v, %v", got, err)
	}
}

func spooled(t *testing.T, sp *spool.Spool) []audit.SpooledEntry {
	t.Helper()
	records, err := sp.Read(0, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []audit.SpooledEntry
	for _, r := range records {
		e := audit.SpooledEntry{Number: r.Number, Epoch: r.Epoch, Time: r.Time, Data: r.Data}
		e.Entry, e.Fault = audit.DecodeEntry(r.Data)
		out = append(out, e)
	}
	return out
}

func TestShipper_CallsOfEarlierRunsBecomeInterrupted(t *testing.T) {
	pool := pgtest.New(t)
	dir := t.TempDir()
	want := make(map[uuid.UUID]audit.Outcome)
	for run := range 3 {
		r := startReplica(t, pool, dir, func(c *audit.ShipperConfig) { c.MaxBatch = 4 })
		for i := range 10 {
			o := r.open()
			want[o.Invocation] = audit.Interrupted
			if i%2 == 0 {
				r.end(o, audit.Succeeded)
				want[o.Invocation] = audit.Succeeded
			}
			if i == 5 && run > 0 {
				r.drain()
			}
		}
		r.stop()
	}
	r := startReplica(t, pool, dir)
	live := r.open()
	r.drain()
	events := recorded(t, pool)
	checkOrder(t, events)
	if diff := cmp.Diff(want, outcomesOf(events)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	r.end(live, audit.Succeeded)
	r.drain()
	if got := outcomesOf(recorded(t, pool))[live.Invocation]; got != audit.Succeeded {
		t.Errorf("the call of the present run ended %q, want SUCCEEDED", got)
	}
}

func TestShipper_ManyReplicasMakeOneGaplessOrder(t *testing.T) {
	pool := pgtest.New(t)
	const replicas, calls = 4, 400
	var wg sync.WaitGroup
	for range replicas {
		r := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) { c.MaxBatch = 50 })
		stop := r.run()
		wg.Go(func() {
			for range calls {
				r.end(r.open(), audit.Succeeded)
			}
			r.drain()
			stop()
		})
	}
	// A reader never sees a sequence before all that come before it.
	readerDone := make(chan int)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		n := 0
		zero := int64(0)
		err := audit.Tail(ctx, audit.TailConfig{
			Events: store.NewEvents(pool), Query: audit.Query{Scope: audit.AllTeams()}, After: &zero, Poll: time.Millisecond,
		}, func(e audit.Event) error {
			if n++; e.Sequence != int64(n) {
				return fmt.Errorf("event %d comes as number %d", e.Sequence, n)
			}
			if n == replicas*calls {
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Errorf("Tail: %v", err)
		}
		readerDone <- n
	}()
	wg.Wait()
	if n := <-readerDone; n != replicas*calls {
		t.Errorf("the tail saw %d events, want %d", n, replicas*calls)
	}
	checkOrder(t, recorded(t, pool))
}

func TestShipper_GoesOnAfterPostgresWasAway(t *testing.T) {
	pool := pgtest.New(t)
	log := &watch{}
	r := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) {
		c.Timeout, c.Logger = 200*time.Millisecond, log.logger()
	})
	want := make(map[uuid.UUID]audit.Outcome)
	call := func(n int) {
		for range n {
			o := r.open()
			r.end(o, audit.Succeeded)
			want[o.Invocation] = audit.Succeeded
		}
	}
	stop := r.run()
	call(20)
	thaw := pgtest.Freeze(t)
	open := r.open() // recorded without Postgres
	for range 20 {
		call(5)
	}
	log.await(t, "events stay in the spool for now")
	r.end(open, audit.Failed)
	want[open.Invocation] = audit.Failed
	thaw()
	log.await(t, "events are shipped again")
	call(20)
	r.drain()
	stop()
	events := recorded(t, pool)
	checkOrder(t, events)
	if diff := cmp.Diff(want, outcomesOf(events)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if n := log.count("events stay in the spool for now"); n != 1 {
		t.Errorf("the outage was logged %d times, want once", n)
	}
}

// A data directory that was restored from an old copy gives out numbers that the
// database knows already, unless it is kept from it.
func TestShipper_RestoredDirectoryLosesAndDoublesNothing(t *testing.T) {
	pool := pgtest.New(t)
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	want := make(map[uuid.UUID]audit.Outcome)
	call := func(r *replica, n int) {
		for range n {
			o := r.open()
			r.end(o, audit.Succeeded)
			want[o.Invocation] = audit.Succeeded
		}
	}
	r := startReplica(t, pool, dir)
	call(r, 5)
	open := r.open()
	r.stop() // nothing of it is shipped
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r = startReplica(t, pool, dir)
	call(r, 30)
	later := r.open()
	r.drain()
	r.stop()

	r = startReplica(t, pool, backup)
	call(r, 3)
	r.drain()
	call(r, 40)
	r.drain()
	want[open.Invocation], want[later.Invocation] = audit.Interrupted, audit.Interrupted
	events := recorded(t, pool)
	checkOrder(t, events)
	if diff := cmp.Diff(want, outcomesOf(events)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestShipper_OfACopiedDirectoryIsStopped(t *testing.T) {
	pool := pgtest.New(t)
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	startReplica(t, pool, dir).stop()
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	first := startReplica(t, pool, dir)
	second := startReplica(t, pool, other)
	first.end(first.open(), audit.Succeeded)
	second.end(second.open(), audit.Succeeded)
	second.drain()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := first.shipper.Drain(ctx); !errors.Is(err, audit.ErrReplaced) {
		t.Errorf("Drain of the first = %v, want ErrReplaced: its entries would pass for shipped", err)
	}
	if got := first.spool.Stats().Unreleased; got != 2 {
		t.Errorf("the first keeps %d entries, want its 2", got)
	}
}

package store_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// watch keeps log messages, so that a test can wait for one.
type watch struct {
	mu       sync.Mutex
	messages []string
	changed  chan struct{}
}

func (w *watch) Enabled(context.Context, slog.Level) bool { return true }
func (w *watch) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *watch) WithGroup(string) slog.Handler            { return w }

func (w *watch) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages = append(w.messages, r.Message)
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	return nil
}

func (w *watch) logger() *slog.Logger { return slog.New(w) }

func (w *watch) count(message string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.messages {
		if m == message {
			n++
		}
	}
	return n
}

func (w *watch) await(t *testing.T, message string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		w.mu.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		if w.count(message) > 0 {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%q was not logged", message)
		}
	}
}

// age makes a replica look as if it had been silent for some time.
func age(t *testing.T, r *replica, d time.Duration) {
	t.Helper()
	_, err := r.pool.Exec(t.Context(), "UPDATE replicas SET heartbeat_time = now() - $1::interval WHERE replica_uid = $2",
		d, uuid.UUID(r.spool.Replica()))
	if err != nil {
		t.Fatal(err)
	}
}

func TestShipper_CallsOfALostReplicaBecomeInterrupted(t *testing.T) {
	pool := pgtest.New(t)
	lost, quiet := startReplica(t, pool, t.TempDir()), startReplica(t, pool, t.TempDir())
	returns, gone, alive := lost.open(), lost.open(), quiet.open()
	lost.drain()
	quiet.drain()
	age(t, lost, 61*time.Minute)
	age(t, quiet, 59*time.Minute)

	log := &watch{}
	other := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) {
		c.WriteOffEvery, c.Logger = 20*time.Millisecond, log.logger()
	})
	mine := other.open()
	other.drain()
	stop := other.run()
	log.await(t, "calls of lost replicas were interrupted")
	stop()
	want := map[uuid.UUID]audit.Outcome{returns.Invocation: audit.Interrupted, gone.Invocation: audit.Interrupted}
	if diff := cmp.Diff(want, outcomesOf(recorded(t, pool))); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}

	// The replica was only cut off. What it says now about those calls comes too late
	// for an event of their own; all else counts.
	lost.end(returns, audit.Succeeded)
	fresh := lost.open()
	lost.end(fresh, audit.Succeeded)
	lost.drain()
	quiet.end(alive, audit.Succeeded)
	quiet.drain()
	other.end(mine, audit.Succeeded)
	other.drain()
	want[fresh.Invocation], want[alive.Invocation], want[mine.Invocation] = audit.Succeeded, audit.Succeeded, audit.Succeeded
	events := recorded(t, pool)
	checkOrder(t, events)
	if diff := cmp.Diff(want, outcomesOf(events)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if n := rowCount(t, pool, "open_invocations"); n != 0 {
		t.Errorf("%d openings are left", n)
	}
}

func TestWriteOff_AtTheSameTimeMakesOneEvent(t *testing.T) {
	pool := pgtest.New(t)
	lost := startReplica(t, pool, t.TempDir())
	const calls = 40
	open := make([]*audit.Opening, calls)
	for i := range open {
		open[i] = lost.open()
	}
	lost.drain()
	for _, o := range open {
		lost.end(o, audit.Succeeded)
	}
	age(t, lost, 2*time.Hour)
	events := store.NewEvents(pool)
	var wg sync.WaitGroup
	for range 4 {
		p := audit.Process{Replica: uuid.New(), Epoch: 1, Instance: uuid.New()}
		if _, err := events.Register(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range calls {
				if _, err := events.WriteOff(context.Background(), p, time.Hour, 3); err != nil {
					t.Errorf("WriteOff: %v", err)
				}
			}
		})
	}
	wg.Go(lost.drain)
	wg.Wait()
	got := recorded(t, pool)
	checkOrder(t, got)
	if len(got) != calls {
		t.Errorf("%d events of %d calls", len(got), calls)
	}
}

func TestShip_ClosingWithoutItsOpeningIsStillAnEvent(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	o := &audit.Opening{Invocation: uuid.Must(uuid.NewV7())} // never recorded
	r.end(o, audit.Succeeded)
	r.end(o, audit.Failed) // nor may a second one count
	r.drain()
	r.end(o, audit.Failed)
	r.drain()
	events := recorded(t, pool)
	checkOrder(t, events)
	if len(events) != 1 || events[0].Invocation != o.Invocation || events[0].Outcome != audit.Succeeded || events[0].Time.IsZero() {
		t.Errorf("events = %+v, want one, of the closing alone", events)
	}
}

func TestShip_UnreadableEntryIsKeptAndStopsNothing(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	o := r.open()
	for _, data := range []string{`{"v":9,"kind":"paused"}`, "\x00\xff"} {
		if _, err := r.spool.Append([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	r.end(o, audit.Succeeded)
	r.drain()
	if events := recorded(t, pool); len(events) != 1 || events[0].Outcome != audit.Succeeded {
		t.Errorf("events = %+v, want the one call", events)
	}
	if n := rowCount(t, pool, "unreadable_entries"); n != 2 {
		t.Errorf("%d entries are set aside, want 2", n)
	}
}

func TestHeartbeat_TellsTheServedRevision(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) { c.Heartbeat = time.Millisecond })
	age(t, r, time.Hour)
	defer r.run()()
	poll(t, "a heartbeat with the revision", func() bool {
		var ok bool
		err := pool.QueryRow(t.Context(), "SELECT served_revision = 7 AND heartbeat_time > now() - interval '10 s' FROM replicas").Scan(&ok)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	})
}

// A change must not wait for the next sign of life to be confirmed.
func TestHeartbeat_TellsAnotherRevisionAtOnce(t *testing.T) {
	pool := pgtest.New(t)
	var revision atomic.Int64
	var mu sync.Mutex
	changed := make(chan struct{})
	r := startReplica(t, pool, t.TempDir(), func(c *audit.ShipperConfig) {
		c.Heartbeat = time.Hour
		c.ServedRevision = revision.Load
		c.RevisionChanged = func() <-chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			return changed
		}
	})
	defer r.run()()
	for want := range int64(4) {
		revision.Store(want)
		mu.Lock()
		close(changed)
		changed = make(chan struct{})
		mu.Unlock()
		poll(t, "the revision that is served", func() bool {
			var got int64
			if err := pool.QueryRow(t.Context(), "SELECT served_revision FROM replicas").Scan(&got); err != nil {
				t.Fatal(err)
			}
			return got == want
		})
	}
}

func TestLeave_SaysThatTheReplicaServesNothingUntilItStartsAgain(t *testing.T) {
	pool := pgtest.New(t)
	dir := t.TempDir()
	r := startReplica(t, pool, dir)
	listed := func() int {
		t.Helper()
		replicas, err := store.New(pool).Replicas(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(replicas)
	}
	if n := listed(); n != 1 {
		t.Errorf("%d replicas are listed, want the one that started", n)
	}
	if err := r.shipper.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := listed(); n != 0 {
		t.Errorf("%d replicas are listed after it left", n)
	}
	r.stop()
	startReplica(t, pool, dir)
	if n := listed(); n != 1 {
		t.Errorf("%d replicas are listed after it started again", n)
	}
}

// poll waits for something that another process brings about.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

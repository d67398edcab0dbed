package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
)

// counted is a ledger that counts how often it is asked for its head, which grows by one
// event a minute.
type counted struct {
	growing
	heads atomic.Int64
}

func (c *counted) Head(context.Context) (int64, error) {
	c.heads.Add(1)
	return int64(time.Since(c.start) / time.Minute), nil
}

func TestWatcher_AsksOnceForAllTailsAndNotWithoutAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &counted{growing: growing{start: time.Now()}}
		watcher := audit.NewWatcher(ledger, time.Second)
		for round := range 2 {
			const tails = 200
			before := ledger.heads.Load()
			ctx, cancel := context.WithCancel(t.Context())
			var sent atomic.Int64
			done := make(chan error, tails)
			for i := range tails {
				go func() {
					done <- audit.Tail(ctx, audit.TailConfig{Events: ledger, Watch: watcher, Caller: fmt.Sprint(i % 2)},
						func(audit.Event) error { sent.Add(1); return nil })
				}()
			}
			time.Sleep(10*time.Minute + 20*time.Second) // the bubble's clock
			cancel()
			for range tails {
				if err := <-done; err != nil {
					t.Errorf("Tail = %v", err)
				}
			}
			if n := sent.Load(); n != 10*tails {
				t.Errorf("round %d: %d events were sent, want 10 to each tail", round, n)
			}
			// Each tail asks once where to begin.
			if n := ledger.heads.Load() - before; n < tails+600 || n > tails+630 {
				t.Errorf("round %d: the head was asked for %d times in 620 looks of %d tails", round, n, tails)
			}
			idle := ledger.heads.Load()
			time.Sleep(time.Hour)
			if n := ledger.heads.Load() - idle; n != 0 {
				t.Errorf("round %d: the head was asked for %d times without a tail", round, n)
			}
		}
	})
}

func TestWatcher_BoundsOpenTails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &counted{growing: growing{start: time.Now()}}
		watcher := audit.NewWatcher(ledger, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tail := func(ctx context.Context, caller string) error {
			return audit.Tail(ctx, audit.TailConfig{Events: ledger, Watch: watcher, Caller: caller},
				func(audit.Event) error { return nil })
		}
		ended := make(chan error, audit.MaxTails)
		open := func(ctx context.Context, caller string, n int) {
			for range n {
				go func() { ended <- tail(ctx, caller) }()
			}
			synctest.Wait()
		}
		short, end := context.WithCancel(ctx)
		open(short, "greedy", audit.MaxCallerTails)
		if err := tail(ctx, "greedy"); !errors.Is(err, audit.ErrTooManyTails) {
			t.Errorf("one more tail of a caller: %v, want ErrTooManyTails", err)
		}
		for i := range audit.MaxTails/audit.MaxCallerTails - 1 {
			open(ctx, fmt.Sprint("other ", i), audit.MaxCallerTails)
		}
		if len(ended) != 0 {
			t.Fatalf("a tail ended within the bounds: %v", <-ended)
		}
		if err := tail(ctx, "newcomer"); !errors.Is(err, audit.ErrTooManyTails) {
			t.Errorf("one more tail of all: %v, want ErrTooManyTails", err)
		}
		// Whoever ends tails may open others.
		end()
		for range audit.MaxCallerTails {
			if err := <-ended; err != nil {
				t.Errorf("Tail = %v", err)
			}
		}
		open(ctx, "newcomer", audit.MaxCallerTails)
		if len(ended) != 0 {
			t.Errorf("a tail ended within the bounds again: %v", <-ended)
		}
		cancel()
		for range audit.MaxTails {
			if err := <-ended; err != nil {
				t.Errorf("Tail = %v", err)
			}
		}
	})
}

// stuck is a ledger that does not answer one of its queries.
type stuck struct {
	growing
	head, after bool
}

func (s stuck) Head(ctx context.Context) (int64, error) {
	if s.head && time.Since(s.start) > time.Minute {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 5, nil
}

func (s stuck) After(ctx context.Context, q audit.Query, after, through int64, limit int) ([]audit.Event, error) {
	if s.after {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.growing.After(ctx, q, after, through, limit)
}

func TestTail_EndsWhenTheLedgerDoesNotAnswer(t *testing.T) {
	for name, make := range map[string]func(growing) stuck{
		"head":  func(g growing) stuck { return stuck{growing: g, head: true} },
		"after": func(g growing) stuck { return stuck{growing: g, after: true} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, zero := time.Now(), int64(0)
				err := audit.Tail(t.Context(), audit.TailConfig{Events: make(growing{start: start}), After: &zero},
					func(audit.Event) error { return nil })
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Tail = %v, want the end of its patience", err)
				}
				if took := time.Since(start); took > 2*time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// failing is a ledger whose head cannot be read for a while.
type failing struct {
	growing
	broken *atomic.Bool
}

func (f failing) Head(ctx context.Context) (int64, error) {
	if f.broken.Load() {
		return 0, errBroken
	}
	return f.growing.Head(ctx)
}

func TestWatcher_FailureEndsTheTailsThatWaitAndNoLaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := failing{growing: growing{start: time.Now()}, broken: &atomic.Bool{}}
		watcher := audit.NewWatcher(ledger, time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 3)
		tail := func(after *int64) {
			done <- audit.Tail(ctx, audit.TailConfig{Events: ledger, Watch: watcher, Caller: "a", After: after},
				func(audit.Event) error { return nil })
		}
		go tail(nil)
		go tail(nil)
		synctest.Wait()
		ledger.broken.Store(true)
		for range 2 {
			if err := <-done; !errors.Is(err, errBroken) {
				t.Errorf("Tail = %v, want the ledger's error", err)
			}
		}
		ledger.broken.Store(false)
		go tail(nil)
		time.Sleep(time.Hour)
		if len(done) != 0 {
			t.Errorf("a later tail ended: %v", <-done)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Tail = %v", err)
		}
	})
}

// A tail that is busy sending while news comes is not left waiting for the next news.
func TestWatcher_NewsDuringASendIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		zero, stop := int64(0), errors.New("enough")
		next := int64(0)
		err := audit.Tail(t.Context(), audit.TailConfig{
			Events: growing{start: start}, Watch: audit.NewWatcher(growing{start: start}, time.Second), After: &zero,
		}, func(e audit.Event) error {
			if next++; e.Sequence != next {
				t.Fatalf("event %d comes as number %d", e.Sequence, next)
			}
			if next == 1 {
				time.Sleep(90 * time.Minute) // the second event comes in the meantime
			}
			if next == 2 {
				return stop
			}
			return nil
		})
		// Sent as soon as the first one was, at 1 h and 90 min.
		if took := time.Since(start); !errors.Is(err, stop) || took > 2*time.Hour+31*time.Minute {
			t.Errorf("Tail = %v after %v", err, took)
		}
	})
}

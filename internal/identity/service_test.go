package identity_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

// uses is a store that takes uses alone.
type uses struct {
	identity.Store
	mu      sync.Mutex
	fail    bool
	batches []map[uuid.UUID]time.Time
}

func (u *uses) RecordUses(_ context.Context, batch map[uuid.UUID]time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fail {
		return errors.New("away")
	}
	u.batches = append(u.batches, batch)
	return nil
}

func (u *uses) set(fail bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fail = fail
}

func (u *uses) written() []map[uuid.UUID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.batches
}

func TestRun_WritesUsesInOneStatementEveryHalfMinuteAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &uses{}
		s, err := identity.New(identity.Config{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()

		one, two := uuid.New(), uuid.New()
		s.RecordUse(one)
		s.RecordUse(one)
		s.RecordUse(two)
		time.Sleep(identity.DefaultFlushInterval - time.Second)
		synctest.Wait()
		if n := len(db.written()); n != 0 {
			t.Errorf("%d statements before the interval has passed", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if b := db.written(); len(b) != 1 || len(b[0]) != 2 {
			t.Fatalf("wrote %v, want two keys at once", b)
		}

		// What cannot be written waits, and does not move a later use back.
		db.set(true)
		s.RecordUse(one)
		time.Sleep(identity.DefaultFlushInterval)
		synctest.Wait()
		db.set(false)
		later := time.Now()
		s.RecordUse(one)
		s.RecordUse(two)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if b := db.written(); len(b) != 2 || len(b[1]) != 2 || b[1][one].Before(later.UTC().Truncate(time.Microsecond)) {
			t.Errorf("wrote %v at the end, want both keys with their latest use", b)
		}
	})
}

func TestFlush_WithoutUsesAsksNobody(t *testing.T) {
	s, err := identity.New(identity.Config{Store: &uses{fail: true}, Clock: clock.System{}})
	if err != nil {
		t.Fatal(err)
	}
	s.Flush(t.Context())
}

func TestNew_NeedsAStore(t *testing.T) {
	if _, err := identity.New(identity.Config{}); err == nil {
		t.Error("a service without a store")
	}
}

func TestPreviousSecretExpiry(t *testing.T) {
	now := time.Unix(1000, 0)
	current := identity.Secret{}
	for name, tc := range map[string]struct {
		secrets []identity.Secret
		want    bool
	}{
		"one":       {[]identity.Secret{current}, false},
		"in effect": {[]identity.Secret{current, {ExpireTime: now.Add(time.Second)}}, true},
		"over":      {[]identity.Secret{current, {ExpireTime: now}}, false},
	} {
		if _, got := (identity.Key{Secrets: tc.secrets}).PreviousSecretExpiry(now); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

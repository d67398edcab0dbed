package rollout_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/rollout"
)

// looks answers each look from a function of how long the test runs.
type looks struct {
	at     func(since time.Duration) ([]rollout.Replica, error)
	begin  time.Time
	count  int
	within time.Duration
}

func (l *looks) Replicas(ctx context.Context, within time.Duration) ([]rollout.Replica, error) {
	l.count++
	l.within = within
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.at(time.Since(l.begin))
}

func confirm(t *testing.T, l *looks, wait time.Duration) (rollout.Rollout, time.Duration, error) {
	t.Helper()
	w, err := rollout.New(rollout.Config{Store: l})
	if err != nil {
		t.Fatal(err)
	}
	l.begin = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	r, err := w.Confirm(ctx, 10)
	return r, time.Since(l.begin), err
}

func TestConfirm_ReturnsAsSoonAsAllReplicasServeTheRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := uuid.New(), uuid.New()
		l := &looks{at: func(since time.Duration) ([]rollout.Replica, error) {
			late := rollout.Replica{UID: b, ServedRevision: 9}
			if since > 200*time.Millisecond {
				late.ServedRevision = 11
			}
			return []rollout.Replica{{UID: a, ServedRevision: 10}, late}, nil
		}}
		got, took, err := confirm(t, l, time.Second)
		if diff := cmp.Diff(rollout.Rollout{Revision: 10, Confirmed: 2}, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if took < 200*time.Millisecond || took > 500*time.Millisecond {
			t.Errorf("it took %v, want a little more than 200ms", took)
		}
	})
}

func TestConfirm_WaitsForReplicasThatLiveAndListsTheOthers(t *testing.T) {
	behind := rollout.Replica{UID: uuid.New(), ServedRevision: 9, Silent: rollout.SilentAfter - time.Second}
	silent := rollout.Replica{UID: uuid.New(), ServedRevision: 9, Silent: rollout.SilentAfter}
	tests := []struct {
		name     string
		replicas []rollout.Replica
		want     rollout.Rollout
		took     time.Duration
		looks    int
	}{
		{"nobody", nil, rollout.Rollout{Revision: 10}, 0, 1},
		{"silent", []rollout.Replica{silent}, rollout.Rollout{Revision: 10, Unconfirmed: []rollout.Replica{silent}}, 0, 1},
		{"living", []rollout.Replica{behind, silent}, rollout.Rollout{Revision: 10, Unconfirmed: []rollout.Replica{behind, silent}}, time.Second, 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &looks{at: func(time.Duration) ([]rollout.Replica, error) { return tt.replicas, nil }}
				got, took, err := confirm(t, l, time.Second)
				if diff := cmp.Diff(tt.want, got); err != nil || diff != "" || took != tt.took {
					t.Errorf("after %v (want %v), %v (-want +got):\n%s", took, tt.took, err, diff)
				}
				if l.count > tt.looks {
					t.Errorf("it looked %d times, want %d at most", l.count, tt.looks)
				}
			})
		})
	}
}

// What is asked for after the wait is over is what is known.
func TestConfirm_LooksOnceThoughTheWaitIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &looks{at: func(time.Duration) ([]rollout.Replica, error) { return []rollout.Replica{{ServedRevision: 10}}, nil }}
		got, _, err := confirm(t, l, 0)
		if err != nil || got.Confirmed != 1 {
			t.Errorf("Confirm = %+v, %v", got, err)
		}
	})
}

func TestConfirm_FailsWithTheStore(t *testing.T) {
	away := errors.New("away")
	_, _, err := confirm(t, &looks{at: func(time.Duration) ([]rollout.Replica, error) { return nil, away }}, time.Second)
	if !errors.Is(err, away) {
		t.Errorf("error %v, want %v", err, away)
	}
}

func TestNew_ListsReplicasForAsLongAsTheyServe(t *testing.T) {
	for servesFor, want := range map[time.Duration]time.Duration{0: 0, time.Hour: time.Hour + rollout.SilentAfter} {
		l := &looks{at: func(time.Duration) ([]rollout.Replica, error) { return nil, nil }}
		w, err := rollout.New(rollout.Config{Store: l, ServesFor: servesFor})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Confirm(t.Context(), 1); err != nil || l.within != want {
			t.Errorf("with %v the store is asked for %v, %v; want %v", servesFor, l.within, err, want)
		}
	}
	if _, err := rollout.New(rollout.Config{}); err == nil {
		t.Error("a Watch without a store is made")
	}
}

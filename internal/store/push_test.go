package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

var pushEpoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// pushConfig makes a config that was set at pushEpoch.
func pushConfig(agent, owner uuid.UUID, task, config string) push.Config {
	return push.Config{
		ID: push.ID{Agent: agent, Task: task, Config: config}, Owner: owner,
		Version: a2a.V03, Endpoint: "http://agent.example", Time: pushEpoch,
	}
}

func writePush(t *testing.T, s push.Store, noted, removed []push.Config) {
	t.Helper()
	if err := s.Write(t.Context(), noted, removed); err != nil {
		t.Fatal(err)
	}
}

// claimPush claims for a minute.
func claimPush(t *testing.T, s push.Store, due push.Due, limit int) []push.Claim {
	t.Helper()
	claims, err := s.Claim(t.Context(), due, time.Minute, limit)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(claims, func(a, b push.Claim) int {
		return strings.Compare(a.Task+"/"+a.ID.Config, b.Task+"/"+b.ID.Config)
	})
	return claims
}

func wantClaims(t *testing.T, got []push.Claim, want ...push.Claim) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestPush_ClaimsOnlyWhatIsDueAndOnlyOnce(t *testing.T) {
	s := store.NewPush(pgtest.New(t))
	agent, other, alice, bob := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	hers, his, elsewhere := pushConfig(agent, alice, "t1", "c"), pushConfig(agent, bob, "t2", ""), pushConfig(other, bob, "t3", "c")
	writePush(t, s, []push.Config{hers, his, elsewhere}, nil)

	owners, agents, err := s.Holders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sortUIDs := cmpopts.SortSlices(func(a, b uuid.UUID) bool { return a.String() < b.String() })
	if diff := cmp.Diff([][]uuid.UUID{{alice, bob}, {agent, other}}, [][]uuid.UUID{owners, agents}, sortUIDs); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	wantClaims(t, claimPush(t, s, push.Due{}, 10))
	wantClaims(t, claimPush(t, s, push.Due{Owners: []uuid.UUID{alice}}, 10), push.Claim{Config: hers, Attempts: 1})
	wantClaims(t, claimPush(t, s, push.Due{Agents: []uuid.UUID{agent}}, 10), push.Claim{Config: his, Attempts: 1})
	wantClaims(t, claimPush(t, s, push.Due{Owners: []uuid.UUID{alice, bob}}, 10), push.Claim{Config: elsewhere, Attempts: 1})
	wantClaims(t, claimPush(t, s, push.Due{Owners: []uuid.UUID{alice, bob}}, 10))
}

func TestPush_ReplicasNeverClaimTheSame(t *testing.T) {
	s := store.NewPush(pgtest.New(t))
	agent, owner := uuid.New(), uuid.New()
	var configs []push.Config
	for i := range 200 {
		configs = append(configs, pushConfig(agent, owner, fmt.Sprintf("t%03d", i), "c"))
	}
	writePush(t, s, configs, nil)
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				claims, err := s.Claim(t.Context(), push.Due{Owners: []uuid.UUID{owner}}, time.Minute, 10)
				if err != nil {
					t.Error(err)
				}
				if len(claims) == 0 {
					return
				}
				mu.Lock()
				for _, c := range claims {
					seen[c.Task]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for task, n := range seen {
		if n != 1 {
			t.Errorf("task %s was claimed %d times", task, n)
		}
	}
	// Rows that another replica is just claiming are passed over, so a replica may stop
	// before all are claimed; together they must not leave any.
	if rest := claimPush(t, s, push.Due{Owners: []uuid.UUID{owner}}, 200); len(seen)+len(rest) != len(configs) {
		t.Errorf("%d of %d configs were claimed", len(seen)+len(rest), len(configs))
	}
}

func TestPush_SettledConfigsAreForgottenOrComeAgain(t *testing.T) {
	s := store.NewPush(pgtest.New(t))
	agent, owner := uuid.New(), uuid.New()
	due := push.Due{Owners: []uuid.UUID{owner}}
	done, later, renewed := pushConfig(agent, owner, "done", "c"), pushConfig(agent, owner, "later", "c"), pushConfig(agent, owner, "renewed", "c")
	writePush(t, s, []push.Config{done, later, renewed}, nil)
	claims := claimPush(t, s, due, 10)
	if len(claims) != 3 {
		t.Fatalf("%d claims, want 3", len(claims))
	}
	writePush(t, s, []push.Config{renewed}, nil) // set anew while it was being deleted
	for i, retry := range []time.Duration{0, time.Nanosecond, 0} {
		if err := s.Settle(t.Context(), claims[i], retry); err != nil {
			t.Fatal(err)
		}
	}
	wantClaims(t, claimPush(t, s, due, 10), push.Claim{Config: later, Attempts: 2}, push.Claim{Config: renewed, Attempts: 1})
}

func TestPush_WhatIsRemovedIsForgottenUnlessItWasSetAgain(t *testing.T) {
	s := store.NewPush(pgtest.New(t))
	agent, owner := uuid.New(), uuid.New()
	gone, again := pushConfig(agent, owner, "gone", "c"), pushConfig(agent, owner, "again", "c")
	writePush(t, s, []push.Config{gone, again}, nil)
	gone.Time, again.Time = pushEpoch.Add(time.Second), pushEpoch.Add(-time.Second)
	writePush(t, s, nil, []push.Config{gone, again})
	wantClaims(t, claimPush(t, s, push.Due{Owners: []uuid.UUID{owner}}, 10),
		push.Claim{Config: pushConfig(agent, owner, "again", "c"), Attempts: 1})
}

func TestPush_TidyForgetsTheOldAndTheGoneAndLetsTheRestoredBeginAnew(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewPush(pool)
	agent, gone, owner, restored := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	old, orphan := pushConfig(agent, owner, "old", "c"), pushConfig(gone, owner, "orphan", "c")
	old.Time = pushEpoch.Add(-time.Second)
	waits, back := pushConfig(agent, owner, "waits", "c"), pushConfig(agent, restored, "back", "c")
	writePush(t, s, []push.Config{old, orphan, waits, back}, nil)
	both := push.Due{Owners: []uuid.UUID{owner, restored}}
	if n := len(claimPush(t, s, both, 10)); n != 4 {
		t.Fatalf("%d claims, want 4", n)
	}
	if err := s.Tidy(t.Context(), push.Due{Owners: []uuid.UUID{owner}}, []uuid.UUID{gone}, pushEpoch); err != nil {
		t.Fatal(err)
	}
	wantClaims(t, claimPush(t, s, both, 10), push.Claim{Config: back, Attempts: 1})
	rows, err := pool.Query(t.Context(), "SELECT task_id FROM push_configs ORDER BY task_id")
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"back", "waits"}, left); diff != "" {
		t.Errorf("tasks left (-want +got):\n%s", diff)
	}
}

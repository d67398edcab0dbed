package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/task"
)

// bound makes an entry.
func bound(kind task.Kind, agent uuid.UUID, id string, b task.Binding) task.Entry {
	return task.Entry{ID: task.ID{Kind: kind, Agent: agent, ID: id}, Binding: b}
}

func sorted(entries []task.Entry) []task.Entry {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b task.Entry) int {
		return strings.Compare(fmt.Sprint(a.Agent, a.Kind, a.ID.ID), fmt.Sprint(b.Agent, b.Kind, b.ID.ID))
	})
	return entries
}

// unstored passes over what a replica knows of a binding for itself.
func unstored() cmp.Option { return cmpopts.IgnoreUnexported(task.Binding{}) }

// byValue compares what callers can see of entries.
func byValue() cmp.Option {
	return cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(task.Binding{})}
}

// wantResolved checks what ids are bound to.
func wantResolved(t *testing.T, s task.Store, agent, owner uuid.UUID, tasks, contexts, claims []string, want ...task.Entry) {
	t.Helper()
	got, err := s.Resolve(t.Context(), agent, owner, tasks, contexts, claims)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sorted(want), sorted(got), byValue(), unstored()); diff != "" {
		t.Errorf("tasks %q, contexts %q, claims %q (-want +got):\n%s", tasks, contexts, claims, diff)
	}
}

// mustWrite stores entries that are in nobody's way.
func mustWrite(t *testing.T, s task.Store, entries ...task.Entry) {
	t.Helper()
	conflicts, err := s.Write(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	if len(conflicts) > 0 {
		t.Fatalf("there are conflicts: %v", conflicts)
	}
}

func TestOwnership_ResolveFindsWhatIsBoundAndNothingElse(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent, other, alice, bob := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	one := bound(task.Task, agent, "one", task.Binding{Owner: alice, Endpoint: "http://a", Context: "talk"})
	two := bound(task.Task, agent, "two", task.Binding{Owner: bob, Terminal: true})
	talk := bound(task.Context, agent, "talk", task.Binding{Owner: alice, Endpoint: "http://a"})
	elsewhere := bound(task.Task, other, "three", task.Binding{Owner: alice})
	// The same text may be the id of a task and of a context, with two owners.
	twin := bound(task.Context, agent, "one", task.Binding{Owner: bob})
	mustWrite(t, s, one, two, talk, elsewhere, twin)

	wantResolved(t, s, agent, alice, nil, nil, nil)
	wantResolved(t, s, agent, alice, []string{"none", ""}, []string{"none", "two"}, nil)
	wantResolved(t, s, agent, alice, []string{"one", "none"}, nil, nil, one)
	wantResolved(t, s, agent, bob, []string{"one", "two", "three"}, nil, nil, one, two)
	wantResolved(t, s, other, alice, []string{"one", "two", "three"}, []string{"talk"}, nil, elsewhere)
	wantResolved(t, s, agent, alice, []string{"one"}, []string{"one", "talk"}, nil, one, twin, talk)
	wantResolved(t, s, agent, alice, []string{"one' OR true --", "%", "ONE", "one "}, nil, nil)
}

func TestOwnership_AClaimBindsWhatIsNobodysOnly(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent, other, alice, bob := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	mine := bound(task.Context, agent, "mine", task.Binding{Owner: alice, Endpoint: "http://a"})
	foreign := bound(task.Context, agent, "foreign", task.Binding{Owner: bob, Endpoint: "http://b"})
	ended := bound(task.Task, agent, "task", task.Binding{Owner: bob})
	own := bound(task.Task, agent, "own", task.Binding{Owner: alice})
	mustWrite(t, s, mine, foreign, ended, own)

	fresh := bound(task.Context, agent, "new", task.Binding{Owner: alice})
	// A call about another's task, or nobody's, is refused and leaves nothing behind.
	wantResolved(t, s, agent, alice, []string{"own", "task"}, nil, []string{"new"}, own, ended)
	wantResolved(t, s, agent, alice, []string{"none"}, nil, []string{"new"})
	wantResolved(t, s, agent, alice, nil, []string{"new"}, nil)
	wantResolved(t, s, agent, alice, []string{"own", "own"}, nil, []string{"new"}, own, fresh)
	wantResolved(t, s, agent, alice, nil, nil, []string{"new"}, fresh) // repeated
	wantResolved(t, s, agent, alice, nil, nil, []string{"mine"}, mine)
	wantResolved(t, s, agent, alice, nil, nil, []string{"foreign"}, foreign)
	wantResolved(t, s, agent, bob, nil, nil, []string{"new"}, fresh)
	wantResolved(t, s, agent, bob, nil, []string{"new", "mine", "foreign"}, nil, fresh, mine, foreign)
	// Another agent's contexts are others, and a task's id is no context's.
	wantResolved(t, s, other, bob, nil, nil, []string{"new"}, bound(task.Context, other, "new", task.Binding{Owner: bob}))
	wantResolved(t, s, agent, alice, nil, nil, []string{"task"}, bound(task.Context, agent, "task", task.Binding{Owner: alice}))
}

func TestOwnership_OfConcurrentClaimsExactlyOneWinsAndAllSeeIt(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent := uuid.New()
	for round := range 20 {
		id := fmt.Sprintf("talk-%d", round)
		owners := make([]uuid.UUID, 6)
		seen := make([][]task.Entry, len(owners))
		errs := make([]error, len(owners))
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range owners {
			owners[i] = uuid.New()
			wg.Go(func() {
				<-start
				seen[i], errs[i] = s.Resolve(t.Context(), agent, owners[i], nil, nil, []string{id})
			})
		}
		close(start)
		wg.Wait()
		for i := range owners {
			if errs[i] != nil || len(seen[i]) != 1 {
				t.Fatalf("claim %d: %v, %v", i, seen[i], errs[i])
			}
			if seen[i][0] != seen[0][0] {
				t.Errorf("two claims see two owners: %v and %v", seen[i][0].Owner, seen[0][0].Owner)
			}
		}
		if winner := seen[0][0].Owner; !slices.Contains(owners, winner) {
			t.Errorf("the winner is none of the claimants: %v", winner)
		}
		wantResolved(t, s, agent, owners[1], nil, []string{id}, nil, seen[0][0])
	}
}

// A claim that waits for another transaction must see what that has committed, not
// what it saw when it began.
func TestOwnership_AClaimThatWaitedSeesTheWinner(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent, alice, bob := uuid.New(), uuid.New(), uuid.New()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), `INSERT INTO context_bindings (agent_uid, context_id, owner_uid, endpoint_url) VALUES ($1, 'talk', $2, '')`, agent, alice)
	if err != nil {
		t.Fatal(err)
	}
	var got []task.Entry
	done := make(chan error, 1)
	go func() {
		var err error
		got, err = s.Resolve(t.Context(), agent, bob, nil, nil, []string{"talk"})
		done <- err
	}()
	waitForLock(t, pool)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]task.Entry{bound(task.Context, agent, "talk", task.Binding{Owner: alice})}, got, unstored()); diff != "" {
		t.Errorf("the loser (-want +got):\n%s", diff)
	}
}

// waitForLock waits until a statement of the database waits for a lock.
func waitForLock(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for waiting := false; !waiting; {
		err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatalf("nobody came to wait for the lock: %v", err)
		}
	}
}

// dump is every binding as the tables hold it, less the time of last use.
func dump(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	var lines []string
	for _, sql := range []string{
		`SELECT to_jsonb(b)::text FROM task_bindings AS b ORDER BY agent_uid, task_id`,
		`SELECT (to_jsonb(b) - 'last_used_time')::text FROM context_bindings AS b ORDER BY agent_uid, context_id`,
	} {
		rows, err := pool.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func TestOwnership_WritingTwiceChangesNothing(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent, alice := uuid.New(), uuid.New()
	batch := []task.Entry{
		bound(task.Task, agent, "running", task.Binding{Owner: alice, Endpoint: "http://a", Context: "talk"}),
		bound(task.Task, agent, "ended", task.Binding{Owner: alice, Endpoint: "http://a", Context: "talk", Terminal: true}),
		bound(task.Context, agent, "talk", task.Binding{Owner: alice, Endpoint: "http://a"}),
	}
	mustWrite(t, s)
	mustWrite(t, s, batch...)
	before := dump(t, pool)
	if len(before) != len(batch) {
		t.Fatalf("the tables hold %v", before)
	}
	for range 2 {
		mustWrite(t, s, batch...)
	}
	if diff := cmp.Diff(before, dump(t, pool)); diff != "" {
		t.Errorf("written again (-before +after):\n%s", diff)
	}
}

func TestOwnership_ALaterWriteAddsAndNeverTakesAway(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent, alice := uuid.New(), uuid.New()
	mustWrite(t, s, bound(task.Task, agent, "one", task.Binding{Owner: alice}), bound(task.Context, agent, "talk", task.Binding{Owner: alice}))
	full := bound(task.Task, agent, "one", task.Binding{Owner: alice, Endpoint: "http://a", Context: "talk", Terminal: true})
	talk := bound(task.Context, agent, "talk", task.Binding{Owner: alice, Endpoint: "http://a"})
	mustWrite(t, s, full, talk)
	wantResolved(t, s, agent, alice, []string{"one"}, []string{"talk"}, nil, full, talk)
	mustWrite(t, s, bound(task.Task, agent, "one", task.Binding{Owner: alice}), bound(task.Context, agent, "talk", task.Binding{Owner: alice}))
	wantResolved(t, s, agent, alice, []string{"one"}, []string{"talk"}, nil, full, talk)
	// An agent that moved has a new endpoint.
	full.Endpoint, talk.Endpoint = "http://b", "http://b"
	mustWrite(t, s, full, talk)
	wantResolved(t, s, agent, alice, []string{"one"}, []string{"talk"}, nil, full, talk)
}

func TestOwnership_AConflictIsReportedAndMovesNothing(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent, alice, bob := uuid.New(), uuid.New(), uuid.New()
	one := bound(task.Task, agent, "one", task.Binding{Owner: alice, Endpoint: "http://a", Context: "talk"})
	talk := bound(task.Context, agent, "talk", task.Binding{Owner: alice, Endpoint: "http://a"})
	mustWrite(t, s, one, talk)
	if _, err := pool.Exec(t.Context(), `UPDATE context_bindings SET last_used_time = '2020-01-01Z'`); err != nil {
		t.Fatal(err)
	}
	before := dump(t, pool)

	fresh := bound(task.Task, agent, "fresh", task.Binding{Owner: bob})
	got, err := s.Write(t.Context(), []task.Entry{
		bound(task.Task, agent, "one", task.Binding{Owner: bob, Endpoint: "http://b", Context: "other", Terminal: true}),
		fresh,
		bound(task.Context, agent, "talk", task.Binding{Owner: bob, Endpoint: "http://b"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sorted([]task.Entry{one, talk}), sorted(got), unstored()); diff != "" {
		t.Errorf("the conflicts, as they are stored (-want +got):\n%s", diff)
	}
	after := slices.DeleteFunc(dump(t, pool), func(line string) bool { return strings.Contains(line, `"fresh"`) })
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what is another's changed (-before +after):\n%s", diff)
	}
	wantResolved(t, s, agent, bob, []string{"fresh"}, nil, nil, fresh) // the rest of the batch is written
	// What is refused is no use either: it does not keep the context alive.
	wantResolved(t, s, agent, bob, nil, nil, []string{"talk"}, talk)
	var used time.Time
	if err := pool.QueryRow(t.Context(), `SELECT last_used_time FROM context_bindings WHERE context_id = 'talk'`).Scan(&used); err != nil {
		t.Fatal(err)
	}
	if used.Year() != 2020 {
		t.Errorf("another's attempt counts as a use, at %s", used)
	}
}

func TestOwnership_TheTerminalTimeIsSetOnceAndKept(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent, alice := uuid.New(), uuid.New()
	terminal := func() *time.Time {
		t.Helper()
		var at *time.Time
		if err := pool.QueryRow(t.Context(), `SELECT terminal_time FROM task_bindings`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	running, ended := task.Binding{Owner: alice}, task.Binding{Owner: alice, Terminal: true}
	mustWrite(t, s, bound(task.Task, agent, "one", running))
	if at := terminal(); at != nil {
		t.Errorf("a running task ended at %s", at)
	}
	begin := time.Now().Add(-time.Minute)
	mustWrite(t, s, bound(task.Task, agent, "one", ended))
	first := terminal()
	if first == nil || first.Before(begin) || first.After(time.Now().Add(time.Minute)) {
		t.Fatalf("the task ended at %v, want now", first)
	}
	for _, again := range []task.Binding{running, ended, {Owner: uuid.New(), Terminal: true}} {
		if _, err := s.Write(t.Context(), []task.Entry{bound(task.Task, agent, "one", again)}); err != nil {
			t.Fatal(err)
		}
		if at := terminal(); at == nil || !at.Equal(*first) {
			t.Errorf("after %+v the task ended at %v, want %s", again, at, first)
		}
	}
}

func TestOwnership_CountCountsAnOwnersTasksOfOneAgent(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent, other, alice, bob := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	mustWrite(t, s,
		bound(task.Task, agent, "a1", task.Binding{Owner: alice, Context: "talk"}),
		bound(task.Task, agent, "a2", task.Binding{Owner: alice, Context: "chat", Terminal: true}),
		bound(task.Task, agent, "a3", task.Binding{Owner: alice}),
		bound(task.Task, agent, "b1", task.Binding{Owner: bob, Context: "talk"}),
		bound(task.Task, other, "o1", task.Binding{Owner: alice, Context: "talk"}),
		bound(task.Context, agent, "talk", task.Binding{Owner: alice}),
	)
	for _, tt := range []struct {
		agent, owner uuid.UUID
		context      string
		except       []string
		want         int
	}{
		{agent, alice, "", nil, 3},
		{agent, alice, "talk", nil, 1},
		{agent, alice, "chat", nil, 1},
		{agent, alice, "none", nil, 0},
		{agent, bob, "", nil, 1},
		{agent, bob, "chat", nil, 0},
		{other, alice, "", nil, 1},
		{other, bob, "", nil, 0},
		{agent, alice, "", []string{"a1", "b1", "o1", "talk", "new", "a1"}, 2},
		{agent, alice, "talk", []string{"a1"}, 0},
		{agent, alice, "talk", []string{"a2"}, 1},
	} {
		got, err := s.Count(t.Context(), tt.agent, tt.owner, tt.context, tt.except)
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("context %q without %q: %d, want %d", tt.context, tt.except, got, tt.want)
		}
	}
}

func TestOwnership_PurgeRemovesOnlyWhatIsOld(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent, alice := uuid.New(), uuid.New()
	for _, sql := range []string{
		`INSERT INTO task_bindings (agent_uid, task_id, owner_uid, context_id, endpoint_url, create_time, terminal_time)
		SELECT $1, id, $2, '', '', '2020-01-01Z', at FROM (VALUES ('running', NULL::timestamptz),
			('old', '2026-01-01 11:59:59.999Z'), ('limit', '2026-01-01 12:00Z'), ('young', '2026-02-01Z')) AS v (id, at)`,
		`INSERT INTO context_bindings (agent_uid, context_id, owner_uid, endpoint_url, create_time, last_used_time)
		SELECT $1, id, $2, '', '2020-01-01Z', at FROM (VALUES
			('old', '2025-06-30 23:59:59.999Z'::timestamptz), ('limit', '2025-07-01Z'), ('young', '2025-07-02Z')) AS v (id, at)`,
	} {
		if _, err := pool.Exec(t.Context(), sql, agent, alice); err != nil {
			t.Fatal(err)
		}
	}
	// Not in UTC: it is the moment that counts.
	zone := time.FixedZone("far", 9*3600)
	terminal, used := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).In(zone), time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC).In(zone)
	for range 2 {
		if err := s.Purge(t.Context(), terminal, used); err != nil {
			t.Fatal(err)
		}
		got, err := s.Resolve(t.Context(), agent, alice, []string{"running", "old", "limit", "young"}, []string{"old", "limit", "young"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, e := range got {
			left = append(left, fmt.Sprint(e.Kind, e.ID.ID))
		}
		slices.Sort(left)
		if want := []string{"0limit", "0running", "0young", "1limit", "1young"}; !slices.Equal(left, want) {
			t.Errorf("what is left is %q, want %q", left, want)
		}
	}
}

// A use is what keeps a context.
func TestOwnership_AUseKeepsAContext(t *testing.T) {
	for name, use := range map[string]func(s task.Store, agent, owner uuid.UUID) error{
		"a claim": func(s task.Store, agent, owner uuid.UUID) error {
			_, err := s.Resolve(t.Context(), agent, owner, nil, nil, []string{"talk"})
			return err
		},
		"a write": func(s task.Store, agent, owner uuid.UUID) error {
			_, err := s.Write(t.Context(), []task.Entry{bound(task.Context, agent, "talk", task.Binding{Owner: owner})})
			return err
		},
	} {
		pool := pgtest.New(t)
		s := store.NewOwnership(pool)
		agent, alice := uuid.New(), uuid.New()
		mustWrite(t, s, bound(task.Context, agent, "talk", task.Binding{Owner: alice}))
		if _, err := pool.Exec(t.Context(), `UPDATE context_bindings SET last_used_time = '2020-01-01Z'`); err != nil {
			t.Fatal(err)
		}
		if err := use(s, agent, alice); err != nil {
			t.Fatal(err)
		}
		long := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := s.Purge(t.Context(), long, long); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Resolve(t.Context(), agent, alice, nil, []string{"talk"}, nil); err != nil || len(got) != 1 {
			t.Errorf("after %s the context is forgotten: %v, %v", name, got, err)
		}
	}
}

func TestOwnership_BatchesInOppositeOrderDoNotDeadlock(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	agent, alice := uuid.New(), uuid.New()
	const size, rounds = 300, 12
	var forth []task.Entry
	for i := range size {
		id := fmt.Sprintf("id-%03d", i)
		forth = append(forth,
			bound(task.Task, agent, id, task.Binding{Owner: alice, Endpoint: "http://a"}),
			bound(task.Context, agent, id, task.Binding{Owner: alice, Endpoint: "http://a"}))
	}
	back := slices.Clone(forth)
	slices.Reverse(back)
	var wg sync.WaitGroup
	for _, batch := range [][]task.Entry{forth, back, forth, back} {
		wg.Go(func() {
			for range rounds {
				conflicts, err := s.Write(t.Context(), batch)
				if err != nil || len(conflicts) > 0 {
					t.Errorf("%v, %v", conflicts, err)
					return
				}
			}
		})
	}
	wg.Wait()
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM task_bindings) + (SELECT count(*) FROM context_bindings)`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 2*size {
		t.Errorf("%d bindings, want %d", n, 2*size)
	}
}

func TestOwnership_ADatabaseThatIsAwayIsAnError(t *testing.T) {
	pool := pgtest.New(t)
	s := store.NewOwnership(pool)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	agent, alice := uuid.New(), uuid.New()
	if _, err := s.Resolve(ctx, agent, alice, []string{"x"}, nil, nil); err == nil {
		t.Error("Resolve says that nothing is bound")
	}
	if _, err := s.Write(ctx, []task.Entry{bound(task.Task, agent, "x", task.Binding{Owner: alice})}); err == nil {
		t.Error("Write says that it wrote")
	}
	if _, err := s.Count(ctx, agent, alice, "", nil); err == nil {
		t.Error("Count says that there is none")
	}
	if err := s.Purge(ctx, time.Now(), time.Now()); err == nil {
		t.Error("Purge says that it is done")
	}
}

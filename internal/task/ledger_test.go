package task_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/task"
)

// memory is a store for tests of the ledger alone; the real one has tests of its own.
type memory struct {
	mu      sync.Mutex
	rows    map[task.ID]task.Binding
	fail    error
	hang    bool
	never   string // the id of an entry that cannot be stored
	asked   int
	counted int
	written int
	during  func() // called in the middle of Count; nil does nothing
}

func newMemory() *memory { return &memory{rows: map[task.ID]task.Binding{}} }

func (m *memory) wait(ctx context.Context) error {
	m.mu.Lock()
	hang, fail := m.hang, m.fail
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fail
}

func (m *memory) Resolve(ctx context.Context, agent, owner uuid.UUID, tasks, contexts, claims []string) ([]task.Entry, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	var found []task.Entry
	look := func(kind task.Kind, ids []string) {
		for _, id := range ids {
			key := task.ID{Kind: kind, Agent: agent, ID: id}
			if b, ok := m.rows[key]; ok {
				found = append(found, task.Entry{ID: key, Binding: b})
			}
		}
	}
	for _, id := range tasks {
		if m.rows[task.ID{Kind: task.Task, Agent: agent, ID: id}].Owner != owner {
			claims = nil
		}
	}
	for _, id := range claims {
		key := task.ID{Kind: task.Context, Agent: agent, ID: id}
		if _, ok := m.rows[key]; !ok {
			m.rows[key] = task.Binding{Owner: owner}
		}
	}
	look(task.Task, tasks)
	look(task.Context, contexts)
	look(task.Context, claims)
	return found, nil
}

func (m *memory) Write(ctx context.Context, entries []task.Entry) ([]task.Entry, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written++
	for _, e := range entries {
		if m.never != "" && e.ID.ID == m.never {
			return nil, task.ErrUnstorable
		}
	}
	var conflicts []task.Entry
	for _, e := range entries {
		if b, ok := m.rows[e.ID]; ok && b.Owner != e.Owner {
			conflicts = append(conflicts, task.Entry{ID: e.ID, Binding: b})
			continue
		}
		m.rows[e.ID] = e.Binding
	}
	return conflicts, nil
}

func (m *memory) Adopt(ctx context.Context, entries []task.Entry, proceed func([]task.Entry) bool) ([]task.Entry, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var bound []task.Entry
	for _, e := range entries {
		if b, ok := m.rows[e.ID]; ok {
			bound = append(bound, task.Entry{ID: e.ID, Binding: b})
		}
	}
	if !proceed(bound) {
		return bound, nil
	}
	for _, e := range entries {
		if _, ok := m.rows[e.ID]; !ok {
			m.rows[e.ID] = e.Binding
		}
	}
	return bound, nil
}

func (m *memory) Count(ctx context.Context, agent, owner uuid.UUID, contextID string, except []string) (int, error) {
	m.mu.Lock()
	m.counted++
	m.mu.Unlock()
	if err := m.wait(ctx); err != nil {
		return 0, err
	}
	if m.during != nil {
		m.during()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for id, b := range m.rows {
		if id.Kind == task.Task && id.Agent == agent && b.Owner == owner && (contextID == "" || b.Context == contextID) &&
			!slices.Contains(except, id.ID) {
			n++
		}
	}
	return n, nil
}

func (m *memory) Purge(context.Context, time.Time, time.Time) error { return nil }

var (
	agent = uuid.New()
	alice = uuid.New()
	bob   = uuid.New()
)

func newLedger(t *testing.T, store task.Store) *task.Ledger {
	t.Helper()
	l, err := task.NewLedger(task.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAsk_AnswersFromMemoryWithoutTheDatabase(t *testing.T) {
	store := newMemory()
	store.fail = errors.New("down")
	l := newLedger(t, store)
	l.Bind(task.ID{Kind: task.Task, Agent: agent, ID: "t"}, task.Binding{Owner: alice, Endpoint: "http://one", Context: "c"})
	l.Bind(task.ID{Kind: task.Context, Agent: agent, ID: "c"}, task.Binding{Owner: alice, Endpoint: "http://one"})
	got, err := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}, Context: "c", Claim: true})
	if err != nil || !got.TasksOwned || !got.ContextOwned || got.TaskEndpoint != "http://one" {
		t.Errorf("Ask of its owner = %+v, %v", got, err)
	}
	got, err = l.Ask(t.Context(), task.Question{Agent: agent, Owner: bob, Tasks: []string{"t"}})
	if err != nil || got.TasksOwned || got.TaskEndpoint != "" {
		t.Errorf("Ask of another = %+v, %v; want not owned and no endpoint", got, err)
	}
	got, err = l.Ask(t.Context(), task.Question{Agent: agent, Owner: bob, Context: "c", Claim: true})
	if err != nil || got.ContextOwned {
		t.Errorf("Ask of another for the context = %+v, %v", got, err)
	}
	if _, err := l.Ask(t.Context(), task.Question{Agent: uuid.New(), Owner: alice, Tasks: []string{"t"}}); !errors.Is(err, task.ErrUnavailable) {
		t.Errorf("Ask for the same id of another agent = %v, want ErrUnavailable since it is not known", err)
	}
}

func TestAsk_WaitsForTheDatabaseNoLongerThanItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.hang = true
		l := newLedger(t, store)
		begin := time.Now()
		_, err := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}})
		if took := time.Since(begin); !errors.Is(err, task.ErrUnavailable) || took != 250*time.Millisecond {
			t.Errorf("Ask = %v after %s, want ErrUnavailable after 250ms", err, took)
		}
	})
}

func TestAsk_LooksUpAndClaimsInOneStep(t *testing.T) {
	store := newMemory()
	store.rows[task.ID{Kind: task.Task, Agent: agent, ID: "t"}] = task.Binding{Owner: alice, Endpoint: "http://two"}
	store.rows[task.ID{Kind: task.Context, Agent: agent, ID: "foreign"}] = task.Binding{Owner: bob}
	l := newLedger(t, store)
	got, err := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}, Context: "new", Claim: true})
	if err != nil || !got.TasksOwned || !got.ContextOwned || got.TaskEndpoint != "http://two" || store.asked != 1 {
		t.Errorf("Ask = %+v, %v after %d statements", got, err, store.asked)
	}
	if got, _ := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}, Context: "new", Claim: true}); !got.TasksOwned || store.asked != 1 {
		t.Errorf("a second Ask went to the database")
	}
	if got, _ := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Context: "foreign", Claim: true}); got.ContextOwned {
		t.Errorf("a foreign context was claimed")
	}
	if got, _ := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t", "none"}}); got.TasksOwned {
		t.Errorf("an unknown task is owned")
	}
}

func TestBind_NeverMovesABinding(t *testing.T) {
	l := newLedger(t, newMemory())
	id := task.ID{Kind: task.Task, Agent: agent, ID: "t"}
	if !l.Bind(id, task.Binding{Owner: alice}) {
		t.Fatal("the first binding was refused")
	}
	if l.Bind(id, task.Binding{Owner: bob}) {
		t.Error("a binding of another owner was accepted")
	}
	if got, _ := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}}); !got.TasksOwned {
		t.Error("the owner lost the task")
	}
}

func TestRun_WritesWithinTheFlushTimeAndKeepsWhatTheDatabaseMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		stored := func(id string) bool {
			store.mu.Lock()
			defer store.mu.Unlock()
			_, ok := store.rows[task.ID{Kind: task.Task, Agent: agent, ID: id}]
			return ok
		}
		bind := func(id string) {
			l.Bind(task.ID{Kind: task.Task, Agent: agent, ID: id}, task.Binding{Owner: alice})
		}
		for i := range 100 {
			bind(fmt.Sprint(i))
		}
		time.Sleep(20 * time.Millisecond) // the fake clock of the bubble
		if !stored("0") || !stored("99") || store.written != 1 {
			t.Errorf("after 20 ms: first %v, last %v, %d statements; want both in one", stored("0"), stored("99"), store.written)
		}
		store.mu.Lock()
		store.fail = errors.New("down")
		store.mu.Unlock()
		bind("late")
		time.Sleep(time.Minute)
		if n := l.Listing(agent, alice, "").Total(ctx); n != 101 {
			t.Errorf("while down there are %d tasks; want 101 from memory", n)
		}
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		time.Sleep(3 * time.Second)
		if !stored("late") {
			t.Error("a binding made while the database was down was never written")
		}
		bind("last")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !stored("last") {
			t.Error("a binding made right before the stop was not written")
		}
	})
}

func TestRun_AConflictInTheDatabaseTakesTheBindingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		id := task.ID{Kind: task.Task, Agent: agent, ID: "t"}
		store.rows[id] = task.Binding{Owner: bob}
		l := newLedger(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		l.Bind(id, task.Binding{Owner: alice})
		time.Sleep(20 * time.Millisecond)
		if got, _ := l.Ask(ctx, task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}}); got.TasksOwned {
			t.Error("alice kept bob's task after the database said whose it is")
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestLedger_ConcurrentUseIsSafe(t *testing.T) {
	l := newLedger(t, newMemory())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprintf("%d-%d", g, i)
				l.Bind(task.ID{Kind: task.Task, Agent: agent, ID: id}, task.Binding{Owner: alice})
				if got, err := l.Ask(ctx, task.Question{Agent: agent, Owner: alice, Tasks: []string{id}}); err != nil || !got.TasksOwned {
					t.Errorf("task %s = %+v, %v right after it was bound", id, got, err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRun_AnEntryThatCannotBeStoredHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.never = "13"
		l := newLedger(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		for i := range 100 {
			l.Bind(task.ID{Kind: task.Task, Agent: agent, ID: fmt.Sprint(i)}, task.Binding{Owner: alice})
		}
		time.Sleep(time.Second)
		store.mu.Lock()
		stored := len(store.rows)
		store.mu.Unlock()
		if stored != 99 {
			t.Errorf("%d of 100 bindings are stored, want all but the one that cannot be", stored)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestBind_KeepsItsBoundThroughALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.fail = errors.New("down")
		l, err := task.NewLedger(task.Config{Store: store, PendingSize: 100, CacheSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		for i := range 1000 {
			l.Bind(task.ID{Kind: task.Task, Agent: agent, ID: fmt.Sprint(i)}, task.Binding{Owner: alice})
			time.Sleep(10 * time.Millisecond)
		}
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		time.Sleep(10 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := len(store.rows); n < 90 || n > 100 {
			t.Errorf("%d bindings came through an outage with room for 100", n)
		}
		if _, ok := store.rows[task.ID{Kind: task.Task, Agent: agent, ID: "999"}]; !ok {
			t.Error("the newest binding was given up, not the oldest")
		}
	})
}

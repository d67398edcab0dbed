package task_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/task"
)

func (m *memory) set(fail error, hang bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail, m.hang = fail, hang
}

// store binds a task as another replica would.
func (m *memory) store(id string, b task.Binding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[task.ID{Kind: task.Task, Agent: agent, ID: id}] = b
}

// looks returns how often ids were looked up and tasks were counted.
func (m *memory) looks() [2]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return [2]int{m.asked, m.counted}
}

func bind(l *task.Ledger, id string, b task.Binding) {
	l.Bind(task.ID{Kind: task.Task, Agent: agent, ID: id}, b)
}

// running starts the ledger's writer; stop ends it.
func running(t *testing.T, l *task.Ledger) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestListing_ShowsTheCallersOwnOfItsContext(t *testing.T) {
	store := newMemory()
	l := newLedger(t, store)
	bind(l, "mine", task.Binding{Owner: alice, Context: "talk"})
	bind(l, "other talk", task.Binding{Owner: alice, Context: "chat"})
	bind(l, "bobs", task.Binding{Owner: bob, Context: "talk"})
	store.store("mine elsewhere", task.Binding{Owner: alice, Context: "talk"})
	store.store("bobs elsewhere", task.Binding{Owner: bob, Context: "talk"})
	store.store("", task.Binding{Owner: alice})
	l.Bind(task.ID{Kind: task.Task, Agent: uuid.New(), ID: "another agent's"}, task.Binding{Owner: alice})
	l.Bind(task.ID{Kind: task.Context, Agent: agent, ID: "a context"}, task.Binding{Owner: alice})
	ids := []string{"mine", "", "bobs", "mine elsewhere", "other talk", "bobs elsewhere", "another agent's", "a context", "nobody's", "mine"}
	for _, tt := range []struct {
		owner   uuid.UUID
		context string
		want    []bool
		total   int
	}{
		{alice, "", []bool{true, false, false, true, true, false, false, false, false, true}, 4}, // the row without an id counts
		{alice, "talk", []bool{true, false, false, true, false, false, false, false, false, true}, 2},
		{alice, "none", make([]bool, len(ids)), 0},
		{bob, "", []bool{false, false, true, false, false, true, false, false, false, false}, 2},
		{uuid.New(), "", make([]bool, len(ids)), 0},
	} {
		s := l.Listing(agent, tt.owner, tt.context)
		if got := s.Shows(t.Context(), ids); !slices.Equal(got, tt.want) {
			t.Errorf("context %q shows %v of %q, want %v", tt.context, got, ids, tt.want)
		}
		if got := s.Total(t.Context()); got != tt.total {
			t.Errorf("context %q has %d tasks, want %d", tt.context, got, tt.total)
		}
	}
}

func TestListing_AsksForWhatItDoesNotKnowOnce(t *testing.T) {
	store := newMemory()
	l := newLedger(t, store)
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprint(i))
		store.store(ids[i], task.Binding{Owner: []uuid.UUID{alice, bob}[i%2]})
	}
	list := func() int {
		s := l.Listing(agent, alice, "")
		shown := 0
		for page := range slices.Chunk(ids, 5) {
			for _, own := range s.Shows(t.Context(), page) {
				if own {
					shown++
				}
			}
		}
		if total := s.Total(t.Context()); total != 5 {
			t.Errorf("total = %d, want 5", total)
		}
		return shown
	}
	if got, looks := list(), store.looks(); got != 5 || looks != [2]int{2, 1} {
		t.Errorf("first list: %d shown, %v looks; want 5, one for each page and one count", got, looks)
	}
	if got, looks := list(), store.looks(); got != 5 || looks != [2]int{2, 1} {
		t.Errorf("second list: %d shown, %v looks; want 5 and none", got, looks)
	}
}

func TestListing_OfKnownTasksNeverWaitsForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		stop := running(t, l)
		defer stop()
		bind(l, "one", task.Binding{Owner: alice})
		if n := l.Listing(agent, alice, "").Total(t.Context()); n != 1 {
			t.Fatalf("total = %d", n)
		}
		time.Sleep(time.Minute) // the count is old by now
		store.set(nil, true)
		bind(l, "two", task.Binding{Owner: alice})
		for range 3 {
			begin := time.Now()
			s := l.Listing(agent, alice, "")
			if got := s.Shows(t.Context(), []string{"one", "two"}); !slices.Equal(got, []bool{true, true}) {
				t.Errorf("shows %v", got)
			}
			if n := s.Total(t.Context()); n != 2 {
				t.Errorf("total = %d, want 2", n)
			}
			if took := time.Since(begin); took != 0 {
				t.Errorf("it waited for %s", took)
			}
			time.Sleep(10 * time.Second)
		}
		store.set(nil, false)
	})
}

func TestListing_WaitsOnceWhenTheDatabaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		bind(l, "known", task.Binding{Owner: alice})
		store.store("unknown", task.Binding{Owner: alice})
		store.set(nil, true)
		begin := time.Now()
		s := l.Listing(agent, alice, "")
		for range 20 { // pages
			if got := s.Shows(t.Context(), []string{"known", "unknown"}); !slices.Equal(got, []bool{true, false}) {
				t.Errorf("shows %v, want the known one", got)
			}
		}
		if n := s.Total(t.Context()); n != 1 {
			t.Errorf("total = %d, want what is known", n)
		}
		if took := time.Since(begin); took != 250*time.Millisecond {
			t.Errorf("it waited for %s, want 250ms in all", took)
		}
		store.set(nil, false)
		s = l.Listing(agent, alice, "")
		if got := s.Shows(t.Context(), []string{"known", "unknown"}); !slices.Equal(got, []bool{true, true}) || s.Total(t.Context()) != 2 {
			t.Errorf("with the database back it shows %v", got)
		}
	})
}

func TestListing_AllLooksShareOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		slow := &slowly{memory: store, by: 100 * time.Millisecond}
		l := newLedger(t, slow)
		begin := time.Now()
		s := l.Listing(agent, alice, "")
		for page := range 20 {
			s.Shows(t.Context(), []string{fmt.Sprint(page)})
		}
		s.Total(t.Context())
		if took := time.Since(begin); took != 250*time.Millisecond {
			t.Errorf("20 pages waited for %s, want 250ms in all", took)
		}
	})
}

// slowly answers late.
type slowly struct {
	*memory
	by time.Duration
}

func (s *slowly) Resolve(ctx context.Context, agent, owner uuid.UUID, tasks, contexts, claims []string) ([]task.Entry, error) {
	select {
	case <-time.After(s.by):
		return s.memory.Resolve(ctx, agent, owner, tasks, contexts, claims)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestTotal_CountsEachTaskOnceWhereverItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		total := func(context string) int { return l.Listing(agent, alice, context).Total(t.Context()) }
		want := func(when string, all, talk int) {
			t.Helper()
			if a, b := total(""), total("talk"); a != all || b != talk {
				t.Errorf("%s there are %d tasks, %d in the context; want %d and %d", when, a, b, all, talk)
			}
		}
		bind(l, "a", task.Binding{Owner: alice, Context: "talk"})
		bind(l, "b", task.Binding{Owner: alice})
		want("before anything is written", 2, 1)
		stop := running(t, l)
		time.Sleep(time.Second)
		want("after it was written", 2, 1)
		// The second state of a task is no second task, though it is on its way to the database as well.
		bind(l, "a", task.Binding{Owner: alice, Context: "talk", Terminal: true})
		want("after a task ended", 2, 1)
		bind(l, "b", task.Binding{Owner: alice, Context: "talk"})
		want("after a task's context became known", 2, 2)
		bind(l, "c", task.Binding{Owner: alice, Context: "talk"})
		bind(l, "d", task.Binding{Owner: bob, Context: "talk"})
		want("after another", 3, 3)
		time.Sleep(time.Second)
		want("after that was written", 3, 3)
		// What another replica binds is seen at the second use.
		store.store("e", task.Binding{Owner: alice, Context: "talk"})
		time.Sleep(2 * time.Second)
		total("")
		total("talk")
		time.Sleep(time.Second)
		want("after another replica's", 4, 4)
		// A conflict is found when it is written.
		store.store("f", task.Binding{Owner: bob})
		bind(l, "f", task.Binding{Owner: alice, Context: "talk"})
		want("before a conflict is known", 5, 5)
		time.Sleep(50 * time.Millisecond)
		want("after a conflict", 4, 4)
		stop()
	})
}

func TestTotal_ABindingWhileTheDatabaseCountsIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		stop := running(t, l)
		defer stop()
		bind(l, "a", task.Binding{Owner: alice})
		store.during = func() {
			bind(l, "b", task.Binding{Owner: alice})
			time.Sleep(100 * time.Millisecond) // it is written before the count is done, and counted twice
			store.during = nil
		}
		l.Listing(agent, alice, "").Total(t.Context())
		// That is put right behind the next use.
		l.Listing(agent, alice, "").Total(t.Context())
		synctest.Wait()
		if n := l.Listing(agent, alice, "").Total(t.Context()); n != 2 {
			t.Errorf("total = %d, want 2", n)
		}
	})
}

func TestTotal_AFailedCountIsMadeAnewBehindTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		stop := running(t, l)
		defer stop()
		for i := range 3 {
			store.store(fmt.Sprint(i), task.Binding{Owner: alice})
		}
		store.set(errors.New("down"), false)
		bind(l, "mine", task.Binding{Owner: alice})
		if n := l.Listing(agent, alice, "").Total(t.Context()); n != 1 {
			t.Errorf("while down the total is %d, want what is known", n)
		}
		begin := time.Now()
		store.set(nil, true)
		if n := l.Listing(agent, alice, "").Total(t.Context()); n != 1 || time.Since(begin) != 0 {
			t.Errorf("the second total is %d after %s, want 1 at once", n, time.Since(begin))
		}
		store.set(nil, false)
		time.Sleep(10 * time.Second)
		l.Listing(agent, alice, "").Total(t.Context())
		time.Sleep(time.Second)
		if n := l.Listing(agent, alice, "").Total(t.Context()); n != 4 {
			t.Errorf("with the database back the total is %d, want 4", n)
		}
	})
}

// What one replica remembers of counts is bounded, and what is forgotten is asked again.
func TestTotal_ManyCallersTakeBoundedMemory(t *testing.T) {
	store := newMemory()
	l := newLedger(t, store)
	bind(l, "a", task.Binding{Owner: alice})
	for range 2 {
		before := store.looks()[1]
		if n := l.Listing(agent, alice, "").Total(t.Context()); n != 1 || store.looks()[1] != before+1 {
			t.Errorf("total = %d after %d looks, want 1 after 1", n, store.looks()[1]-before)
		}
		for range 10_000 {
			l.Listing(agent, uuid.New(), "").Total(t.Context())
		}
	}
}

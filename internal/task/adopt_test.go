package task_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/task"
)

// verdicts writes what became of ids as "task t: 0".
func verdicts(r task.AdoptionResult) []string {
	var got []string
	for _, j := range r.IDs {
		kind := []string{"task", "context"}[j.Kind]
		got = append(got, kind+" "+j.ID.ID+": "+[]string{"adopted", "already", "other", "invalid"}[j.Verdict])
	}
	return got
}

func TestAdopt_JudgesEachIDOnceInTheOrderGiven(t *testing.T) {
	store := newMemory()
	store.store("bobs", task.Binding{Owner: bob})
	store.store("mine", task.Binding{Owner: alice})
	l := newLedger(t, store)
	bind(l, "unwritten", task.Binding{Owner: bob})
	long := strings.Repeat("x", 513)
	items := []task.Item{
		{Task: "new", Context: "talk"},
		{Task: "bobs", Context: "talk"},
		{Task: "mine"},
		{Task: "new", Terminal: true},
		{Task: "unwritten"},
		{},
		{Task: long},
		{Task: "a\x00b"},
		{Context: "new"},
		{Task: "torn", Context: "one"},
		{Task: "torn", Context: "two"},
	}
	want := []string{
		"task new: adopted", "context talk: adopted", "task bobs: other", "task mine: already", "task unwritten: other",
		"task : invalid", "task " + long + ": invalid", "task a\x00b: invalid", "context new: adopted",
		"task torn: invalid", "context one: adopted", "context two: adopted",
	}
	for _, tt := range []struct {
		name               string
		skip, validateOnly bool
		refused, stored    bool
	}{
		{"validate only", false, true, false, false},
		{"validate only, skip", true, true, false, false},
		{"fail", false, false, true, false},
		{"skip", true, false, false, true},
	} {
		got, err := l.Adopt(t.Context(), task.Adoption{
			Agent: agent, Owner: alice, Endpoint: "http://a", Items: items, SkipTaken: tt.skip, ValidateOnly: tt.validateOnly,
		})
		if err != nil || got.Refused != tt.refused {
			t.Fatalf("%s: refused %t, %v", tt.name, got.Refused, err)
		}
		if diff := cmp.Diff(want, verdicts(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		b, stored := store.rows[task.ID{Kind: task.Task, Agent: agent, ID: "new"}]
		if stored != tt.stored {
			t.Errorf("%s: stored %t", tt.name, stored)
		}
		wantB := task.Binding{Owner: alice, Endpoint: "http://a", Context: "talk", Terminal: true}
		if diff := cmp.Diff(wantB, b, cmpopts.IgnoreUnexported(task.Binding{})); stored && diff != "" {
			t.Errorf("binding (-want +got):\n%s", diff)
		}
		if _, stored := store.rows[task.ID{Kind: task.Task, Agent: agent, ID: "torn"}]; stored {
			t.Errorf("%s: a task with two contexts was stored", tt.name)
		}
	}
	if b := store.rows[task.ID{Kind: task.Task, Agent: agent, ID: "bobs"}]; b.Owner != bob {
		t.Error("a binding moved")
	}
}

// No replica remembers that an id is nobody's, so that what one adopts the next question
// of another finds.
func TestAdopt_IsSeenByReplicasThatAskedBefore(t *testing.T) {
	store := newMemory()
	here, there := newLedger(t, store), newLedger(t, store)
	owned := func(l *task.Ledger) bool {
		a, err := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"old"}})
		if err != nil {
			t.Fatal(err)
		}
		return a.TasksOwned
	}
	if owned(here) || owned(there) {
		t.Fatal("a task of nobody is owned")
	}
	if _, err := here.Adopt(t.Context(), task.Adoption{Agent: agent, Owner: alice, Items: []task.Item{{Task: "old"}}}); err != nil {
		t.Fatal(err)
	}
	asked := store.looks()[0]
	if !owned(here) || store.looks()[0] != asked {
		t.Error("the replica that adopted it does not know it")
	}
	if !owned(there) {
		t.Error("the other replica does not find the adopted task")
	}
}

func TestAdopt_ListsAndCountsHaveWhatWasAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		here, there := newLedger(t, store), newLedger(t, store)
		defer running(t, here)()
		defer running(t, there)()
		total := func(l *task.Ledger, context string) int { return l.Listing(agent, alice, context).Total(t.Context()) }
		for _, l := range []*task.Ledger{here, there} {
			total(l, "")
			total(l, "talk")
		}
		items := []task.Item{{Task: "one", Context: "talk"}, {Task: "two"}}
		for range 2 {
			if _, err := here.Adopt(t.Context(), task.Adoption{Agent: agent, Owner: alice, Items: items}); err != nil {
				t.Fatal(err)
			}
			if all, talk := total(here, ""), total(here, "talk"); all != 2 || talk != 1 {
				t.Errorf("there are %d tasks, %d of the context; want 2 and 1", all, talk)
			}
		}
		s := there.Listing(agent, alice, "talk")
		if got := s.Shows(t.Context(), []string{"one", "two"}); !slices.Equal(got, []bool{true, false}) || s.Total(t.Context()) != 1 {
			t.Errorf("another replica shows %v", got)
		}
	})
}

func TestAdopt_WithoutTheDatabaseFailsAndBindsNothing(t *testing.T) {
	store := newMemory()
	down := errors.New("down")
	store.set(down, false)
	l := newLedger(t, store)
	if _, err := l.Adopt(t.Context(), task.Adoption{Agent: agent, Owner: alice, Items: []task.Item{{Task: "t"}}}); !errors.Is(err, down) {
		t.Errorf("adopt gave %v", err)
	}
	if _, _, err := l.Owner(t.Context(), task.ID{Kind: task.Task, Agent: agent, ID: "t"}); !errors.Is(err, down) {
		t.Errorf("owner gave %v", err)
	}
	store.set(nil, false)
	if got, _ := l.Ask(t.Context(), task.Question{Agent: agent, Owner: alice, Tasks: []string{"t"}}); got.TasksOwned {
		t.Error("the task is owned though it was not adopted")
	}
}

func TestOwner_TellsOfTasksAndContextsStoredOrOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLedger(t, store)
		id := task.ID{Kind: task.Context, Agent: agent, ID: "c"}
		want := func(when string, owned bool) {
			t.Helper()
			b, ok, err := l.Owner(t.Context(), id)
			if err != nil || ok != owned || (owned && b.Owner != alice) {
				t.Errorf("%s: %+v, %t, %v", when, b, ok, err)
			}
		}
		want("before", false)
		l.Bind(id, task.Binding{Owner: alice})
		want("before it is written", true)
		stop := running(t, l)
		time.Sleep(time.Second)
		want("after that", true)
		stop()
	})
}

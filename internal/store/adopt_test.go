package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/task"
)

func always([]task.Entry) bool { return true }

func TestOwnership_AdoptBindsWhatIsNobodysAndLeavesTheRest(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent, alice, bob := uuid.New(), uuid.New(), uuid.New()
	theirs := bound(task.Task, agent, "theirs", task.Binding{Owner: bob, Endpoint: "http://b"})
	mine := bound(task.Task, agent, "mine", task.Binding{Owner: alice, Endpoint: "http://a", Context: "old"})
	talk := bound(task.Context, agent, "talk", task.Binding{Owner: bob})
	mustWrite(t, s, theirs, mine, talk)

	fresh := bound(task.Task, agent, "fresh", task.Binding{Owner: alice, Endpoint: "http://c", Context: "talk", Terminal: true})
	chat := bound(task.Context, agent, "chat", task.Binding{Owner: alice, Endpoint: "http://c"})
	given := []task.Entry{
		fresh, chat,
		bound(task.Task, agent, "theirs", task.Binding{Owner: alice}),
		bound(task.Task, agent, "mine", task.Binding{Owner: alice, Endpoint: "http://c", Context: "new", Terminal: true}),
		bound(task.Context, agent, "talk", task.Binding{Owner: alice}),
	}
	refused := 0
	got, err := s.Adopt(t.Context(), given, func(before []task.Entry) bool {
		refused++
		if diff := cmp.Diff(sorted([]task.Entry{theirs, mine, talk}), sorted(before), byValue()); diff != "" {
			t.Errorf("bound before (-want +got):\n%s", diff)
		}
		return false
	})
	if err != nil || refused != 1 || len(got) != 3 {
		t.Errorf("an adoption that was stopped gave %v, %v after %d questions", got, err, refused)
	}
	names := []string{"fresh", "mine", "theirs"}
	wantResolved(t, s, agent, alice, names, []string{"chat", "talk"}, nil, theirs, mine, talk)

	if _, err := s.Adopt(t.Context(), given, always); err != nil {
		t.Fatal(err)
	}
	wantResolved(t, s, agent, alice, names, []string{"chat", "talk"}, nil, theirs, mine, talk, fresh, chat)
	if got, err := s.Adopt(t.Context(), nil, always); err != nil || got != nil {
		t.Errorf("adopting nothing gave %v, %v", got, err)
	}
	// What was adopted is forgotten as all bindings are.
	if err := s.Purge(t.Context(), time.Now().Add(time.Hour), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantResolved(t, s, agent, alice, names, []string{"chat", "talk"}, nil, theirs, mine)
}

// What becomes another's between the look and the write is seen before anything stays.
func TestOwnership_AdoptTakesAllBackWhenItComesTooLate(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent, alice, bob := uuid.New(), uuid.New(), uuid.New()
	late := bound(task.Task, agent, "b", task.Binding{Owner: bob})
	given := []task.Entry{
		bound(task.Task, agent, "a", task.Binding{Owner: alice}), bound(task.Task, agent, "b", task.Binding{Owner: alice}),
		bound(task.Context, agent, "c", task.Binding{Owner: alice}),
	}
	for _, skip := range []bool{false, true} {
		asked := 0
		got, err := s.Adopt(t.Context(), given, func(before []task.Entry) bool {
			asked++
			if asked == 1 && !skip {
				mustWrite(t, s, late)
				return true
			}
			return skip
		})
		if err != nil || len(got) != 1 || got[0].Owner != bob {
			t.Errorf("skip %t: adopt gave %v, %v", skip, got, err)
		}
		want := []task.Entry{late}
		if skip {
			want = []task.Entry{late, given[0], given[2]}
		}
		wantResolved(t, s, agent, alice, []string{"a", "b"}, []string{"c"}, nil, want...)
	}
}

// Adoptions, claims and the writing of bindings get along at the same time, and each id
// has one owner in the end.
func TestOwnership_AdoptGetsAlongWithCalls(t *testing.T) {
	s := store.NewOwnership(pgtest.New(t))
	agent := uuid.New()
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("%03d", i))
	}
	owners := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	var calls sync.WaitGroup
	for i, owner := range owners {
		var entries []task.Entry
		for _, id := range ids {
			entries = append(entries, bound(task.Task, agent, id, task.Binding{Owner: owner}), bound(task.Context, agent, id, task.Binding{Owner: owner}))
		}
		if i%2 == 1 {
			slices.Reverse(entries)
		}
		calls.Go(func() {
			var err error
			switch i {
			case 0, 1:
				_, err = s.Adopt(t.Context(), entries, always)
			case 2:
				_, err = s.Write(t.Context(), entries)
			case 3:
				_, err = s.Resolve(t.Context(), agent, owner, nil, nil, ids)
			}
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	calls.Wait()
	got, err := s.Resolve(t.Context(), agent, owners[0], ids, ids, nil)
	if err != nil || len(got) != 2*len(ids) {
		t.Fatalf("%d bindings, %v; want one of each task and context", len(got), err)
	}
	for _, e := range got {
		if !slices.Contains(owners, e.Owner) {
			t.Errorf("%v belongs to nobody of them", e)
		}
	}
}

package gatewaytest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// databaseTimeout is what a call waits for Postgres at most.
const databaseTimeout = 250 * time.Millisecond

// tasksOf begins tasks at a replica and returns their ids, which begin with a prefix.
func tasksOf(g *gatewaytest.Gateway, key, prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%02d", prefix, i))
		g.Call("lister", key, "SendMessage", gatewaytest.Message(ids[i], "hi", ""))
	}
	return ids
}

// listed lists all tasks that a caller sees, page by page, and returns the total that
// the pages named and the time that the quickest page took.
func listed(t *testing.T, g *gatewaytest.Gateway, key string) (ids []string, total int, quickest time.Duration) {
	t.Helper()
	token := ""
	quickest = time.Hour
	for page := range 20 {
		begin := time.Now()
		got := g.Call("lister", key, "ListTasks", fmt.Sprintf(`{"pageSize":5,"pageToken":%q}`, token))
		quickest = min(quickest, time.Since(begin))
		var reply struct {
			Result struct {
				Tasks         []struct{ ID string }
				NextPageToken string
				TotalSize     int
			}
		}
		if err := json.Unmarshal(got.Body, &reply); err != nil || got.Error(t).Code != 0 {
			t.Fatalf("page %d: %s, %v", page, got.Body, err)
		}
		for _, task := range reply.Result.Tasks {
			ids = append(ids, task.ID)
		}
		total = reply.Result.TotalSize
		if token = reply.Result.NextPageToken; token == "" {
			return ids, total, quickest
		}
	}
	t.Fatal("the list does not end")
	return nil, 0, 0
}

// wantListed checks what a caller sees.
func wantListed(t *testing.T, when string, g *gatewaytest.Gateway, key string, want []string) {
	t.Helper()
	ids, total, _ := listed(t, g, key)
	if !slices.Equal(ids, want) || total != len(want) {
		t.Errorf("%s: %q are listed, totalSize %d; want %q", when, ids, total, want)
	}
}

func TestListTasks_OfKnownTasksDoesNotWaitForPostgres(t *testing.T) {
	g := gatewaytest.Start(t)
	alice, bob := g.Team("alice"), g.Team("bob")
	g.Agent("lister", "alice", peers.StartLister(t).URL)
	mine := tasksOf(g, alice, "a", 7)
	tasksOf(g, bob, "b", 6)
	wantListed(t, "with Postgres", g, alice, mine)

	thaw := pgtest.Freeze(t)
	mine = append(mine, tasksOf(g, alice, "a-frozen", 2)...)
	tasksOf(g, bob, "b-frozen", 2)
	quickest := time.Hour
	for range 5 { // the machine may be slow, the gateway may not wait
		ids, total, took := listed(t, g, alice)
		if !slices.Equal(ids, mine) || total != len(mine) {
			t.Errorf("without Postgres %q are listed, totalSize %d; want %q", ids, total, mine)
		}
		quickest = min(quickest, took)
	}
	if quickest >= databaseTimeout {
		t.Errorf("every page took %s or longer, though all tasks are known", quickest)
	}
	thaw()
	wantListed(t, "after that", g, alice, mine)
}

func TestListTasks_LeavesOutWhatItCannotLookUp(t *testing.T) {
	g := gatewaytest.Start(t)
	alice, bob := g.Team("alice"), g.Team("bob")
	g.Agent("lister", "alice", peers.StartLister(t).URL)
	elsewhere := tasksOf(g, alice, "first", 4)
	tasksOf(g, bob, "b", 4)
	eventuallyWritten(t, g, alice, elsewhere[3])
	second := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	here := tasksOf(second, alice, "second", 3)

	thaw := pgtest.Freeze(t)
	begin := time.Now()
	ids, total, _ := listed(t, second, alice) // three pages of the agent, one of the caller
	took := time.Since(begin)
	if !slices.Equal(ids, here) || total != len(here) {
		t.Errorf("without Postgres %q are listed, totalSize %d; want those that the replica knows, %q", ids, total, here)
	}
	// Each of the agent's pages has tasks that are not known, and the whole call waits once.
	if took < databaseTimeout || took > databaseTimeout+3*time.Second {
		t.Errorf("it took %s; want one wait of %s", took, databaseTimeout)
	}
	if ids, _, _ := listed(t, second, bob); len(ids) > 0 {
		t.Errorf("another caller sees %q", ids)
	}
	thaw()
	all := slices.Concat(elsewhere, here)
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		ids, total, _ := listed(t, second, alice)
		if slices.Equal(ids, all) && total == len(all) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with Postgres again %q are listed, totalSize %d; want %q", ids, total, all)
		}
	}
	// Now they are known here too.
	thaw = pgtest.Freeze(t)
	defer thaw()
	wantListed(t, "without Postgres again", second, alice, all)
	if _, _, quickest := listed(t, second, alice); quickest >= databaseTimeout {
		t.Errorf("a page took %s, though all tasks are known", quickest)
	}
}

// eventuallyWritten waits until Postgres knows whose a task is, as another replica sees it.
func eventuallyWritten(t *testing.T, g *gatewaytest.Gateway, key, id string) {
	t.Helper()
	other := gatewaytest.StartOver(t, g.DSN, t.TempDir())
	defer other.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		e := other.Call("lister", key, "GetTask", fmt.Sprintf(`{"id":%q}`, id)).Error(t)
		if e.Code != -32001 { // this agent cannot give a task, but it was asked
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("task %s is not in Postgres within 10 s: %+v", id, e)
		}
	}
}

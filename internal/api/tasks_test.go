package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/task"
)

// adopting is a plane with two teams that have an agent each.
type adopting struct {
	*plane
	one, two             string // keys
	oneSecret, twoSecret string
}

func newAdopting(t *testing.T) *adopting {
	p := &adopting{plane: newPlane(t)}
	p.one, p.oneSecret = p.team(t, "one")
	p.two, p.twoSecret = p.team(t, "two")
	visible := func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_ORGANIZATION }
	p.agent(t, "one", "first", visible)
	p.agent(t, "two", "second", visible)
	return p
}

// entriesOf makes entries of "t" for a task, "t/c" for a task with its context, and "/c"
// for a context.
func entriesOf(ids ...string) []*taskv1.AdoptionEntry {
	var entries []*taskv1.AdoptionEntry
	for _, id := range ids {
		t, c, _ := strings.Cut(id, "/")
		entries = append(entries, &taskv1.AdoptionEntry{TaskId: t, ContextId: c})
	}
	return entries
}

// outcomes writes results as "task t ADOPTED".
func outcomes(res *taskv1.AdoptTasksResponse) []string {
	var got []string
	for _, r := range res.GetResults() {
		kind := "task " + r.GetTaskId()
		if _, ok := r.GetId().(*taskv1.AdoptionResult_ContextId); ok {
			kind = "context " + r.GetContextId()
		}
		got = append(got, kind+" "+strings.TrimPrefix(r.GetOutcome().String(), "ADOPTION_OUTCOME_"))
	}
	return got
}

func (p *adopting) wantOwner(t *testing.T, agent, id, owner string) {
	t.Helper()
	got, err := p.admin().GetOwner(t.Context(), &taskv1.GetOwnerRequest{Agent: agent, Id: &taskv1.GetOwnerRequest_TaskId{TaskId: id}})
	if owner == "" {
		refused(t, err, connect.CodeNotFound, "TASK_NOT_FOUND")
		return
	}
	if err != nil || got.GetOwner() != owner {
		t.Errorf("task %s of %s is %v, %v; want %s", id, agent, got, err, owner)
	}
}

func TestAdoptTasks_GivesWhatNobodyOwnsAndTellsOfEachId(t *testing.T) {
	p := newAdopting(t)
	ctx := t.Context()
	req := &taskv1.AdoptTasksRequest{Agent: "agents/first", Owner: p.one, Entries: []*taskv1.AdoptionEntry{
		{TaskId: "t1", ContextId: "c1"}, {TaskId: "t2", ContextId: "c1", Terminal: true}, {ContextId: "t1"}, {TaskId: "t2"},
	}}
	check := func(req *taskv1.AdoptTasksRequest, want ...string) {
		t.Helper()
		res, err := p.as(p.oneSecret).AdoptTasks(ctx, req)
		must(t, err)
		if diff := cmp.Diff(want, outcomes(res)); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	}
	preview := &taskv1.AdoptTasksRequest{Agent: req.GetAgent(), Owner: req.GetOwner(), Entries: req.GetEntries(), ValidateOnly: true}
	check(preview, "task t1 ADOPTED", "context c1 ADOPTED", "task t2 ADOPTED", "context t1 ADOPTED")
	p.wantOwner(t, "agents/first", "t1", "")
	check(req, "task t1 ADOPTED", "context c1 ADOPTED", "task t2 ADOPTED", "context t1 ADOPTED")
	check(req, "task t1 ALREADY_OWNED", "context c1 ALREADY_OWNED", "task t2 ALREADY_OWNED", "context t1 ALREADY_OWNED")

	got, err := p.as(p.oneSecret).GetOwner(ctx, &taskv1.GetOwnerRequest{Agent: "agents/first", Id: &taskv1.GetOwnerRequest_TaskId{TaskId: "t2"}})
	must(t, err)
	want := &taskv1.Owner{Agent: "agents/first", TaskId: "t2", ContextId: "c1", Owner: p.one, EndpointUrl: "http://127.0.0.1:9", Terminal: true}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("owner (-want +got):\n%s", diff)
	}
	got, err = p.as(p.oneSecret).GetOwner(ctx, &taskv1.GetOwnerRequest{Agent: "agents/first", Id: &taskv1.GetOwnerRequest_ContextId{ContextId: "c1"}})
	must(t, err)
	want = &taskv1.Owner{Agent: "agents/first", ContextId: "c1", Owner: p.one, EndpointUrl: "http://127.0.0.1:9"}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("owner of the context (-want +got):\n%s", diff)
	}
	// An id means something within its agent only.
	p.wantOwner(t, "agents/second", "t1", "")
}

func TestAdoptTasks_AConflictStopsAllOrIsPassedOver(t *testing.T) {
	p := newAdopting(t)
	ctx, c := t.Context(), p.admin()
	_, err := c.AdoptTasks(ctx, &taskv1.AdoptTasksRequest{Agent: "agents/first", Owner: p.two, Entries: entriesOf("theirs/talk")})
	must(t, err)
	req := func(mode taskv1.ConflictMode, ids ...string) *taskv1.AdoptTasksRequest {
		return &taskv1.AdoptTasksRequest{Agent: "agents/first", Owner: p.one, ConflictMode: mode, Entries: entriesOf(ids...)}
	}
	_, err = c.AdoptTasks(ctx, req(taskv1.ConflictMode_CONFLICT_MODE_UNSPECIFIED, "a", "theirs/talk", "b"))
	info := refused(t, err, connect.CodeAlreadyExists, "TASK_OWNED")
	if diff := cmp.Diff(map[string]string{"task_id": "theirs", "owned_by_other_count": "2", "invalid_count": "0"}, info.GetMetadata()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	long := strings.Repeat("x", 513)
	_, err = c.AdoptTasks(ctx, req(taskv1.ConflictMode_CONFLICT_MODE_FAIL, "a", "b/"+long))
	if info := refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT"); info.GetMetadata()["field"] != "entries[1].context_id" {
		t.Errorf("an id that is too long: %v", info)
	}
	p.wantOwner(t, "agents/first", "a", "")

	res, err := c.AdoptTasks(ctx, req(taskv1.ConflictMode_CONFLICT_MODE_SKIP, "a", "theirs/talk", "", "b/"+long, "n\x00", "d/1", "d/2"))
	must(t, err)
	want := []string{
		"task a ADOPTED", "task theirs OWNED_BY_OTHER", "context talk OWNED_BY_OTHER", "task  INVALID", "task b ADOPTED",
		"context " + long + " INVALID", "task n\x00 INVALID", "task d INVALID", "context 1 ADOPTED", "context 2 ADOPTED",
	}
	if diff := cmp.Diff(want, outcomes(res)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if res.GetAdoptedCount() != 4 || res.GetOwnedByOtherCount() != 2 || res.GetInvalidCount() != 4 || res.GetAlreadyOwnedCount() != 0 {
		t.Errorf("counts %v", res)
	}
	p.wantOwner(t, "agents/first", "theirs", p.two)
	p.wantOwner(t, "agents/first", "a", p.one)
}

// Whoever does not own the agent gains nothing by guessing ids, of tasks that somebody
// owns or nobody does.
func TestAdoptTasks_IsForTheAgentsTeamAndAdmins(t *testing.T) {
	p := newAdopting(t)
	ctx := t.Context()
	p.agent(t, "two", "hidden", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_TEAM })
	mate, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/one", KeyId: "mate"})
	must(t, err)
	adopt := func(secret, agent, owner, id string) error {
		_, err := p.as(secret).AdoptTasks(ctx, &taskv1.AdoptTasksRequest{Agent: agent, Owner: owner, Entries: entriesOf(id)})
		return err
	}
	for _, tt := range []struct {
		name, secret, agent, owner string
		code                       connect.Code
		reason                     string
	}{
		{"without a key", "", "agents/first", p.one, connect.CodeUnauthenticated, "CREDENTIALS_MISSING"},
		{"at an agent that it may only call", p.oneSecret, "agents/second", p.one, connect.CodePermissionDenied, "PERMISSION_DENIED"},
		{"at an agent that it may not see", p.oneSecret, "agents/hidden", p.one, connect.CodeNotFound, "AGENT_NOT_FOUND"},
		{"at no agent", p.oneSecret, "agents/none", p.one, connect.CodeNotFound, "AGENT_NOT_FOUND"},
		{"for another team", p.oneSecret, "agents/first", p.two, connect.CodeNotFound, "KEY_NOT_FOUND"},
		{"for nobody", p.oneSecret, "agents/first", "teams/one/keys/none", connect.CodeNotFound, "KEY_NOT_FOUND"},
		{"as admin for nobody", adminSecret, "agents/first", "teams/one/keys/none", connect.CodeNotFound, "KEY_NOT_FOUND"},
		{"for what is no key", adminSecret, "agents/first", "teams/one", connect.CodeInvalidArgument, "INVALID_ARGUMENT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, adopt(tt.secret, tt.agent, tt.owner, "t"), tt.code, tt.reason)
		})
	}
	for _, agent := range []string{"agents/first", "agents/second", "agents/hidden"} {
		p.wantOwner(t, agent, "t", "")
	}
	must(t, adopt(p.oneSecret, "agents/first", mate.GetKey().GetName(), "t"))
	must(t, adopt(adminSecret, "agents/first", p.two, "u"))
	// Not even the agent's own team, or an admin, moves what has an owner.
	refused(t, adopt(p.oneSecret, "agents/first", p.one, "u"), connect.CodeAlreadyExists, "TASK_OWNED")
	refused(t, adopt(adminSecret, "agents/first", p.one, "t"), connect.CodeAlreadyExists, "TASK_OWNED")

	owner := func(secret, agent, id string) (*taskv1.Owner, error) {
		return p.as(secret).GetOwner(ctx, &taskv1.GetOwnerRequest{Agent: agent, Id: &taskv1.GetOwnerRequest_TaskId{TaskId: id}})
	}
	if got, err := owner(p.oneSecret, "agents/first", "u"); err != nil || got.GetOwner() != "" || got.GetTaskId() != "u" {
		t.Errorf("the agent's team reads of another's task %v, %v; want that it has an owner and not which", got, err)
	}
	_, err = owner(p.twoSecret, "agents/first", "u")
	refused(t, err, connect.CodePermissionDenied, "PERMISSION_DENIED")
	_, err = owner(p.oneSecret, "agents/hidden", "u")
	refused(t, err, connect.CodeNotFound, "AGENT_NOT_FOUND")
}

func TestAdoptTasks_TakesOnlyInstancesOfTheAgent(t *testing.T) {
	p := newAdopting(t)
	ctx := t.Context()
	p.agent(t, "one", "many", func(a *registryv1.Agent) {
		a.Endpoints = []*registryv1.Endpoint{{Url: "http://127.0.0.1:9/"}, {Url: "http://127.0.0.1:10/a"}}
	})
	adopt := func(id, endpoint string) error {
		_, err := p.as(p.oneSecret).AdoptTasks(ctx, &taskv1.AdoptTasksRequest{
			Agent: "agents/many", Owner: p.one, EndpointUrl: endpoint, Entries: entriesOf(id),
		})
		return err
	}
	refused(t, adopt("a", "http://127.0.0.1:11"), connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	must(t, adopt("a", "http://127.0.0.1:10/a/"))
	must(t, adopt("b", ""))
	for id, want := range map[string]string{"a": "http://127.0.0.1:10/a", "b": ""} {
		got, err := p.admin().GetOwner(ctx, &taskv1.GetOwnerRequest{Agent: "agents/many", Id: &taskv1.GetOwnerRequest_TaskId{TaskId: id}})
		must(t, err)
		if got.GetEndpointUrl() != want {
			t.Errorf("task %s is at %q, want %q", id, got.GetEndpointUrl(), want)
		}
	}
}

func TestAdoptTasks_TakesAThousandEntriesOfTheLongestIdsAndNoMore(t *testing.T) {
	p := newAdopting(t)
	var entries []*taskv1.AdoptionEntry
	for i := range 1001 {
		id := fmt.Sprintf("%04d", i)
		entries = append(entries, &taskv1.AdoptionEntry{TaskId: id + strings.Repeat("t", 508), ContextId: id + strings.Repeat("c", 508)})
	}
	req := &taskv1.AdoptTasksRequest{Agent: "agents/first", Owner: p.one, Entries: entries}
	_, err := p.as(p.oneSecret).AdoptTasks(t.Context(), req)
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	req.Entries = entries[:1000]
	res, err := p.as(p.oneSecret).AdoptTasks(t.Context(), req)
	must(t, err)
	if res.GetAdoptedCount() != 2000 {
		t.Errorf("%d ids were adopted, want 2000", res.GetAdoptedCount())
	}
}

// Two owners who adopt the same ids at once share none of them, and one wins all.
func TestAdoptTasks_AtTheSameTimeOneWins(t *testing.T) {
	p := newAdopting(t)
	var ids []string
	for i := range 200 {
		ids = append(ids, fmt.Sprintf("t%d/c%d", i, i))
	}
	backwards := make([]string, len(ids))
	for i, id := range ids {
		backwards[len(ids)-1-i] = id
	}
	var calls sync.WaitGroup
	errs := make([]error, 2)
	for i, order := range [][]string{ids, backwards} {
		calls.Go(func() {
			_, errs[i] = p.admin().AdoptTasks(t.Context(), &taskv1.AdoptTasksRequest{
				Agent: "agents/first", Owner: []string{p.one, p.two}[i], Entries: entriesOf(order...),
			})
		})
	}
	calls.Wait()
	winner, loser := 0, 1
	if errs[0] != nil {
		winner, loser = 1, 0
	}
	must(t, errs[winner])
	refused(t, errs[loser], connect.CodeAlreadyExists, "TASK_OWNED")
	for _, id := range []string{"t0", "t99", "t199"} {
		p.wantOwner(t, "agents/first", id, []string{p.one, p.two}[winner])
	}
}

// Ids that this replica has bound and not written yet have an owner already.
func TestAdoptTasks_FindsOwnersThatWaitForTheDatabase(t *testing.T) {
	p := newAdopting(t)
	agent, ok := p.follower.Current().Agent("first")
	if !ok {
		t.Fatal("the agent is not served")
	}
	two, err := p.identity.Key(t.Context(), "two", "laptop")
	must(t, err)
	// A ledger that nothing writes for.
	ledger, err := task.NewLedger(task.Config{Store: unwritten{}})
	must(t, err)
	id := task.ID{Kind: task.Task, Agent: agent.UID, ID: "t"}
	ledger.Bind(id, task.Binding{Owner: two.UID})
	got, err := ledger.Adopt(t.Context(), task.Adoption{Agent: agent.UID, Owner: p.identityOf(t, "one"), Items: []task.Item{{Task: "t"}}})
	must(t, err)
	if !got.Refused || got.IDs[0].Verdict != task.OwnedByOther {
		t.Errorf("adopting it gave %+v", got)
	}
}

func (p *adopting) identityOf(t *testing.T, team string) (uid [16]byte) {
	t.Helper()
	k, err := p.identity.Key(t.Context(), team, "laptop")
	must(t, err)
	return k.UID
}

// unwritten is a store that is never asked.
type unwritten struct{ task.Store }

func TestAdoptTasks_WithoutTheDatabaseSaysSo(t *testing.T) {
	p := newAdopting(t)
	thaw := pgtest.Freeze(t)
	defer thaw()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := p.as(p.oneSecret).AdoptTasks(ctx, &taskv1.AdoptTasksRequest{Agent: "agents/first", Owner: p.one, Entries: entriesOf("t")})
	refused(t, err, connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
}

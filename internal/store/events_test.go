package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func query(t *testing.T, scope audit.Scope, filter string) audit.Query {
	t.Helper()
	conditions, err := audit.ParseFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Query{Conditions: conditions, Scope: scope}
}

// sampleCalls records ten calls, two of each team and agent, a second apart.
func sampleCalls(t *testing.T, r *replica) []*audit.Opening {
	t.Helper()
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	outcomes := []audit.Outcome{audit.Succeeded, audit.Failed, audit.TimedOut}
	out := make([]*audit.Opening, 10)
	for i := range out {
		out[i] = r.open(func(o *audit.Opening) {
			o.Time = begin.Add(time.Duration(i) * time.Second)
			o.Team = fmt.Sprintf("team-%d", i%5)
			o.Agent = fmt.Sprintf("Agent_%d%%", i/2)
			o.Caller = fmt.Sprintf("teams/team-%d/keys/k%d", i%5, i)
			o.Method = []string{"SendMessage", "GetTask"}[i%2]
			o.UpstreamDialect = []string{"", "GRPC/1.0", "HTTP+JSON/0.3"}[i%3]
			if i%5 == 4 {
				o.Plane, o.Resource = audit.PlaneManagement, "agents/"+o.Agent
			}
		})
		r.end(out[i], outcomes[i%3])
	}
	r.drain()
	return out
}

func TestList_Filters(t *testing.T) {
	pool := pgtest.New(t)
	sampleCalls(t, startReplica(t, pool, t.TempDir()))
	tests := map[string]struct {
		filter string
		want   []int64
	}{
		"everything":              {"", []int64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		"agent by resource name":  {`agent="agents/Agent_1%"`, []int64{4, 3}},
		"agent by id":             {`agent="Agent_1%"`, []int64{4, 3}},
		"no wildcard in equal":    {`agent="Agent_%"`, nil},
		"no wildcard in contains": {`agent:"t%1"`, nil},
		"contains, any case":      {`agent:"AGENT_1%"`, []int64{4, 3}},
		"team by name":            {`team="teams/team-2"`, []int64{8, 3}},
		"team by id":              {`team=team-2`, []int64{8, 3}},
		"caller":                  {`caller="teams/team-2/keys/k7"`, []int64{8}},
		"caller contains":         {`caller:keys/k1`, []int64{2}},
		"method":                  {`method=GetTask AND agent!="Agent_0%"`, []int64{10, 8, 6, 4}},
		"upstream dialect":        {`upstream_dialect="HTTP+JSON/0.3"`, []int64{9, 6, 3}},
		"no upstream dialect":     {`upstream_dialect=""`, []int64{10, 7, 4, 1}},
		"upstream dialects":       {`upstream_dialect:"/1.0"`, []int64{8, 5, 2}},
		"outcome":                 {`outcome=TIMED_OUT`, []int64{9, 6, 3}},
		"two of one field":        {`outcome!=TIMED_OUT AND outcome!=FAILED`, []int64{10, 7, 4, 1}},
		"a span of time":          {`time>=2026-03-01T12:00:03Z AND time<2026-03-01T13:00:05+01:00`, []int64{5, 4}},
		"a moment":                {`time=2026-03-01T12:00:03Z`, []int64{4}},
		"not a moment":            {`time!=2026-03-01T12:00:03Z AND time<=2026-03-01T12:00:04Z AND time>2026-03-01T12:00:01Z`, []int64{5, 3}},
		"plane":                   {`plane=MANAGEMENT`, []int64{10, 5}},
		"the other plane":         {`plane="PLANE_DATA" AND outcome=SUCCEEDED`, []int64{7, 4, 1}},
		"not a plane":             {`plane!=DATA`, []int64{10, 5}},
		"resource":                {`resource="agents/Agent_4%"`, []int64{10}},
		"resource contains":       {`resource:AGENTS/`, []int64{10, 5}},
		"what looks like SQL":     {`caller="x' OR '1'='1" AND agent:"%'; DROP TABLE events; --"`, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			page, err := store.NewEvents(pool).List(t.Context(), query(t, audit.AllTeams(), tc.filter), 0, 50)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sequences(page.Events)); diff != "" || page.Next != 0 {
				t.Errorf("List(%s), next page %d (-want +got):\n%s", tc.filter, page.Next, diff)
			}
		})
	}
}

func sequences(events []audit.Event) (out []int64) {
	for _, e := range events {
		out = append(out, e.Sequence)
	}
	return out
}

func TestList_PagesMeetWithoutGapWhileEventsCome(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	sampleCalls(t, r)
	var got []int64
	for before, pages := int64(0), 0; ; pages++ {
		page, err := store.NewEvents(pool).List(t.Context(), query(t, audit.AllTeams(), `method=SendMessage`), before, 2)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, sequences(page.Events)...)
		r.end(r.open(), audit.Succeeded) // newer than the first page
		r.drain()
		if before = page.Next; before == 0 {
			break
		}
		if pages > 10 {
			t.Fatal("the pages do not end")
		}
	}
	if diff := cmp.Diff([]int64{9, 7, 5, 3, 1}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestEvents_AreSeenByTheirTeamAlone(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	calls := sampleCalls(t, r)
	refused := r.refuse() // has no team
	r.drain()
	events := store.NewEvents(pool)
	tests := map[string]struct {
		scope audit.Scope
		want  []int64
	}{
		"all":            {audit.AllTeams(), []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		"one team":       {audit.OneTeam("team-1"), []int64{2, 7}},
		"another team":   {audit.OneTeam("team-x"), nil},
		"no team":        {audit.OneTeam(""), nil},
		"the zero scope": {audit.Scope{}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			after, err := events.After(t.Context(), query(t, tc.scope, ""), 0, 100, 100)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sequences(after)); diff != "" {
				t.Errorf("After (-want +got):\n%s", diff)
			}
			page, err := events.List(t.Context(), query(t, tc.scope, `outcome!=SUMMARY`), 0, 100)
			if err != nil || len(page.Events) != len(tc.want) {
				t.Errorf("List gives %d events, %v; want %d", len(page.Events), err, len(tc.want))
			}
			seen := 0
			for _, id := range append([]uuid.UUID{refused}, ids(calls)...) {
				switch e, err := events.Get(t.Context(), id, tc.scope); {
				case err == nil && e.Invocation == id:
					seen++
				case !errors.Is(err, audit.ErrEventNotFound):
					t.Errorf("Get(%s) = %v, %v", id, e.Invocation, err)
				}
			}
			if seen != len(tc.want) {
				t.Errorf("Get finds %d events, want %d", seen, len(tc.want))
			}
		})
	}
}

func ids(calls []*audit.Opening) (out []uuid.UUID) {
	for _, o := range calls {
		out = append(out, o.Invocation)
	}
	return out
}

func TestGet_UnknownEventIsNotFound(t *testing.T) {
	if _, err := store.NewEvents(pgtest.New(t)).Get(t.Context(), uuid.New(), audit.AllTeams()); !errors.Is(err, audit.ErrEventNotFound) {
		t.Errorf("Get = %v, want ErrEventNotFound", err)
	}
}

// An event whose entry only a newer version can read shows what its columns say.
func TestGet_EntryOfANewerVersionFallsBackToColumns(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	o := r.open(func(o *audit.Opening) { o.UpstreamDialect = "GRPC/1.0" })
	r.end(o, audit.Failed)
	r.drain()
	if _, err := pool.Exec(t.Context(), `UPDATE events SET closed_entry = '{"v":9,"kind":"ended"}'`); err != nil {
		t.Fatal(err)
	}
	e, err := store.NewEvents(pool).Get(t.Context(), o.Invocation, audit.OneTeam("demo"))
	if err != nil {
		t.Fatal(err)
	}
	if e.Plane != audit.PlaneData || e.Outcome != audit.Failed || e.Agent != "echo" || e.AgentUID != o.AgentUID || e.CallerUID != o.CallerUID || e.TaskID != "learned" ||
		e.UpstreamDialect != "GRPC/1.0" {
		t.Errorf("event = %+v, want what the columns say", e)
	}
}

func TestGet_AManagementEventHasWhatItChanged(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	o := r.open(func(o *audit.Opening) { o.Plane, o.Resource, o.Agent = audit.PlaneManagement, "", "" })
	end := &audit.Closing{Invocation: o.Invocation, Outcome: audit.Succeeded, Management: &audit.ManagementEnd{
		Resource: "teams/demo", Revision: 12, Before: []byte(`{"a":"\u0000"}`), After: []byte(`{"b":{}}`),
	}}
	if err := r.recorder.Close(end); err != nil {
		t.Fatal(err)
	}
	r.drain()
	e, err := store.NewEvents(pool).Get(t.Context(), o.Invocation, audit.OneTeam("demo"))
	if err != nil {
		t.Fatal(err)
	}
	if e.Plane != audit.PlaneManagement || e.Resource != "teams/demo" || e.Revision != 12 || string(e.Before) != `{"a":"\u0000"}` || string(e.After) != `{"b":{}}` {
		t.Errorf("event = %+v", e)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE events SET closed_entry = '{"v":9,"kind":"ended"}'`); err != nil {
		t.Fatal(err)
	}
	if e, err = store.NewEvents(pool).Get(t.Context(), o.Invocation, audit.AllTeams()); err != nil || e.Plane != audit.PlaneManagement || e.Resource != "teams/demo" {
		t.Errorf("by its columns the event is %+v, %v", e, err)
	}
}

func TestTail_SendsWhatMatchesAsItComes(t *testing.T) {
	pool := pgtest.New(t)
	r := startReplica(t, pool, t.TempDir())
	sampleCalls(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan audit.Event, 100)
	done := make(chan error, 2)
	tail := func(after *int64) {
		done <- audit.Tail(ctx, audit.TailConfig{
			Events: store.NewEvents(pool), Query: query(t, audit.OneTeam("demo"), `outcome=FAILED`), After: after, Poll: time.Millisecond,
		}, func(e audit.Event) error { got <- e; return nil })
	}
	five := int64(5)
	go tail(&five)
	for range 3 {
		r.end(r.open(), audit.Succeeded)
		o := r.open()
		r.end(o, audit.Failed)
		r.drain()
		select {
		case e := <-got:
			if e.Invocation != o.Invocation {
				t.Errorf("tail sent event %d, want that of the call just ended", e.Sequence)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the tail sent nothing")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Tail = %v after its end", err)
	}
	if len(got) != 0 {
		t.Errorf("the tail sent %d events too many", len(got))
	}
}

package audit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/filter"
)

var (
	first  = uuid.MustParse("01930000-0000-7000-8000-000000000001")
	second = uuid.MustParse("01930000-0000-7000-8000-000000000002")
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func opened(id uuid.UUID) *audit.Entry {
	return &audit.Entry{Kind: audit.KindOpened, Time: noon, Opening: audit.Opening{
		Invocation: id, Time: noon, Agent: "echo", Endpoint: "http://a", TaskID: "asked", ContextID: "asked",
	}}
}

func closed(id uuid.UUID) *audit.Entry {
	return &audit.Entry{Kind: audit.KindClosed, Time: noon.Add(time.Second), Closing: audit.Closing{
		Invocation: id, Outcome: audit.Succeeded, Duration: time.Second, ContextID: "learned",
	}}
}

func managed(id uuid.UUID) *audit.Entry {
	return &audit.Entry{Kind: audit.KindOpened, Time: noon, Opening: audit.Opening{
		Invocation: id, Time: noon, Plane: audit.PlaneManagement, Resource: "agents/asked", Decision: &audit.Decision{Permitted: true},
	}}
}

func changed(id uuid.UUID) *audit.Entry {
	return &audit.Entry{Kind: audit.KindClosed, Time: noon.Add(time.Second), Closing: audit.Closing{
		Invocation: id, Outcome: audit.Succeeded, Management: &audit.ManagementEnd{
			Resource: "agents/learned", Revision: 7, Before: []byte(`{"a":1}`), After: []byte(`{"a":2}`), Decision: &audit.Decision{Action: "later"},
		},
	}}
}

func TestMerge_MakesOneEventOfWhatThereIs(t *testing.T) {
	refused := &audit.Entry{Kind: audit.KindRefused, Opening: opened(first).Opening, Closing: audit.Closing{
		Invocation: first, Outcome: audit.Refused, Error: &audit.CallError{Code: 1},
	}}
	tests := map[string]struct {
		opened, closed *audit.Entry
		want           audit.Event
	}{
		"both halves": {opened(first), closed(first), audit.Event{
			Invocation: first, Time: noon, Agent: "echo", Endpoint: "http://a", TaskID: "asked", ContextID: "learned",
			Duration: time.Second, Outcome: audit.Succeeded, Count: 1, Plane: audit.PlaneData,
		}},
		"interrupted": {opened(first), nil, audit.Event{
			Invocation: first, Time: noon, Agent: "echo", Endpoint: "http://a", TaskID: "asked", ContextID: "asked",
			Outcome: audit.Interrupted, Count: 1, Plane: audit.PlaneData,
		}},
		"end alone": {nil, closed(first), audit.Event{
			Invocation: first, Time: noon, ContextID: "learned", Duration: time.Second, Outcome: audit.Succeeded, Count: 1,
			Plane: audit.PlaneData,
		}},
		"refused": {refused, nil, audit.Event{
			Invocation: first, Time: noon, Agent: "echo", Endpoint: "http://a", TaskID: "asked", ContextID: "asked",
			Outcome: audit.Refused, Error: &audit.CallError{Code: 1}, Count: 1, Plane: audit.PlaneData,
		}},
		"a management call": {managed(first), changed(first), audit.Event{
			Invocation: first, Time: noon, Plane: audit.PlaneManagement, Resource: "agents/learned", Revision: 7,
			Before: []byte(`{"a":1}`), After: []byte(`{"a":2}`), Decision: &audit.Decision{Action: "later"},
			Outcome: audit.Succeeded, Count: 1,
		}},
		"an interrupted management call": {managed(first), nil, audit.Event{
			Invocation: first, Time: noon, Plane: audit.PlaneManagement, Resource: "agents/asked", Decision: &audit.Decision{Permitted: true},
			Outcome: audit.Interrupted, Count: 1,
		}},
		"the end of a management call alone": {nil, changed(first), audit.Event{
			Invocation: first, Time: noon.Add(time.Second), Plane: audit.PlaneManagement, Resource: "agents/learned", Revision: 7,
			Before: []byte(`{"a":1}`), After: []byte(`{"a":2}`), Decision: &audit.Decision{Action: "later"},
			Outcome: audit.Succeeded, Count: 1,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := audit.Merge(tc.opened, tc.closed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Merge (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMerge_RefusesEntriesThatAreNotOfOneCall(t *testing.T) {
	tests := map[string][2]*audit.Entry{
		"nothing":       {nil, nil},
		"two calls":     {opened(first), closed(second)},
		"two openings":  {opened(first), opened(first)},
		"two closings":  {closed(first), closed(first)},
		"no kind":       {nil, {}},
		"closing first": {closed(first), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := audit.Merge(tc[0], tc[1]); !errors.Is(err, audit.ErrMalformed) {
				t.Errorf("Merge = %+v, %v; want ErrMalformed", got, err)
			}
		})
	}
}

func TestPairUp_FindsEachClosingItsOpening(t *testing.T) {
	third := uuid.MustParse("01930000-0000-7000-8000-000000000003")
	entries := []audit.SpooledEntry{
		{Number: 1, Entry: *opened(first)},
		{Number: 2, Entry: *opened(second)},
		{Number: 3, Entry: *closed(third)},
		{Number: 4, Fault: audit.ErrMalformed},
		{Number: 5, Entry: *closed(second)},
		{Number: 6, Entry: audit.Entry{Kind: audit.KindSummary}},
		{Number: 7, Entry: *closed(second)}, // no opening is used twice
		{Number: 8, Entry: *opened(third)},
	}
	got := audit.PairUp(entries)
	var pairs [][2]uint64
	for _, p := range got.Events {
		var n [2]uint64
		if p.Opened != nil {
			n[0] = p.Opened.Number
		}
		if p.Closed != nil {
			n[1] = p.Closed.Number
		}
		pairs = append(pairs, n)
	}
	if diff := cmp.Diff([][2]uint64{{0, 3}, {2, 5}, {6, 0}, {0, 7}}, pairs); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{1, 8}, numbers(got.Open)); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{4}, numbers(got.Unreadable)); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
}

func numbers(entries []*audit.SpooledEntry) (out []uint64) {
	for _, e := range entries {
		out = append(out, e.Number)
	}
	return out
}

func TestParseFilter_TakesNamesAndIDs(t *testing.T) {
	for _, text := range []string{`agent="agents/echo" AND team="teams/demo"`, `agent=echo AND team=demo`} {
		got, err := audit.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].Value != "echo" || got[1].Value != "demo" {
			t.Errorf("ParseFilter(%s) = %v", text, got)
		}
	}
	for _, text := range []string{`outcome=TIMED_OUT`, `outcome="OUTCOME_TIMED_OUT"`} {
		got, err := audit.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Value != string(audit.TimedOut) {
			t.Errorf("ParseFilter(%s) = %v", text, got)
		}
	}
	for _, text := range []string{`outcome=refused`, `outcome=outcome_refused`, `outcome=OUTCOME_UNSPECIFIED`, `outcome=OUTCOME_OUTCOME_REFUSED`, `outcome=OUTCOME_`} {
		if got, err := audit.ParseFilter(text); err == nil {
			t.Errorf("ParseFilter(%s) = %v, want an error: names are exact", text, got)
		}
	}
	for _, text := range []string{`plane=MANAGEMENT`, `plane="PLANE_MANAGEMENT"`} {
		got, err := audit.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Value != string(audit.PlaneManagement) {
			t.Errorf("ParseFilter(%s) = %v", text, got)
		}
	}
	if got, err := audit.ParseFilter(`plane=CONTROL`); err == nil {
		t.Errorf("ParseFilter = %v, want an error", got)
	}
	_, err := audit.ParseFilter(`outcome=DONE`)
	if e, ok := errors.AsType[*filter.Error](err); !ok || !slices.Contains(e.Allowed, "INTERRUPTED") || !strings.Contains(err.Error(), "position 9") {
		t.Errorf("ParseFilter = %v, want an error that names position and outcomes", err)
	}
}

// broken is a ledger that cannot be read.
type broken struct{ audit.Events }

func (broken) Head(context.Context) (int64, error) { return 0, errBroken }

var errBroken = errors.New("no ledger")

func TestTail_EndsWithTheLedgersError(t *testing.T) {
	err := audit.Tail(t.Context(), audit.TailConfig{Events: broken{}}, func(audit.Event) error { return nil })
	if !errors.Is(err, errBroken) {
		t.Errorf("Tail = %v, want the ledger's error", err)
	}
}

// long is a ledger of as many events as its value.
type long int64

func (l long) Head(context.Context) (int64, error) { return int64(l), nil }

func (l long) After(_ context.Context, _ audit.Query, after, through int64, limit int) ([]audit.Event, error) {
	var out []audit.Event
	for n := after + 1; n <= through && len(out) < limit; n++ {
		out = append(out, audit.Event{Sequence: n})
	}
	return out, nil
}

func (long) Get(context.Context, uuid.UUID, audit.Scope) (audit.Event, error) {
	return audit.Event{}, audit.ErrEventNotFound
}

func (long) List(context.Context, audit.Query, int64, int) (audit.Page, error) {
	return audit.Page{}, nil
}

// growing is a ledger that grows by one event whenever an hour is over.
type growing struct {
	long
	start time.Time
}

func (g growing) Head(context.Context) (int64, error) {
	return int64(time.Since(g.start) / time.Hour), nil
}

func TestTail_SaysThatItLivesOnlyWhenItWasSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		after := int64(0)
		var beats, events []time.Duration
		last := time.Duration(0)
		stop := errors.New("enough")
		err := audit.Tail(t.Context(), audit.TailConfig{
			Events: growing{start: start}, After: &after, Poll: time.Second, Silence: 25 * time.Minute,
			Silent: func() error {
				now := time.Since(start)
				// A look late at most, since it is noticed when the tail looks.
				if d := now - last; d < 25*time.Minute || d > 25*time.Minute+time.Second {
					t.Errorf("a sign of life after %v of silence", d)
				}
				beats, last = append(beats, now), now
				if len(beats) == 5 {
					return stop
				}
				return nil
			},
		}, func(audit.Event) error {
			last = time.Since(start)
			events = append(events, last)
			return nil
		})
		if !errors.Is(err, stop) {
			t.Errorf("Tail = %v, want the error of Silent", err)
		}
		// Two in each hour: 25 and 50 minutes after what was sent last.
		if len(events) != 2 || len(beats) != 5 {
			t.Errorf("events at %v, signs of life at %v, want 2 and 5", events, beats)
		}
	})
}

func TestTail_ThatLagsReadsInPartsAndMissesNothing(t *testing.T) {
	const head = 1777
	after := int64(10)
	next := after
	stop := errors.New("enough")
	err := audit.Tail(t.Context(), audit.TailConfig{Events: long(head), After: &after}, func(e audit.Event) error {
		if next++; e.Sequence != next {
			t.Fatalf("event %d comes after %d", e.Sequence, next-1)
		}
		if next == head {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || next != head {
		t.Errorf("Tail = %v at event %d, want the error of send at %d", err, next, head)
	}
}

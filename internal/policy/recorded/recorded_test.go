package recorded_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
)

var noon = time.Date(2026, 11, 16, 12, 0, 0, 123456789, time.UTC)

// tray is a spool that keeps the last entry.
type tray struct{ last []byte }

// Append implements [audit.Spool].
func (s *tray) Append(p []byte) (uint64, error) { s.last = slices.Clone(p); return 1, nil }

// AppendOpening implements [audit.Spool].
func (s *tray) AppendOpening(p []byte) (uint64, error) { return s.Append(p) }

// Headroom implements [audit.Spool].
func (s *tray) Headroom() error { return nil }

// written returns the entry of a call with a decision, and the entry read again.
func written(tb testing.TB, d *audit.Decision, at time.Time) ([]byte, audit.Entry) {
	tb.Helper()
	s := &tray{}
	recorder, err := audit.NewRecorder(audit.RecorderConfig{Spool: s})
	if err != nil {
		tb.Fatal(err)
	}
	if err := recorder.Open(&audit.Opening{Invocation: uuid.MustParse("01930000-0000-7000-8000-000000000001"), Time: at, Decision: d}); err != nil {
		tb.Fatal(err)
	}
	entry, err := audit.DecodeEntry(s.last)
	if err != nil {
		tb.Fatalf("%v: %s", err, s.last)
	}
	return s.last, entry
}

var compareQueries = cmp.Options{
	cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b policy.Entity) bool { return a.Equal(b) }),
	// Entries have microseconds; decisions look at milliseconds.
	cmp.Comparer(func(a, b time.Time) bool { return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) }),
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomQuery(r *rand.Rand) policy.Query {
	uid := func() policy.UID {
		return pick(r, policy.KeyUID("teams/research/keys/ci"), policy.AdminKeyUID, policy.UserUID(`users/okta~ada=20"ö`), policy.AgentUID("planner"))
	}
	q := policy.Query{
		Principal: pick(r, uid(), policy.AnonymousUID), Action: pick(r, policy.Actions()...),
		Resource: pick(r, policy.AgentUID("billing"), policy.InstallationUID, policy.TeamUID("research"), policy.EventEntity("e", "").UID,
			policy.RoleNameAuditor.UID("research"), policy.TagUID("a:b"), policy.UID{Type: policy.TypeTool, ID: "files/search"}),
		Context: policy.Context{Time: noon.Add(time.Duration(r.Int64N(int64(time.Hour))))},
	}
	if r.IntN(3) > 0 {
		q.Context.Method = pick(r, "message/send", "SendMessage")
		q.Context.Dialect = pick(r, "JSONRPC/0.3", "GRPC/1.0", "")
		q.Context.SourceAddress = pick(r, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"), netip.Addr{})
	}
	if r.IntN(3) == 0 {
		q.Claims.Teams = slices.Clone([]string{"a", "research", "z-9"}[:r.IntN(4)])
		q.Claims.Roles = slices.Clone([]identity.RoleIn{{Role: "admin"}, {Role: "publisher", Team: "research"}, {Role: "member", Team: "z-9"}}[:r.IntN(4)])
	}
	if r.IntN(4) == 0 {
		q.Context.Session = &policy.Session{Calls: r.Int64N(9), Steps: r.Int64(), CostMicros: -r.Int64()}
	}
	if r.IntN(4) == 0 {
		q.Context.Delegation = &policy.Delegation{
			Root: uid(), Depth: r.Int64N(4), Verified: r.IntN(2) == 0, Path: []policy.UID{policy.AgentUID("a"), policy.AgentUID("b")}[:r.IntN(3)],
		}
	}
	if r.IntN(4) == 0 {
		q.Extra = []policy.Entity{
			policy.EventEntity("e", pick(r, "", "research")), policy.GrantEntity(`g"\<>&`, "ä"), policy.TaskEntity("t", "planner", "research", "WORKING"),
			policy.AgentEntity(policy.Target{ID: "x", Team: "research", Tags: []string{"p", "q"}}), policy.UserEntity("users/a~b", "a", true, []string{"t"}),
		}[:1+r.IntN(5)]
	}
	return q
}

func randomAnswer(r *rand.Rand) policy.Answer {
	a := policy.Answer{Permit: r.IntN(2) == 0, Deciding: []string{"own-team/agents", "p"}[:r.IntN(3)]}
	if r.IntN(3) == 0 {
		a.Failing = []policy.Failure{{Statement: "f/1", Effect: "forbid", Text: "no such \"attribute\""}}
	}
	if r.IntN(3) == 0 {
		a.Shadow = &policy.Shadow{Permit: !a.Permit, Deciding: []string{"s"}, Failing: a.Failing}
	}
	return a
}

func TestQuery_ComesBackFromTheEntryAsItWasAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	for range 3000 {
		q, a := randomQuery(r), randomAnswer(r)
		at := q.Context.Time
		if r.IntN(2) == 0 {
			at = at.Add(time.Duration(r.Int64N(int64(time.Second))))
		}
		var d audit.Decision
		recorded.FromQuery(&d, q, a, 42)
		line, entry := written(t, &d, at)
		back := entry.Opening.Decision
		got, err := recorded.Query(back, entry.Time)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if diff := cmp.Diff(q, got, compareQueries); diff != "" {
			t.Fatalf("question (-asked +read again) of %s:\n%s", line, diff)
		}
		want := d
		if want.Time.Truncate(time.Microsecond).Equal(at.Truncate(time.Microsecond)) {
			want.Time = time.Time{} // that of the event
		}
		if diff := cmp.Diff(&want, back, compareQueries); diff != "" {
			t.Fatalf("decision (-recorded +read again) of %s:\n%s", line, diff)
		}
	}
}

func TestFromQuery_UsualEntriesStaySmall(t *testing.T) {
	q := policy.Query{
		Principal: policy.KeyUID("teams/demo/keys/laptop"), Action: policy.SendMessage, Resource: policy.AgentUID("echo"),
		Context: policy.Context{Time: noon, Method: "SendMessage", Dialect: "JSONRPC/1.0", SourceAddress: netip.MustParseAddr("192.0.2.7")},
	}
	a := policy.Answer{Permit: true, Deciding: []string{"own-team/agents", "visible-agent"}}
	var d audit.Decision
	recorded.FromQuery(&d, q, a, 17)
	line, _ := written(t, &d, noon)
	// What the fixed rules recorded of the same call.
	before, _ := written(t, &audit.Decision{
		Permitted: true, Rules: []string{"own-team", "visible-agent"}, Revision: 17,
		Principal: "teams/demo/keys/laptop", Action: "invoke", Resource: "agents/echo",
		Context: []audit.Attribute{
			{Name: "principal.team", Value: "demo"},
			{Name: "resource.team", Value: "demo"},
			{Name: "resource.visibility", Value: "ORGANIZATION"},
			{Name: "resource.state", Value: "APPROVED"},
		},
	}, noon)
	if len(line) > len(before) {
		t.Errorf("the entry has %d bytes, before there were policies %d:\n%s", len(line), len(before), line)
	}
	if n := testing.AllocsPerRun(100, func() { recorded.FromQuery(&d, q, a, 17) }); n > 3 {
		t.Errorf("FromQuery takes %v allocations, want those of the two names and the address", n)
	}
}

func TestQuery_NeverGuesses(t *testing.T) {
	good := func() *audit.Decision {
		return &audit.Decision{Principal: "key:teams/t/keys/k", Action: "SendMessage", Resource: "agent:a"}
	}
	if _, err := recorded.Query(good(), noon); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(d *audit.Decision){
		"of the fixed rules": func(d *audit.Decision) { d.Principal, d.Action, d.Resource = "teams/t/keys/k", "invoke", "agents/a" },
		"of the admin key":   func(d *audit.Decision) { d.Principal = "admin" },
		"no principal":       func(d *audit.Decision) { d.Principal = "" },
		"no resource":        func(d *audit.Decision) { d.Resource = "" },
		"bad address":        func(d *audit.Decision) { d.SourceAddress = "here" },
		"bad root":           func(d *audit.Decision) { d.Delegation = &audit.Delegation{} },
		"bad path":           func(d *audit.Decision) { d.Delegation = &audit.Delegation{Root: "agent:a", Path: []string{"b"}} },
		"bad entities":       func(d *audit.Decision) { d.Entities = []byte(`[1]`) },
		"cut":                func(d *audit.Decision) { d.InputCut = true },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			d := good()
			spoil(d)
			if q, err := recorded.Query(d, noon); !errors.Is(err, recorded.ErrNotReplayable) {
				t.Errorf("Query(%+v) = %+v, %v; want ErrNotReplayable", d, q, err)
			}
		})
	}
	if _, err := recorded.Query(nil, noon); !errors.Is(err, recorded.ErrNotReplayable) {
		t.Errorf("of no decision: %v", err)
	}
}

// What does not fit into an entry whole is never taken for a smaller question.
func TestFromQuery_WhatIsTooLargeIsNotReplayed(t *testing.T) {
	long := strings.Repeat("x", 201)
	many := make([]string, 101)
	for i := range many {
		many[i] = "t"
	}
	base := func() policy.Query {
		return policy.Query{
			Principal: policy.KeyUID("teams/t/keys/k"), Action: policy.SendMessage, Resource: policy.AgentUID("a"), Context: policy.Context{Time: noon},
		}
	}
	tests := map[string]func(q *policy.Query){
		"principal":     func(q *policy.Query) { q.Principal = policy.KeyUID(long) },
		"resource":      func(q *policy.Query) { q.Resource = policy.AgentUID(long) },
		"NUL":           func(q *policy.Query) { q.Resource = policy.AgentUID("a\x00b") },
		"not UTF-8":     func(q *policy.Query) { q.Resource = policy.AgentUID("a\xff") },
		"method":        func(q *policy.Query) { q.Context.Method = long },
		"dialect":       func(q *policy.Query) { q.Context.Dialect = long },
		"101 teams":     func(q *policy.Query) { q.Claims.Teams = many },
		"a team's name": func(q *policy.Query) { q.Claims.Teams = []string{long} },
		"a role":        func(q *policy.Query) { q.Claims.Roles = []identity.RoleIn{{Role: long}} },
		"a root":        func(q *policy.Query) { q.Context.Delegation = &policy.Delegation{Root: policy.AgentUID(long)} },
		"the path": func(q *policy.Query) {
			q.Context.Delegation = &policy.Delegation{Root: policy.AgentUID("a"), Path: make([]policy.UID, 101)}
		},
		"entities":         func(q *policy.Query) { q.Extra = []policy.Entity{policy.EventEntity(strings.Repeat("x", 20_000), "")} },
		"a time of no one": func(q *policy.Query) { q.Context.Time = time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			q := base()
			spoil(&q)
			var d audit.Decision
			recorded.FromQuery(&d, q, policy.Answer{}, 1)
			line, entry := written(t, &d, noon)
			if got, err := recorded.Query(entry.Opening.Decision, entry.Time); !errors.Is(err, recorded.ErrNotReplayable) {
				t.Errorf("read again as %+v, %v; want ErrNotReplayable. The entry: %.500s", got, err, line)
			}
		})
	}
	// Rules that do not fit are only shown.
	var d audit.Decision
	recorded.FromQuery(&d, base(), policy.Answer{Permit: true, Deciding: slices.Repeat([]string{"g"}, 5000)}, 1)
	_, entry := written(t, &d, noon)
	if _, err := recorded.Query(entry.Opening.Decision, entry.Time); err != nil || len(entry.Opening.Decision.Rules) < 50 {
		t.Errorf("with %d rules: %v", len(entry.Opening.Decision.Rules), err)
	}
}

// FuzzQuery proves that whatever stands in an entry is either refused or the same
// question when it is recorded again.
func FuzzQuery(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		var d audit.Decision
		recorded.FromQuery(&d, randomQuery(r), randomAnswer(r), 3)
		line, _ := written(f, &d, noon)
		_, decision, _ := strings.Cut(string(line), `,"decision":`)
		f.Add([]byte(strings.TrimSuffix(decision, "}")))
	}
	f.Add([]byte(`{"permitted":true,"principal":"teams/t/keys/k","action":"invoke","resource":"agents/a","context":{"principal.team":"t"}}`))
	f.Add([]byte(`{"principal":"agent:a","resource":"agent:a","entities":[{"uid":{"type":"A","id":"b"},"parents":[],"attrs":{}}],"input_cut":false}`))
	f.Fuzz(func(t *testing.T, decision []byte) {
		line := append([]byte(`{"v":1,"kind":"opened","invocation":"01930000-0000-7000-8000-000000000001","time":"2026-11-16T12:00:00Z","decision":`), decision...)
		entry, err := audit.DecodeEntry(append(line, '}'))
		if err != nil {
			return
		}
		q, err := recorded.Query(entry.Opening.Decision, entry.Time)
		if err != nil {
			if !errors.Is(err, recorded.ErrNotReplayable) {
				t.Fatalf("Query = %v", err)
			}
			return
		}
		var again audit.Decision
		recorded.FromQuery(&again, q, policy.Answer{}, 1)
		_, back := written(t, &again, entry.Time)
		got, err := recorded.Query(back.Opening.Decision, back.Time)
		if errors.Is(err, recorded.ErrNotReplayable) {
			return // it has grown: escapes take more room than what they stand for
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q, got, compareQueries); diff != "" {
			t.Errorf("of %s (-first +second):\n%s", decision, diff)
		}
	})
}

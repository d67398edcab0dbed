package api_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// ledger writes events into a database as a replica does.
type ledger struct {
	mu      sync.Mutex
	events  *store.Events
	process audit.Process
	entries [][]byte
	shipped uint64
}

func (l *ledger) Append(b []byte) (uint64, error) {
	l.entries = append(l.entries, append([]byte(nil), b...))
	return uint64(len(l.entries)), nil
}
func (l *ledger) AppendOpening(b []byte) (uint64, error) { return l.Append(b) }
func (l *ledger) Headroom() error                        { return nil }

func newLedger(t *testing.T, p *plane) *ledger {
	t.Helper()
	l := &ledger{events: store.NewEvents(p.pool), process: audit.Process{Replica: uuid.New(), Epoch: 1, Instance: uuid.New()}}
	_, err := l.events.Register(t.Context(), l.process)
	must(t, err)
	return l
}

// add ships the event of one call of a team's key to an agent.
func (l *ledger) add(t *testing.T, team, agent string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	recorder, err := audit.NewRecorder(audit.RecorderConfig{Spool: l})
	must(t, err)
	id, err := uuid.NewV7()
	must(t, err)
	now := time.Now()
	must(t, recorder.Open(&audit.Opening{
		Invocation: id, Time: now, Caller: "teams/" + team + "/keys/laptop", CallerUID: uuid.New(), Team: team, SourceAddress: "192.0.2.1",
		Agent: agent, AgentUID: uuid.New(), Endpoint: "http://h", Method: "SendMessage", Dialect: "JSONRPC/1.0", UpstreamDialect: "GRPC/1.0", RequestID: "1", RequestBytes: 12,
		TraceID: strings.Repeat("a", 32), SpanID: strings.Repeat("b", 16),
		Decision: &audit.Decision{
			Permitted: true, Rules: []string{"own-team"}, Revision: 3, Principal: "p", Action: "invoke", Resource: "agents/" + agent,
			Context: []audit.Attribute{{Name: "k", Value: "v"}},
		},
	}))
	must(t, recorder.Close(&audit.Closing{
		Invocation: id, Duration: 5 * time.Millisecond, FirstByte: 2 * time.Millisecond, Outcome: audit.Failed,
		Error: &audit.CallError{Code: -32001, Message: "no such task"}, ResponseBytes: 34, HTTPStatus: 200, TaskID: "t1",
	}))
	l.ship(t)
	return "events/" + id.String()
}

// ship brings what was appended into the database.
func (l *ledger) ship(t *testing.T) {
	t.Helper()
	var batch []audit.SpooledEntry
	for i := l.shipped; i < uint64(len(l.entries)); i++ {
		entry, err := audit.DecodeEntry(l.entries[i])
		must(t, err)
		batch = append(batch, audit.SpooledEntry{Number: i + 1, Epoch: 1, Time: time.Now(), Data: l.entries[i], Entry: entry})
	}
	_, err := l.events.Ship(t.Context(), l.process, batch)
	must(t, err)
	l.shipped = uint64(len(l.entries))
}

func newAuditPlane(t *testing.T, options ...option) (*plane, *ledger) {
	t.Helper()
	var events eventsOf
	p := newPlane(t, append(options, func(c *api.Config) { c.Events = &events })...)
	events.Events = store.NewEvents(p.pool)
	return p, newLedger(t, p)
}

// eventsOf is a ledger that is set after the handler was made.
type eventsOf struct{ audit.Events }

func TestEvents_AreListedReadAndFilteredWithinTheCallersTeam(t *testing.T) {
	p, l := newAuditPlane(t)
	_, own := p.team(t, "a")
	_, other := p.team(t, "b")
	first, second, third := l.add(t, "a", "echo"), l.add(t, "b", "echo"), l.add(t, "a", "planner")
	list := func(secret, filter string) (names []string) {
		t.Helper()
		for token := ""; ; {
			res, err := p.as(secret).ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: filter, PageSize: 1, PageToken: token})
			must(t, err)
			for _, e := range res.GetEvents() {
				names = append(names, e.GetName())
			}
			if token = res.GetNextPageToken(); token == "" {
				return names
			}
		}
	}
	for _, tc := range []struct {
		name, secret, filter string
		want                 []string
	}{
		{"admin", adminSecret, "", []string{third, second, first}},
		{"own team", own, "", []string{third, first}},
		{"other team", other, "", []string{second}},
		{"by agent", adminSecret, `agent="agents/echo"`, []string{second, first}},
		{"foreign team", own, `team=teams/b`, nil},
		{"by outcome with its prefix", own, `outcome="OUTCOME_FAILED"`, []string{third, first}},
		{"not by outcome with its prefix", own, `outcome != OUTCOME_FAILED`, nil},
		{"by outcome and method", own, `outcome=FAILED AND method=SendMessage AND agent=agents/planner`, []string{third}},
	} {
		if diff := cmp.Diff(tc.want, list(tc.secret, tc.filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	e, err := p.as(own).GetEvent(t.Context(), &auditv1.GetEventRequest{Name: first})
	must(t, err)
	if e.GetOutcome() != auditv1.Outcome_OUTCOME_FAILED || e.GetAgent() != "agents/echo" || e.GetTeam() != "teams/a" ||
		e.GetError().GetCode() != -32001 || e.GetDuration().AsDuration() != 5*time.Millisecond || e.GetTimeToFirstByte() == nil ||
		e.GetDecision().GetContext()["k"] != "v" || !e.GetDecision().GetPermitted() || e.GetTaskId() != "t1" || e.GetCount() != 1 ||
		e.GetDialect() != "JSONRPC/1.0" || e.GetUpstreamDialect() != "GRPC/1.0" {
		t.Errorf("event %v", e)
	}
	_, err = p.as(other).GetEvent(t.Context(), &auditv1.GetEventRequest{Name: first})
	refused(t, err, connect.CodeNotFound, "EVENT_NOT_FOUND")
	_, err = p.admin().GetEvent(t.Context(), &auditv1.GetEventRequest{Name: "events/" + uuid.NewString()})
	refused(t, err, connect.CodeNotFound, "EVENT_NOT_FOUND")
	_, err = p.admin().GetEvent(t.Context(), &auditv1.GetEventRequest{Name: "events/x"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = p.admin().ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: "size=1"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_FILTER")
	_, err = p.admin().ListEvents(t.Context(), &auditv1.ListEventsRequest{PageToken: "x"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_PAGE_TOKEN")
	_, err = p.as("").ListEvents(t.Context(), &auditv1.ListEventsRequest{})
	refused(t, err, connect.CodeUnauthenticated, "CREDENTIALS_MISSING")
}

func TestTailEvents_SendsWhatComesUntilTheGatewayDrains(t *testing.T) {
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithClientOptions(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(),
	} {
		t.Run(name, func(t *testing.T) {
			p, l := newAuditPlane(t)
			_, own := p.team(t, "a")
			first := l.add(t, "a", "echo")
			after := int64(0)
			stream, err := p.as(own, option).TailEvents(t.Context(), &auditv1.TailEventsRequest{AfterSequence: &after})
			must(t, err)
			defer func() { _ = stream.Close() }()
			l.add(t, "b", "echo") // not the caller's
			second := l.add(t, "a", "echo")
			for _, want := range []string{first, second} {
				if !stream.Receive() {
					t.Fatalf("the tail ended: %v", stream.Err())
				}
				if got := stream.Msg().GetEvent().GetName(); got != want {
					t.Errorf("tail sent %s, want %s", got, want)
				}
			}
			p.drain()
			if stream.Receive() {
				t.Errorf("tail sent %v after its end", stream.Msg())
			}
			refused(t, stream.Err(), connect.CodeUnavailable, "SHUTTING_DOWN")
		})
	}
}

func TestTailEvents_EndsWhenTheCredentialHoldsNoLonger(t *testing.T) {
	for name, tc := range map[string]struct {
		end    func(t *testing.T, p *plane, key string)
		reason string
	}{
		"disabled": {func(t *testing.T, p *plane, key string) {
			t.Helper()
			_, err := p.admin().DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: key})
			must(t, err)
		}, "KEY_DISABLED"},
		"expired": {func(_ *testing.T, p *plane, _ string) { p.clock.step(2 * time.Hour) }, "KEY_EXPIRED"},
		"rotated": {func(t *testing.T, p *plane, key string) {
			t.Helper()
			_, err := p.admin().RotateKey(t.Context(), &identityv1.RotateKeyRequest{Name: key})
			must(t, err)
		}, "CREDENTIALS_INVALID"},
		"deleted with its team": {func(t *testing.T, p *plane, key string) {
			t.Helper()
			// In one step, so that the tail cannot see the key disabled before.
			_, err := p.pool.Exec(t.Context(), "UPDATE keys SET disabled = true")
			must(t, err)
			_, err = p.admin().DeleteTeam(t.Context(), &identityv1.DeleteTeamRequest{Name: strings.Split(key, "/keys/")[0]})
			must(t, err)
		}, "CREDENTIALS_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := newAuditPlane(t)
			key, own := p.team(t, "a")
			_, err := p.admin().UpdateKey(t.Context(), &identityv1.UpdateKeyRequest{
				Key: &identityv1.Key{Name: key, ExpireTime: timestamppb.New(p.clock.Now().Add(time.Hour))},
			})
			must(t, err)
			after := int64(0)
			tail := func() *connect.ServerStreamForClient[auditv1.TailEventsResponse] {
				t.Helper()
				stream, err := p.as(own).TailEvents(t.Context(), &auditv1.TailEventsRequest{AfterSequence: &after})
				must(t, err)
				return stream
			}
			silent, busy := tail(), tail()
			defer func() { _, _ = silent.Close(), busy.Close() }()
			first := l.add(t, "a", "echo")
			for _, stream := range []*connect.ServerStreamForClient[auditv1.TailEventsResponse]{silent, busy} {
				if !stream.Receive() || stream.Msg().GetEvent().GetName() != first {
					t.Fatalf("tail sent %v, %v; want %s", stream.Msg(), stream.Err(), first)
				}
			}
			tc.end(t, p, key)
			if silent.Receive() {
				t.Errorf("a silent tail sent %v", silent.Msg())
			}
			refused(t, silent.Err(), connect.CodeUnauthenticated, tc.reason)
			l.add(t, "a", "echo")
			if busy.Receive() {
				t.Errorf("a tail sent %v after the key's end", busy.Msg())
			}
			refused(t, busy.Err(), connect.CodeUnauthenticated, tc.reason)
		})
	}
}

func TestTailEvents_NothingIsSentBetweenTwoLooks(t *testing.T) {
	p, l := newAuditPlane(t)
	key, own := p.team(t, "a")
	after := int64(0)
	stream, err := p.as(own).TailEvents(t.Context(), &auditv1.TailEventsRequest{AfterSequence: &after})
	must(t, err)
	defer func() { _ = stream.Close() }()
	_, err = p.admin().DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: key})
	must(t, err)
	l.add(t, "a", "echo") // at once, before the next look at the key
	if stream.Receive() {
		t.Errorf("a tail sent %v after the key was disabled", stream.Msg())
	}
	refused(t, stream.Err(), connect.CodeUnauthenticated, "KEY_DISABLED")
}

func TestTailEvents_SendsResponsesWithoutAnEventWhileItIsSilent(t *testing.T) {
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithClientOptions(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(),
	} {
		t.Run(name, func(t *testing.T) {
			p, l := newAuditPlane(t, func(c *api.Config) { c.TailSilence = 30 * time.Millisecond })
			after := int64(0)
			stream, err := p.as(adminSecret, option).TailEvents(t.Context(), &auditv1.TailEventsRequest{AfterSequence: &after})
			must(t, err)
			defer func() { _ = stream.Close() }()
			next := func() *auditv1.TailEventsResponse {
				t.Helper()
				if !stream.Receive() {
					t.Fatalf("the tail ended: %v", stream.Err())
				}
				return stream.Msg()
			}
			for range 3 {
				if got := next(); got.GetEvent() != nil {
					t.Fatalf("a tail of no events sent %v", got)
				}
			}
			want := l.add(t, "a", "echo")
			got := next()
			for got.GetEvent() == nil {
				got = next()
			}
			if got.GetEvent().GetName() != want {
				t.Errorf("tail sent %s, want %s", got.GetEvent().GetName(), want)
			}
			if got := next(); got.GetEvent() != nil {
				t.Errorf("tail sent %v after its only event", got)
			}
		})
	}
}

func TestEvents_OfSummarySayWhatWasRefused(t *testing.T) {
	p, l := newAuditPlane(t)
	recorder, err := audit.NewRecorder(audit.RecorderConfig{Spool: l})
	must(t, err)
	// More than are recorded one by one.
	for i := range 60 {
		id, err := uuid.NewV7()
		must(t, err)
		reason := "CREDENTIALS_INVALID"
		if i%2 == 1 {
			reason = "CREDENTIALS_MISSING"
		}
		must(t, recorder.RefuseUnauthenticated(
			&audit.Opening{Invocation: id, Time: time.Now(), SourceAddress: "192.0.2.1"},
			&audit.Closing{Invocation: id, Outcome: audit.Refused, Error: &audit.CallError{Code: -31401, Reason: reason}, HTTPStatus: 401},
		))
	}
	must(t, recorder.Flush())
	l.ship(t)
	res, err := p.admin().ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: "outcome=OUTCOME_SUMMARY"})
	must(t, err)
	if len(res.GetEvents()) != 1 {
		t.Fatalf("there are %d summaries, want 1", len(res.GetEvents()))
	}
	e, err := p.admin().GetEvent(t.Context(), &auditv1.GetEventRequest{Name: res.GetEvents()[0].GetName()})
	must(t, err)
	r := e.GetRefusals()
	if r.GetSources() != 1 || r.GetSourcesCapped() || r.GetAuthenticated() != 0 || len(r.GetReasons()) != 2 ||
		r.GetReasons()[0].GetReason() != "CREDENTIALS_INVALID" || r.GetReasons()[1].GetReason() != "CREDENTIALS_MISSING" {
		t.Errorf("refusals %v, want two reasons of one source", r)
	}
	var sum int64
	for _, reason := range r.GetReasons() {
		sum += reason.GetCount()
	}
	if sum != e.GetCount() || sum < 1 {
		t.Errorf("the reasons count %d refusals, the event %d", sum, e.GetCount())
	}
	must(t, protovalidate.Validate(e))

	res, err = p.admin().ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: "outcome=REFUSED", PageSize: 1})
	must(t, err)
	if len(res.GetEvents()) != 1 || res.GetEvents()[0].Refusals != nil {
		t.Errorf("events %v, want one refusal that counts no others", res.GetEvents())
	}
}

func TestTailEvents_Refuses(t *testing.T) {
	p, _ := newAuditPlane(t)
	tail := func(secret, filter string) error {
		stream, err := p.as(secret).TailEvents(t.Context(), &auditv1.TailEventsRequest{Filter: filter})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		stream.Receive()
		return stream.Err()
	}
	refused(t, tail("", ""), connect.CodeUnauthenticated, "CREDENTIALS_MISSING")
	refused(t, tail(adminSecret, "size=1"), connect.CodeInvalidArgument, "INVALID_FILTER")
	refused(t, tail(adminSecret, strings.Repeat("x", 3000)), connect.CodeInvalidArgument, "INVALID_ARGUMENT")
}

func TestTailEvents_EndsWhenTheCallerLeaves(t *testing.T) {
	p, l := newAuditPlane(t)
	ctx, cancel := context.WithCancel(t.Context())
	after := int64(0)
	stream, err := p.admin().TailEvents(ctx, &auditv1.TailEventsRequest{AfterSequence: &after})
	must(t, err)
	l.add(t, "a", "echo")
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	cancel()
	stream.Receive()
	if err := stream.Err(); !errors.Is(err, context.Canceled) && connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("after leaving: %v", err)
	}
	_ = stream.Close()
	eventually(t, "the log line of the tail", func() bool { return strings.Contains(p.log.String(), "TailEvents") })
}

package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestRecord_NoSecretComesIntoIt(t *testing.T) {
	p := newPlane(t)
	_, secret := p.team(t, "a")
	rotated, err := p.admin().RotateKey(t.Context(), &identityv1.RotateKeyRequest{Name: "teams/a/keys/laptop"})
	must(t, err)
	_, err = p.as(rotated.GetSecret()).GetKey(t.Context(), &identityv1.GetKeyRequest{Name: "teams/a/keys/laptop"})
	must(t, err)
	const password, query = "pass-in-an-address", "query-of-an-address"
	for _, card := range []string{"http://user:" + password + "@127.0.0.1:1/card", "http://127.0.0.1:1/card?token=" + query} {
		_, err = p.admin().ImportAgent(t.Context(), &registryv1.ImportAgentRequest{
			AgentId: "x", Team: "teams/a", Source: &registryv1.ImportAgentRequest_CardUrl{CardUrl: card},
		})
		if err == nil {
			t.Errorf("the card at %s was found", card)
		}
	}
	const body = "secret-in-a-body"
	p.post(t, createTeam, "application/json", adminSecret, `{"teamId": {"x":"`+body+`"}}`)
	p.post(t, createTeam, "application/json", adminSecret, `{"`+body+`":1}`)
	p.post(t, createTeam, "application/json", "wrong-"+body, `{}`)
	if events, _ := p.record.events(t); len(events) != 9 {
		t.Errorf("%d events, want one of each of 9 calls", len(events))
	}
	for _, s := range []string{secret, rotated.GetSecret(), adminSecret, password, query, body} {
		if bytes.Contains(p.record.bytes(), []byte(s)) {
			t.Errorf("%q is in the record:\n%s", s, p.record.bytes())
		}
	}
}

func TestRecord_AFullRecordRefusesReadsAndWritesBeforeTheyHappen(t *testing.T) {
	p := newPlane(t)
	p.team(t, "a")
	p.record.forget()
	p.record.fill(true)
	_, err := p.admin().CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "b"})
	refused(t, err, connect.CodeUnavailable, "RECORD_UNAVAILABLE")
	_, err = p.admin().GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/a"})
	refused(t, err, connect.CodeUnavailable, "RECORD_UNAVAILABLE")
	tail, err := p.admin().TailEvents(t.Context(), &auditv1.TailEventsRequest{})
	must(t, err)
	tail.Receive()
	refused(t, tail.Err(), connect.CodeUnavailable, "RECORD_UNAVAILABLE")
	_ = tail.Close()
	eventually(t, "three events", func() bool { events, _ := p.record.events(t); return len(events) == 3 })
	events, open := p.record.events(t)
	for _, e := range events {
		if e.Outcome != audit.Refused || e.Error.Reason != "RECORD_UNAVAILABLE" || e.Caller != "admin" {
			t.Errorf("event %+v, %+v; want a refusal", e, e.Error)
		}
	}
	if open != 0 {
		t.Errorf("%d calls are open", open)
	}
	p.record.fill(false)
	if _, err = p.admin().GetTeam(t.Context(), &identityv1.GetTeamRequest{Name: "teams/b"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("GetTeam = %v; the team was made though that could not be recorded", err)
	}
}

// filling is a record that is full from the moment at which it was asked whether it is.
type filling struct {
	audit.Recorder
	record *record
}

func (f filling) Ready() error {
	defer f.record.fill(true)
	return f.Recorder.Ready()
}

func TestRecord_ThatFillsMeanwhileRefusesTheWrite(t *testing.T) {
	var f filling
	p := newPlane(t, func(c *api.Config) { f.Recorder, c.Recorder = c.Recorder, &f })
	f.record = p.record
	for range 2 {
		_, err := p.admin().CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "b"})
		refused(t, err, connect.CodeUnavailable, "RECORD_UNAVAILABLE")
		p.record.fill(false)
	}
	if _, err := p.identity.Team(t.Context(), "b"); err == nil {
		t.Error("the team was made")
	}
}

func TestRecord_DoesNotWaitForPostgres(t *testing.T) {
	p := newPlane(t, func(c *api.Config) { c.Timeout = 300 * time.Millisecond })
	p.record.forget()
	thaw := pgtest.Freeze(t)
	_, err := p.admin().CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "b"})
	refused(t, err, connect.CodeUnavailable, "DATABASE_UNAVAILABLE")
	_, err = p.as("").CreateTeam(t.Context(), &identityv1.CreateTeamRequest{TeamId: "b"})
	refused(t, err, connect.CodeUnauthenticated, "CREDENTIALS_MISSING")
	events, open := p.record.events(t)
	thaw()
	if len(events) != 2 || open != 0 || events[0].Outcome != audit.Unavailable || events[0].Error.Reason != "DATABASE_UNAVAILABLE" ||
		!events[0].Decision.Permitted || events[1].Outcome != audit.Refused {
		t.Errorf("events %+v, want one of each call, while Postgres hangs", events)
	}
}

func TestRecord_AFloodWithoutCredentialsIsCounted(t *testing.T) {
	p := newPlane(t)
	const calls = 120
	for range calls {
		p.post(t, createTeam, "application/json", "", "{}")
	}
	must(t, p.record.recorder.Flush())
	events, _ := p.record.events(t)
	var sum int64
	summaries := 0
	for _, e := range events {
		sum += e.Count
		if e.Plane != audit.PlaneManagement {
			t.Errorf("event of plane %s", e.Plane)
		}
		if e.Outcome == audit.Summary {
			summaries++
		}
	}
	if sum != calls || summaries != 1 || len(events) > calls/2 {
		t.Errorf("%d events, %d of them summaries, stand for %d calls; want %d", len(events), summaries, sum, calls)
	}
}

// strange is a ledger whose Get does what a test says.
type strange struct {
	audit.Events
	get func(ctx context.Context) (audit.Event, error)
}

func (s *strange) List(ctx context.Context, _ audit.Query, _ int64, _ int) (audit.Page, error) {
	_, err := s.get(ctx)
	return audit.Page{}, err
}

func (s *strange) Head(ctx context.Context) (int64, error) {
	_, err := s.get(ctx)
	return 0, err
}

func TestRecord_HasOneEventHoweverACallEnds(t *testing.T) {
	const list = "/signalbox.audit.v1.AuditService/ListEvents"
	wait := func(ctx context.Context) (audit.Event, error) {
		<-ctx.Done()
		return audit.Event{}, ctx.Err()
	}
	request := func(ctx context.Context, t *testing.T, p *plane, edit func(http.Header)) error {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+list, strings.NewReader("{}"))
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+adminSecret)
		req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		req.Header.Set("X-Request-Id", "r-1")
		edit(req.Header)
		res, err := p.http.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	none := func(http.Header) {}
	tests := map[string]struct {
		get     func(ctx context.Context) (audit.Event, error)
		call    func(t *testing.T, p *plane)
		outcome audit.Outcome
		code    int
		reason  string
	}{
		"panic": {
			func(context.Context) (audit.Event, error) { panic("oh") },
			func(t *testing.T, p *plane) { t.Helper(); must(t, request(t.Context(), t, p, none)) },
			audit.Failed, 13, "INTERNAL",
		},
		"abort": {
			func(context.Context) (audit.Event, error) { panic(http.ErrAbortHandler) },
			func(t *testing.T, p *plane) {
				t.Helper()
				if request(t.Context(), t, p, none) == nil {
					t.Error("an aborted call was answered")
				}
			},
			audit.Failed, 13, "INTERNAL",
		},
		"fault": {
			func(context.Context) (audit.Event, error) {
				return audit.Event{}, errors.New("a cause that nobody is told")
			},
			func(t *testing.T, p *plane) { t.Helper(); must(t, request(t.Context(), t, p, none)) },
			audit.Failed, 13, "INTERNAL",
		},
		"the gateway's time is over": {
			wait, func(t *testing.T, p *plane) { t.Helper(); must(t, request(t.Context(), t, p, none)) },
			audit.Unavailable, 14, "DATABASE_UNAVAILABLE",
		},
		"the caller's time is over": {
			wait,
			func(t *testing.T, p *plane) {
				t.Helper()
				must(t, request(t.Context(), t, p, func(h http.Header) { h.Set("Connect-Timeout-Ms", "50") }))
			},
			audit.TimedOut, 4, "REQUEST_TIMEOUT",
		},
		"the caller leaves": {
			wait,
			func(t *testing.T, p *plane) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if request(ctx, t, p, none) == nil {
					t.Error("the caller got an answer after it left")
				}
			},
			audit.CallerLeft, 1, "REQUEST_TIMEOUT",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t, func(c *api.Config) { c.Events, c.Timeout = &strange{get: tc.get}, 500*time.Millisecond })
			tc.call(t, p)
			e := p.record.one(t)
			if e.Outcome != tc.outcome || e.Error == nil || e.Error.Code != tc.code || e.Error.Reason != tc.reason || e.Duration <= 0 ||
				!e.Decision.Permitted || strings.Contains(e.Error.Message, "nobody") {
				t.Errorf("event %+v, %+v", e, e.Error)
			}
			if e.CallerLeft != (tc.outcome == audit.CallerLeft) {
				t.Errorf("caller left: %t", e.CallerLeft)
			}
			if e.TraceID != "0af7651916cd43dd8448eb211c80319c" || e.ParentSpanID != "b7ad6b7169203331" || e.RequestID != "r-1" {
				t.Errorf("trace %s, parent %s, request %s", e.TraceID, e.ParentSpanID, e.RequestID)
			}
		})
	}
	t.Run("a stream panics", func(t *testing.T) {
		p := newPlane(t, func(c *api.Config) {
			c.Events = &strange{get: func(context.Context) (audit.Event, error) { panic("oh") }}
		})
		stream, err := p.admin().TailEvents(t.Context(), &auditv1.TailEventsRequest{})
		must(t, err)
		stream.Receive()
		_ = stream.Close()
		if e := p.record.one(t); e.Outcome != audit.Failed || e.Error.Reason != "INTERNAL" {
			t.Errorf("event %+v, %+v", e, e.Error)
		}
	})
}

func TestRecord_OfATailIsMadeAtItsEnd(t *testing.T) {
	for name, option := range map[string]connect.ClientOption{
		"CONNECT": connect.WithClientOptions(), "GRPC": connect.WithGRPC(), "GRPC_WEB": connect.WithGRPCWeb(),
	} {
		t.Run(name, func(t *testing.T) {
			p, l := newAuditPlane(t)
			_, own := p.team(t, "a")
			p.record.forget()
			after := int64(0)
			stream, err := p.as(own, option).TailEvents(t.Context(), &auditv1.TailEventsRequest{AfterSequence: &after})
			must(t, err)
			defer func() { _ = stream.Close() }()
			for range 2 {
				l.add(t, "a", "echo")
				if !stream.Receive() {
					t.Fatal(stream.Err())
				}
			}
			if events, open := p.record.events(t); len(events) != 0 || open != 1 {
				t.Errorf("while the tail is open: %d events, %d open", len(events), open)
			}
			_, err = p.admin().DisableKey(t.Context(), &identityv1.DisableKeyRequest{Name: "teams/a/keys/laptop"})
			must(t, err)
			stream.Receive()
			refused(t, stream.Err(), connect.CodeUnauthenticated, "KEY_DISABLED")
			// It has ended for the caller, so it is in the record.
			events, open := p.record.events(t)
			i := slices.IndexFunc(events, func(e audit.Event) bool { return strings.HasSuffix(e.Method, "/TailEvents") })
			if i < 0 || open != 0 || len(events) != 2 {
				t.Fatalf("events %+v", events)
			}
			if e := events[i]; e.Outcome != audit.Revoked || e.StreamEvents != 2 || e.Dialect != name || e.Team != "a" || e.Error.Reason != "KEY_DISABLED" {
				t.Errorf("event %+v, %+v", e, e.Error)
			}
		})
	}
}

func TestRecord_BeforeIsWhatTheWriteSaw(t *testing.T) {
	p := newPlane(t)
	p.team(t, "a")
	p.agent(t, "a", "echo")
	p.record.forget()
	var writers sync.WaitGroup
	const each = 10
	for i := range 4 {
		writers.Go(func() {
			for n := range each {
				name := fmt.Sprintf("writer %d, %d", i, n)
				_, err := p.admin().UpdateTeam(t.Context(), &identityv1.UpdateTeamRequest{Team: &identityv1.Team{Name: "teams/a", DisplayName: name}})
				if err != nil {
					t.Errorf("UpdateTeam: %v", err)
				}
				_, err = p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/echo", DisplayName: name}})
				if err != nil && connect.CodeOf(err) != connect.CodeAborted {
					t.Errorf("UpdateAgent: %v", err)
				}
			}
		})
	}
	writers.Wait()
	events, _ := p.record.events(t)
	slices.SortFunc(events, func(a, b audit.Event) int { return int(a.Revision - b.Revision) })
	last := map[string][]byte{}
	changes, apart := 0, 0
	for _, e := range events {
		if e.Revision == 0 {
			continue
		}
		changes++
		if was, ok := last[e.Resource]; ok && !bytes.Equal(was, e.Before) {
			apart++
		}
		last[e.Resource] = e.After
	}
	// Who finds no version to change changes what there is.
	if changes < each*4 || apart > changes/10 {
		t.Errorf("of %d changes %d began with another state than the one before had left", changes, apart)
	}
	t.Logf("%d changes, %d apart", changes, apart)
}

func TestEvents_OfManagementAreSeenAsThoseOfCalls(t *testing.T) {
	p, l := newAuditPlane(t)
	_, own := p.team(t, "a")
	_, other := p.team(t, "b")
	p.agent(t, "a", "echo")
	p.record.forget()
	_, err := p.as(own).UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{Agent: &registryv1.Agent{Name: "agents/echo", DisplayName: "New"}})
	must(t, err)
	e := p.record.one(t)
	l.entries = p.record.entries
	l.ship(t)
	name := "events/" + e.Invocation.String()
	for who, secret := range map[string]string{"admin": adminSecret, "own": own} {
		got, err := p.as(secret).GetEvent(t.Context(), &auditv1.GetEventRequest{Name: name})
		must(t, err)
		display := func(s *structpb.Struct) string { return s.GetFields()["displayName"].GetStringValue() }
		if got.GetPlane() != auditv1.Plane_PLANE_MANAGEMENT || got.GetResource() != "agents/echo" || got.GetRevision() == 0 ||
			display(got.GetBefore()) != "echo" || display(got.GetAfter()) != "New" || got.GetTeam() != "teams/a" {
			t.Errorf("%s gets %v", who, got)
		}
		if card := got.GetAfter().GetFields()["cardJson"].GetStructValue(); card.GetFields()["name"].GetStringValue() != "Echo" {
			t.Errorf("the card is %v, want it as JSON", card)
		}
		for filter, want := range map[string][]string{"plane=MANAGEMENT": {name}, "plane=DATA": nil, "": {name}, `resource="agents/echo"`: {name}} {
			list, err := p.as(secret).ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: filter})
			must(t, err)
			var names []string
			for _, e := range list.GetEvents() {
				names = append(names, e.GetName())
				if e.GetBefore() != nil || e.GetAfter() != nil {
					t.Error("a list shows what was changed")
				}
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Errorf("%s lists by %q (-want +got):\n%s", who, filter, diff)
			}
		}
		after := int64(0)
		tail, err := p.as(secret).TailEvents(t.Context(), &auditv1.TailEventsRequest{AfterSequence: &after})
		must(t, err)
		if !tail.Receive() || tail.Msg().GetEvent().GetAfter() == nil {
			t.Errorf("the tail of %s sent %v, %v", who, tail.Msg(), tail.Err())
		}
		_ = tail.Close()
	}
	_, err = p.as(other).GetEvent(t.Context(), &auditv1.GetEventRequest{Name: name})
	refused(t, err, connect.CodeNotFound, "EVENT_NOT_FOUND")
}

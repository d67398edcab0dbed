package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/api/fault"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/filter"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/task"
)

func TestToConnect_MapsEveryError(t *testing.T) {
	const hint = "what the log keeps"
	wrap := func(err error) error { return fmt.Errorf("%s: %w", hint, err) }
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancelLate := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancelLate()
	tests := []struct {
		name   string
		ctx    context.Context
		err    error
		code   connect.Code
		reason string
		has    map[string]string
	}{
		{"agent not found", nil, registry.ErrAgentNotFound, connect.CodeNotFound, "AGENT_NOT_FOUND", nil},
		{"agent exists", nil, registry.ErrAgentExists, connect.CodeAlreadyExists, "AGENT_EXISTS", nil},
		{"name taken", nil, &registry.NameTakenError{Name: "x"}, connect.CodeAlreadyExists, "AGENT_EXISTS", map[string]string{"name": "x"}},
		{"agent state", nil, &registry.StateError{Agent: "agents/x", State: registry.StateRetired, Verb: "resumed"}, connect.CodeFailedPrecondition, "AGENT_STATE", map[string]string{"state": "RETIRED"}},
		{"task owned", nil, &takenError{first: task.ID{ID: "t"}, taken: 2, invalid: 1, ids: 5}, connect.CodeAlreadyExists, "TASK_OWNED", map[string]string{"task_id": "t", "owned_by_other_count": "2", "invalid_count": "1"}},
		{"nobody's task", nil, &unownedError{id: task.ID{ID: "t"}, agent: "agents/x"}, connect.CodeNotFound, "TASK_NOT_FOUND", map[string]string{"resource": "agents/x"}},
		{"record full", nil, fmt.Errorf("x: %w", interceptor.ErrRecordUnavailable), connect.CodeUnavailable, "RECORD_UNAVAILABLE", nil},
		{"agent etag", nil, registry.ErrEtagMismatch, connect.CodeAborted, "ETAG_MISMATCH", nil},
		{"invalid agent", nil, &registry.InvalidError{Field: "f", Problem: "p"}, connect.CodeInvalidArgument, "INVALID_ARGUMENT", map[string]string{"field": "f", "problem": "p"}},
		{"order", nil, &registry.OrderError{Problem: "p"}, connect.CodeInvalidArgument, "INVALID_ORDER", nil},
		{"card", nil, &registry.CardError{Problem: "p"}, connect.CodeInvalidArgument, "CARD_INVALID", map[string]string{"problem": "p"}},
		{"card unavailable", nil, registry.ErrCardUnavailable, connect.CodeFailedPrecondition, "CARD_UNAVAILABLE", nil},
		{"address", nil, &registry.AddressError{Field: "f", URL: "u", Err: registry.ErrAddressForbidden}, connect.CodeInvalidArgument, "ADDRESS_FORBIDDEN", map[string]string{"field": "f", "url": "u"}},
		{"team not found", nil, identity.ErrTeamNotFound, connect.CodeNotFound, "TEAM_NOT_FOUND", nil},
		{"team exists", nil, identity.ErrTeamExists, connect.CodeAlreadyExists, "TEAM_EXISTS", nil},
		{"team not empty", nil, identity.ErrTeamNotEmpty, connect.CodeFailedPrecondition, "TEAM_NOT_EMPTY", nil},
		{"key not found", nil, identity.ErrKeyNotFound, connect.CodeNotFound, "KEY_NOT_FOUND", nil},
		{"key exists", nil, identity.ErrKeyExists, connect.CodeAlreadyExists, "KEY_EXISTS", nil},
		{"etag", nil, identity.ErrEtagMismatch, connect.CodeAborted, "ETAG_MISMATCH", nil},
		{"invalid key", nil, &identity.InvalidError{Field: "f", Problem: "p"}, connect.CodeInvalidArgument, "INVALID_ARGUMENT", map[string]string{"field": "f"}},
		{"event not found", nil, audit.ErrEventNotFound, connect.CodeNotFound, "EVENT_NOT_FOUND", nil},
		{"filter", nil, &filter.Error{Pos: 3, Field: "f", Problem: "p"}, connect.CodeInvalidArgument, "INVALID_FILTER", map[string]string{"field": "f", "position": "3"}},
		{"page token", nil, errPageToken, connect.CodeInvalidArgument, "INVALID_PAGE_TOKEN", nil},
		{"mask", nil, &maskError{path: "f", problem: "p"}, connect.CodeInvalidArgument, "INVALID_UPDATE_MASK", map[string]string{"path": "f"}},
		{"invalid", nil, &invalidError{field: "f", problem: "p"}, connect.CodeInvalidArgument, "INVALID_ARGUMENT", map[string]string{"field": "f"}},
		{"denied", nil, &deniedError{action: "write", resource: "r", text: "no"}, connect.CodePermissionDenied, "PERMISSION_DENIED", map[string]string{"action": "write", "resource": "r"}},
		{"hidden", nil, &hiddenError{resource: "r", cause: identity.ErrKeyNotFound}, connect.CodeNotFound, "KEY_NOT_FOUND", map[string]string{"resource": "r"}},
		{"draining", nil, errShutdown, connect.CodeUnavailable, "SHUTTING_DOWN", nil},
		{"database away", nil, &store.UnavailableError{Err: errors.New("dial")}, connect.CodeUnavailable, "DATABASE_UNAVAILABLE", nil},
		{"own time limit", nil, context.DeadlineExceeded, connect.CodeUnavailable, "DATABASE_UNAVAILABLE", nil},
		{"caller's time limit", late, context.DeadlineExceeded, connect.CodeDeadlineExceeded, "REQUEST_TIMEOUT", nil},
		{"caller left", ended, context.Canceled, connect.CodeCanceled, "REQUEST_TIMEOUT", nil},
		{"anything else", nil, errors.New("cause"), connect.CodeInternal, "INTERNAL", nil},
	}
	a := &api{log: slog.New(slog.DiscardHandler)}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			ctx := tc.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			got := a.toConnect(ctx, wrap(tc.err))
			info, ok := fault.Info(got)
			if !ok || got.Code() != tc.code || info.GetReason() != tc.reason || info.GetDomain() != fault.Domain {
				t.Fatalf("%v maps to %v with %v, want %v with %s", tc.err, got.Code(), info, tc.code, tc.reason)
			}
			for key, value := range tc.has {
				if info.GetMetadata()[key] != value {
					t.Errorf("metadata %v, want %s=%s", info.GetMetadata(), key, value)
				}
			}
			if strings.Contains(got.Message(), hint) && tc.reason != "CARD_UNAVAILABLE" {
				t.Errorf("the caller reads %q", got.Message())
			}
		})
	}
}

func TestConvertAgent_RoundTrip(t *testing.T) {
	for v := range registryv1.Visibility_name {
		for m := range registryv1.PushMode_name {
			if v == 0 || m == 0 {
				continue
			}
			in := &registryv1.Agent{
				Team: "teams/t", DisplayName: "d", Description: "e", Tags: []string{"x"}, Aliases: []string{"y"}, Visibility: registryv1.Visibility(v),
				Push: registryv1.PushMode(m), PushAllowedHosts: []string{"h"}, ForwardHeaders: []string{"X-A"}, TrustCardAuthority: true,
				Endpoints: []*registryv1.Endpoint{{Url: "http://h", Weight: 3}}, CardJson: []byte(`{"a":1}`),
			}
			d, err := draftOf("id", "t", in)
			if err != nil {
				t.Fatal(err)
			}
			back, err := draftOf("id", "t", agentToProto(registry.Agent{
				ID: d.ID, Team: d.Team, DisplayName: d.DisplayName, Description: d.Description, Tags: d.Tags, Aliases: d.Aliases,
				Visibility: d.Visibility, State: registry.StateApproved, Push: d.Push, PushHosts: d.PushHosts, ForwardHeaders: d.ForwardHeaders,
				TrustCardAuthority: d.TrustCardAuthority, Endpoints: d.Endpoints, Card: d.Card, CardSource: registry.CardInline,
			}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d, back); diff != "" {
				t.Errorf("draft → agent → draft (-want +got):\n%s", diff)
			}
		}
	}
}

func TestConvertEnums_EveryDomainValueHasOneInTheAPI(t *testing.T) {
	for _, v := range []registry.Visibility{registry.VisibilityPrivate, registry.VisibilityTeam, registry.VisibilityOrganization, registry.VisibilityPublic} {
		if visibilityOf(agentToProto(registry.Agent{Visibility: v}).GetVisibility()) != v {
			t.Errorf("visibility %s does not survive", v)
		}
	}
	for _, s := range []registry.State{
		registry.StateDraft, registry.StatePendingApproval, registry.StateApproved, registry.StateDeprecated, registry.StateRetired,
		registry.StateRejected, registry.StateSuspended,
	} {
		if agentToProto(registry.Agent{State: s}).GetState() == registryv1.State_STATE_UNSPECIFIED {
			t.Errorf("state %s is not in the API", s)
		}
	}
	for _, s := range []registry.CardSource{registry.CardInline, registry.CardFetched, registry.CardNone} {
		if agentToProto(registry.Agent{CardSource: s}).GetCardSource() == registryv1.CardSource_CARD_SOURCE_UNSPECIFIED {
			t.Errorf("card source %s is not in the API", s)
		}
	}
	for _, o := range []audit.Outcome{
		audit.Succeeded, audit.Failed, audit.Refused, audit.Unavailable, audit.TimedOut, audit.CallerLeft, audit.Interrupted, audit.Summary, audit.Revoked,
	} {
		if eventToProto(&audit.Event{Outcome: o}).GetOutcome() == 0 {
			t.Errorf("outcome %s is not in the API", o)
		}
	}
}

func TestCardOf_StructBecomesStableJSON(t *testing.T) {
	s, err := structpb.NewStruct(map[string]any{"b": []any{true, nil, 1.5}, "a": "x"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := cardOf(s, nil)
	if want := `{"a":"x","b":[true,null,1.5]}`; err != nil || string(got) != want {
		t.Errorf("card %s, %v; want %s", got, err, want)
	}
}

func TestMaskFields(t *testing.T) {
	allowed := []string{"display_name", "disabled"}
	tests := []struct {
		name string
		mask []string
		key  *identityv1.Key
		want map[string]bool
		bad  bool
	}{
		{"empty, nothing set", nil, &identityv1.Key{}, map[string]bool{}, false},
		{"empty, one set", nil, &identityv1.Key{DisplayName: "x", SecretHint: "output only"}, map[string]bool{"display_name": true}, false},
		{"named, not set", []string{"disabled"}, &identityv1.Key{DisplayName: "x"}, map[string]bool{"disabled": true}, false},
		{"all", []string{"*"}, &identityv1.Key{}, map[string]bool{"display_name": true, "disabled": true}, false},
		{"output only", []string{"uid"}, &identityv1.Key{}, nil, true},
		{"below a field", []string{"display_name.x"}, &identityv1.Key{}, nil, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := maskFields(&fieldmaskpb.FieldMask{Paths: tc.mask}, tc.key, allowed)
			if (err != nil) != tc.bad || (!tc.bad && !cmp.Equal(got, tc.want)) {
				t.Errorf("maskFields = %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestPageTokens_NoPartCanBeMovedToAnother(t *testing.T) {
	p := pageTokens{key: []byte(strings.Repeat("k", 32))}
	token, err := p.write(identity.Admin(), []string{"agents", "ab", "c"}, teamPlace{Team: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var place teamPlace
	if err := p.read(identity.Admin(), []string{"agents", "ab", "c"}, token, &place); err != nil || place.Team != "x" {
		t.Errorf("read %v, %v", place, err)
	}
	for _, list := range [][]string{{"agents", "a", "bc"}, {"agents", "abc", ""}, {"agents", "ab"}, {"teams", "ab", "c"}} {
		if err := p.read(identity.Admin(), list, token, &place); !errors.Is(err, errPageToken) {
			t.Errorf("a token of another list is read as one of %q: %v", list, err)
		}
	}
	other := pageTokens{key: []byte(strings.Repeat("o", 32))}
	if err := other.read(identity.Admin(), []string{"agents", "ab", "c"}, token, &place); !errors.Is(err, errPageToken) {
		t.Errorf("a token under another key is read: %v", err)
	}
}

func FuzzPageToken(f *testing.F) {
	p := pageTokens{key: []byte(strings.Repeat("k", 32))}
	list := []string{"agents", "", ""}
	good, err := p.write(identity.Admin(), list, registry.Cursor{ID: "a"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		var c registry.Cursor
		if err := p.read(identity.Admin(), list, token, &c); err == nil && c.ID != "a" {
			t.Errorf("a forged token %q leads to %+v", token, c)
		}
	})
}

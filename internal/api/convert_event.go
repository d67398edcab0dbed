package api

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

const (
	prefixOutcome = "OUTCOME_"
	prefixPlane   = "PLANE_"
)

// eventToProto converts an event but what a call changed, which addChange adds.
func eventToProto(e *audit.Event) *auditv1.Event {
	out := &auditv1.Event{
		Name: "events/" + e.Invocation.String(), Sequence: e.Sequence, Time: timestamp(e.Time), IngestTime: timestamp(e.IngestTime),
		Duration: durationpb.New(e.Duration), TimeToFirstByte: span(e.FirstByte),
		Outcome: auditv1.Outcome(auditv1.Outcome_value[prefixOutcome+string(e.Outcome)]),
		Count:   e.Count, CallerLeft: e.CallerLeft, IdConflict: e.IDConflict,
		Caller: e.Caller, CallerUid: uid(e.CallerUID), Team: identity.TeamName(e.Team), SourceAddress: e.SourceAddress, UserAgent: e.UserAgent,
		AgentUid: uid(e.AgentUID), Endpoint: e.Endpoint, Method: e.Method, Dialect: e.Dialect, UpstreamDialect: e.UpstreamDialect, RequestId: e.RequestID,
		MessageId: e.MessageID, TaskId: e.TaskID, ContextId: e.ContextID, TaskState: e.TaskState, TraceId: e.TraceID, SpanId: e.SpanID,
		ParentSpanId: e.ParentSpanID, RequestBytes: e.RequestBytes, ResponseBytes: e.ResponseBytes, StreamEvents: e.StreamEvents,
		HttpStatus: int32Of(e.HTTPStatus), Replica: uid(e.Replica), ReplicaEpoch: e.Epoch,
		Plane: auditv1.Plane(auditv1.Plane_value[prefixPlane+string(e.Plane)]), Resource: e.Resource, Revision: e.Revision,
	}
	if e.Agent != "" {
		out.Agent = "agents/" + e.Agent
	}
	if e.Error != nil {
		out.Error = &auditv1.CallError{Code: int32Of(e.Error.Code), Reason: e.Error.Reason, Message: e.Error.Message}
	}
	if r := e.Refusals; r != nil {
		out.Refusals = &auditv1.Refusals{
			Sources: r.Sources, SourcesCapped: r.SourcesCapped, Authenticated: r.Authenticated,
			Reasons: make([]*auditv1.RefusalReason, len(r.Reasons)),
		}
		for i, c := range r.Reasons {
			out.Refusals.Reasons[i] = &auditv1.RefusalReason{Reason: c.Reason, Count: c.Count}
		}
	}
	if e.Decision != nil {
		out.Decision = eventDecision(e.Decision)
		out.Decision.Id = "decisions/" + e.Invocation.String()
	}
	return out
}

// eventDecision converts a decision but its id.
func eventDecision(d *audit.Decision) *auditv1.Decision {
	out := &auditv1.Decision{
		Permitted: d.Permitted, Rules: d.Rules, Revision: d.Revision, Principal: d.Principal, Action: d.Action, Resource: d.Resource,
		Context: decisionContext(d), Failing: decisionFailures(d.Failing),
	}
	if s := d.Shadow; s != nil {
		out.Shadow = &auditv1.ShadowDecision{Permitted: s.Permitted, Rules: s.Rules, Failing: decisionFailures(s.Failing)}
	}
	for _, team := range d.ClaimedTeams {
		out.ClaimedTeams = append(out.ClaimedTeams, identity.TeamName(team))
	}
	for _, r := range d.ClaimedRoles {
		out.ClaimedRoles = append(out.ClaimedRoles, r.Name())
	}
	return out
}

// decisionContext returns every value that a decision could see by its path.
func decisionContext(d *audit.Decision) map[string]string {
	values := make(map[string]string, len(d.Context)+3)
	for _, a := range d.Context {
		values[a.Name] = a.Value
	}
	text := func(name, value string) {
		if value != "" {
			values[name] = value
		}
	}
	if !d.Time.IsZero() {
		text("time", d.Time.UTC().Format(time.RFC3339Nano))
	}
	text("method", d.Method)
	text("dialect", d.Dialect)
	text("sourceAddress", d.SourceAddress)
	if g := d.Delegation; g != nil {
		text("delegation.root", g.Root)
		text("delegation.depth", strconv.FormatInt(g.Depth, 10))
		text("delegation.path", strings.Join(g.Path, ", "))
		text("delegation.verified", strconv.FormatBool(g.Verified))
	}
	if s := d.Session; s != nil {
		text("session.calls", strconv.FormatInt(s.Calls, 10))
		text("session.steps", strconv.FormatInt(s.Steps, 10))
		text("session.costMicros", strconv.FormatInt(s.CostMicros, 10))
	}
	return values
}

func decisionFailures(all []audit.Failure) []*auditv1.DecisionFailure {
	var out []*auditv1.DecisionFailure
	for _, f := range all {
		out = append(out, &auditv1.DecisionFailure{Statement: f.Statement, Effect: f.Effect, Text: f.Text})
	}
	return out
}

// addChange adds what a call changed.
func addChange(out *auditv1.Event, e *audit.Event) {
	out.Before, out.After = documentOf(e.Before), documentOf(e.After)
}

// documentOf returns nil for no document.
func documentOf(text []byte) *structpb.Struct {
	if text == nil {
		return nil
	}
	out := &structpb.Struct{}
	if protojson.Unmarshal(text, out) != nil {
		// Whatever wrote it, that there was something must be seen.
		return &structpb.Struct{Fields: map[string]*structpb.Value{cutMember: structpb.NewStructValue(&structpb.Struct{
			Fields: map[string]*structpb.Value{"bytes": structpb.NewNumberValue(float64(len(text)))},
		})}}
	}
	return out
}

// span returns nil for what did not happen.
func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// uid returns "" for the zero uid.
func uid(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

func int32Of(n int) int32 {
	return int32(max(math.MinInt32, min(n, math.MaxInt32)))
}

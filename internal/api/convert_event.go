package api

import (
	"math"
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
	if d := e.Decision; d != nil {
		out.Decision = &auditv1.Decision{
			Permitted: d.Permitted, Rules: d.Rules, Revision: d.Revision, Principal: d.Principal, Action: d.Action, Resource: d.Resource,
			Context: make(map[string]string, len(d.Context)),
		}
		for _, attribute := range d.Context {
			out.Decision.Context[attribute.Name] = attribute.Value
		}
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

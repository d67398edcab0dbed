package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
)

func TestEventToProto_ShowsAllThatADecisionSaw(t *testing.T) {
	failing := []audit.Failure{{Statement: "night/2", Effect: "forbid", Text: "no such attribute"}}
	e := &audit.Event{Invocation: uuid.MustParse("01930000-0000-7000-8000-000000000001"), Decision: &audit.Decision{
		Permitted: true, Rules: []string{"own-team/agents"}, Failing: failing, Shadow: &audit.Shadow{Rules: []string{"draft"}, Failing: failing},
		Revision: 17, Principal: "user:users/okta~ada", Action: "SendMessage", Resource: "agent:echo",
		Time: time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC), Method: "message/send", Dialect: "JSONRPC/0.3", SourceAddress: "192.0.2.7",
		Delegation:   &audit.Delegation{Root: "key:teams/demo/keys/k", Depth: 2, Path: []string{"agent:a", "agent:b"}, Verified: true},
		Session:      &audit.Session{Calls: 1, CostMicros: 3},
		ClaimedTeams: []string{"demo"}, ClaimedRoles: []identity.RoleIn{{Role: "auditor"}, {Role: "publisher", Team: "demo"}},
		Context: []audit.Attribute{{Name: "resource.team", Value: "demo"}},
	}}
	wantFailing := []*auditv1.DecisionFailure{{Statement: "night/2", Effect: "forbid", Text: "no such attribute"}}
	want := &auditv1.Decision{
		Id: "decisions/01930000-0000-7000-8000-000000000001", Permitted: true, Rules: []string{"own-team/agents"}, Failing: wantFailing,
		Shadow: &auditv1.ShadowDecision{Rules: []string{"draft"}, Failing: wantFailing}, Revision: 17,
		Principal: "user:users/okta~ada", Action: "SendMessage", Resource: "agent:echo",
		ClaimedTeams: []string{"teams/demo"}, ClaimedRoles: []string{"roles/auditor", "teams/demo/roles/publisher"},
		Context: map[string]string{
			"resource.team": "demo", "time": "2026-03-01T12:00:00.000005Z", "method": "message/send", "dialect": "JSONRPC/0.3",
			"sourceAddress": "192.0.2.7", "delegation.root": "key:teams/demo/keys/k", "delegation.depth": "2",
			"delegation.path": "agent:a, agent:b", "delegation.verified": "true",
			"session.calls": "1", "session.steps": "0", "session.costMicros": "3",
		},
	}
	if diff := cmp.Diff(want, eventToProto(e).GetDecision(), protocmp.Transform()); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

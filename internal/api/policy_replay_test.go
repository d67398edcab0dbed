package api_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
)

// decided ships the event of a call that was decided as it would be now.
func (l *ledger) decided(t *testing.T, p *plane, team, agent string, at time.Time) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	snap := p.follower.Current()
	q := policy.Query{
		Principal: policy.KeyUID("teams/" + team + "/keys/laptop"), Action: policy.SendMessage, Resource: policy.AgentUID(agent),
		Context: policy.Context{Time: at, Method: "SendMessage", Dialect: "JSONRPC/1.0", SourceAddress: netip.MustParseAddr("192.0.2.1")},
	}
	asked, answer, _ := policy.Call(func(q policy.Query) policy.Answer { return snap.Policies().Decide(snap.Entities(), q) }, q)
	q.Action = asked
	var d audit.Decision
	recorded.FromQuery(&d, q, answer, snap.Revision())
	return l.record(t, team, agent, at, &d)
}

// record ships the event of a call with a decision.
func (l *ledger) record(t *testing.T, team, agent string, at time.Time, d *audit.Decision) string {
	t.Helper()
	recorder, err := audit.NewRecorder(audit.RecorderConfig{Spool: l})
	must(t, err)
	id, err := uuid.NewV7()
	must(t, err)
	o := &audit.Opening{
		Invocation: id, Time: at, Caller: "teams/" + team + "/keys/laptop", CallerUID: uuid.New(), Team: team, Agent: agent, AgentUID: uuid.New(),
		Method: "SendMessage", Dialect: "JSONRPC/1.0", Decision: d,
	}
	if d.Permitted {
		must(t, recorder.Open(o))
		must(t, recorder.Close(&audit.Closing{Invocation: id, Outcome: audit.Succeeded}))
	} else {
		must(t, recorder.Refuse(o, &audit.Closing{Invocation: id, Outcome: audit.Refused}))
	}
	l.ship(t)
	return id.String()
}

// replay makes a replay and returns its result.
func replay(t *testing.T, c clients, req *policyv1.ReplayPolicyRequest) *policyv1.Replay {
	t.Helper()
	stream, err := c.ReplayPolicy(t.Context(), req)
	must(t, err)
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if r := stream.Msg().GetResult(); r != nil {
			return r
		}
	}
	t.Fatalf("replay ended: %v", stream.Err())
	return nil
}

// nightText forbids at night, so that a part of the decisions changes.
const nightText = `@id("night") forbid (principal in Signalbox::Team::"b", action in Signalbox::Action::"invoke", resource == Signalbox::Agent::"echo")
when { context.hour >= 12 };`

var replayDay = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)

func TestReplay_EnforcingAfterwardsGivesTheSameAnswers(t *testing.T) {
	p, l := newAuditPlane(t)
	p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "a", "echo", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_ORGANIZATION })
	p.agent(t, "a", "private", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_PRIVATE })
	var ids []string
	for hour := range 24 {
		at := replayDay.Add(time.Duration(hour) * time.Hour)
		ids = append(ids, l.decided(t, p, "b", "echo", at), l.decided(t, p, "a", "echo", at), l.decided(t, p, "b", "private", at))
	}
	l.add(t, "b", "echo") // as it was recorded before there were policies
	draft := &policyv1.DraftPolicy{PolicyId: "night", Text: nightText}
	r := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Draft: draft})
	if r.GetReplayed() != 72 || r.GetNewlyDenied() != 12 || r.GetNewlyAllowed() != 0 || r.GetNotReplayable() != 1 || len(r.GetGroups()) != 1 ||
		r.GetPolicy() != "policies/night" || r.GetLastSequence() != 73 || r.GetAuthor() != "admin" || len(r.GetDraftSha256()) != 64 {
		t.Fatalf("replay %v", r)
	}
	g := r.GetGroups()[0]
	if g.GetCaller() != "team:b" || g.GetResource() != "agent:echo" || g.GetCount() != 12 || !g.GetFirstTime().AsTime().Equal(replayDay.Add(12*time.Hour)) ||
		len(g.GetEvents()) != 5 || g.GetEvents()[0] != "events/"+ids[36] || strings.Join(g.GetDeciding(), " ") != "night" {
		t.Errorf("group %v", g)
	}
	events, err := p.admin().ListEvents(t.Context(), &auditv1.ListEventsRequest{Filter: g.GetFilter()})
	must(t, err)
	if len(events.GetEvents()) != 12 {
		t.Errorf("the filter %s finds %d events", g.GetFilter(), len(events.GetEvents()))
	}
	// The same again, and as it was kept.
	again := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Draft: draft})
	differ := protocmp.IgnoreFields(&policyv1.Replay{}, "name", "elapsed", "create_time", "last_sequence")
	if diff := cmp.Diff(r, again, protocmp.Transform(), differ); diff != "" {
		t.Errorf("the second one differs:\n%s", diff)
	}
	kept, err := p.admin().GetReplay(t.Context(), &policyv1.GetReplayRequest{Name: r.GetName()})
	must(t, err)
	if diff := cmp.Diff(r, kept, protocmp.Transform()); diff != "" {
		t.Errorf("what was kept differs:\n%s", diff)
	}

	// Tried in shadow, then enforced, with the report attached.
	apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "night", Text: nightText, Mode: policyv1.Mode_MODE_SHADOW})
	other := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Draft: &policyv1.DraftPolicy{Text: officeText}})
	_, err = p.admin().UpdatePolicy(t.Context(), &policyv1.UpdatePolicyRequest{
		Policy: &policyv1.Policy{Name: "policies/night", Mode: policyv1.Mode_MODE_ENFORCE}, Replay: other.GetName(),
	})
	refused(t, err, connect.CodeFailedPrecondition, "REPLAY_MISMATCH")
	enforced, err := p.admin().UpdatePolicy(t.Context(), &policyv1.UpdatePolicyRequest{
		Policy: &policyv1.Policy{Name: "policies/night", Mode: policyv1.Mode_MODE_ENFORCE}, Replay: r.GetName(),
	})
	must(t, err)
	if enforced.GetReplay() != r.GetName() {
		t.Errorf("the report is not attached: %v", enforced)
	}
	versions, err := p.admin().ListPolicyVersions(t.Context(), &policyv1.ListPolicyVersionsRequest{Parent: "policies/night"})
	must(t, err)
	if versions.GetVersions()[0].GetReplay() != r.GetName() {
		t.Errorf("the report is not in the history: %v", versions)
	}
	denied := 0
	for i, id := range ids {
		d, err := p.admin().GetDecision(t.Context(), &policyv1.GetDecisionRequest{Name: "decisions/" + id})
		must(t, err)
		x, err := p.admin().CheckPolicy(t.Context(), &policyv1.CheckPolicyRequest{
			Principal: d.GetPrincipal(), Action: d.GetAction(), Resource: d.GetResource(), Context: &policyv1.CheckContext{Time: d.GetTime()},
		})
		must(t, err)
		if d.GetPermitted() && !x.GetPermit() {
			denied++
		} else if d.GetPermitted() != x.GetPermit() {
			t.Errorf("number %d: recorded %v, now %v", i, d.GetPermitted(), x.GetPermit())
		}
	}
	if denied != 12 {
		t.Errorf("%d are denied now, 12 were foreseen", denied)
	}
	// And nothing more is new.
	if now := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{}); now.GetNewlyDenied() != 12 || now.GetPolicy() != "" {
		t.Errorf("the policies as they are: %v", now)
	}
	already := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Draft: &policyv1.DraftPolicy{Text: officeText}})
	if already.GetNewlyDenied() != 12 || already.GetChangedAlready() != 12 {
		t.Errorf("changes of another policy: %v", already)
	}
}

func TestReplay_TakesTheEntitiesOfTheTimeOrOfNow(t *testing.T) {
	p, l := newAuditPlane(t)
	ctx := t.Context()
	p.team(t, "a")
	p.team(t, "b")
	a := p.agent(t, "a", "echo", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_ORGANIZATION })
	open := l.decided(t, p, "b", "echo", replayDay)
	_, err := p.admin().UpdateAgent(ctx, &registryv1.UpdateAgentRequest{
		Agent: &registryv1.Agent{Name: a.GetName(), Visibility: registryv1.Visibility_VISIBILITY_TEAM}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"visibility"}},
	})
	must(t, err)
	shut := l.decided(t, p, "b", "echo", replayDay.Add(time.Hour))
	then := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{})
	now := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Entities: policyv1.ReplayEntities_REPLAY_ENTITIES_NOW})
	if then.GetReplayed() != 2 || then.GetNewlyDenied() != 0 || now.GetNewlyDenied() != 1 || now.GetGroups()[0].GetEvents()[0] != "events/"+open {
		t.Errorf("then %v\nnow %v", then, now)
	}
	since := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{
		SinceTime: timestamppb.New(replayDay.Add(time.Minute)), Entities: policyv1.ReplayEntities_REPLAY_ENTITIES_NOW,
	})
	filtered := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Filter: "outcome = SUCCEEDED"})
	if since.GetReplayed() != 1 || filtered.GetReplayed() != 1 {
		t.Errorf("%d since, %d filtered; the denied one is %s", since.GetReplayed(), filtered.GetReplayed(), shut)
	}
	// Explained as it was, although the agent is gone.
	_, err = p.admin().DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: a.GetName()})
	must(t, err)
	d, err := p.admin().GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + open})
	must(t, err)
	x := d.GetExplanation()
	if !d.GetPermitted() || !x.GetPermit() || d.GetNotReplayable() != "" || x.GetRevision() != d.GetRevision() || d.GetContext()["dialect"] != "JSONRPC/1.0" {
		t.Fatalf("decision %v", d)
	}
	seen := ""
	for _, s := range x.GetStatements() {
		for _, v := range s.GetValues() {
			seen += fmt.Sprintf("%s=%s ", v.GetPath(), v.GetValue())
		}
	}
	if !strings.Contains(seen, `resource.visibility="ORGANIZATION"`) {
		t.Errorf("values %s", seen)
	}
	old := strings.TrimPrefix(l.add(t, "a", "echo"), "events/")
	d, err = p.admin().GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + old})
	must(t, err)
	if d.GetExplanation() != nil || !strings.Contains(d.GetNotReplayable(), "before decisions were recorded whole") {
		t.Errorf("an old decision: %v", d)
	}
	_, err = p.admin().GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + uuid.NewString()})
	refused(t, err, connect.CodeNotFound, "DECISION_NOT_FOUND")
}

func TestReplay_OfATeamsAuditorIsOfItsCallersAlone(t *testing.T) {
	p, l := newAuditPlane(t)
	ctx := t.Context()
	p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "a", "echo", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_ORGANIZATION })
	mine, theirs := l.decided(t, p, "a", "echo", replayDay), l.decided(t, p, "b", "echo", replayDay)
	made, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: "audit", Roles: []string{"teams/a/roles/auditor"}})
	must(t, err)
	auditor := p.as(made.GetSecret())
	r := replay(t, auditor, &policyv1.ReplayPolicyRequest{Draft: &policyv1.DraftPolicy{
		Text: `forbid (principal, action in Signalbox::Action::"invoke", resource);`,
	}})
	if r.GetReplayed() != 1 || r.GetNewlyDenied() != 1 || r.GetGroups()[0].GetCaller() != "team:a" || strings.Join(r.GetTeams(), " ") != "teams/a" {
		t.Errorf("replay %v", r)
	}
	_, err = auditor.GetReplay(ctx, &policyv1.GetReplayRequest{Name: r.GetName()})
	must(t, err)
	all := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{})
	if _, err := auditor.GetReplay(ctx, &policyv1.GetReplayRequest{Name: all.GetName()}); err == nil {
		t.Error("a team's auditor reads the replay of all teams")
	}
	_, err = auditor.GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + mine})
	must(t, err)
	_, err = auditor.GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + theirs})
	refused(t, err, connect.CodeNotFound, "DECISION_NOT_FOUND")
	x, err := auditor.CheckPolicy(ctx, &policyv1.CheckPolicyRequest{Principal: "key:teams/a/keys/laptop", Action: "invoke", Resource: "agent:echo"})
	must(t, err)
	if !x.GetPermit() {
		t.Errorf("check %v", x)
	}
	// What there is of others looks like what there is not.
	p.agent(t, "b", "secret")
	for _, pair := range [][2]*policyv1.CheckPolicyRequest{
		{
			{Principal: "key:teams/b/keys/laptop", Action: "invoke", Resource: "agent:echo"},
			{Principal: "key:teams/b/keys/none", Action: "invoke", Resource: "agent:echo"},
		},
		{
			{Principal: "key:teams/a/keys/laptop", Action: "invoke", Resource: "agent:secret"},
			{Principal: "key:teams/a/keys/laptop", Action: "invoke", Resource: "agent:nobody"},
		},
		{
			{Principal: "key:teams/a/keys/laptop", Action: "GetTeam", Resource: "team:b"},
			{Principal: "key:teams/a/keys/laptop", Action: "GetTeam", Resource: "team:nobody"},
		},
		{
			{Principal: "key:teams/a/keys/laptop", Action: "GetPolicy", Resource: "policy:own-team"},
			{Principal: "key:teams/a/keys/laptop", Action: "GetPolicy", Resource: "policy:none"},
		},
	} {
		_, there := auditor.CheckPolicy(ctx, pair[0])
		_, not := auditor.CheckPolicy(ctx, pair[1])
		if there == nil || not == nil || connect.CodeOf(there) != connect.CodeOf(not) || infoOf(there).GetReason() != infoOf(not).GetReason() {
			t.Errorf("%v: %v, and of what there is not: %v", pair[0], there, not)
		}
	}
}

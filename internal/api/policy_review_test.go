package api_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
)

// hiddenCall ships the event of a call whose agent looked to the caller like one that does
// not exist; of one that is there a decision was made.
func (l *ledger) hiddenCall(t *testing.T, p *plane, team, agent string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	snap := p.follower.Current()
	id, err := uuid.NewV7()
	must(t, err)
	o := &audit.Opening{Invocation: id, Time: replayDay, Caller: "teams/" + team + "/keys/laptop", CallerUID: uuid.New(), Team: team, Dialect: "JSONRPC/1.0"}
	if a, ok := snap.Agent(agent); ok {
		q := policy.Query{
			Principal: policy.KeyUID("teams/" + team + "/keys/laptop"), Action: policy.Discover, Resource: policy.AgentUID(a.ID),
			Context: policy.Context{Time: replayDay},
		}
		o.Decision = new(audit.Decision)
		recorded.FromQuery(o.Decision, q, snap.Policies().Decide(snap.Entities(), q), snap.Revision())
	}
	recorder, err := audit.NewRecorder(audit.RecorderConfig{Spool: l})
	must(t, err)
	must(t, recorder.Refuse(o, &audit.Closing{
		Invocation: id, Outcome: audit.Refused, Error: &audit.CallError{Code: -31404, Reason: "AGENT_NOT_FOUND", Message: "no agent of this name"},
	}))
	l.ship(t)
	return id.String()
}

// What looked to a caller like what does not exist looks so in the record, too: neither the
// event nor its decision nor a replay tells a team of an agent that it cannot see.
func TestDecisions_DoNotTellOfAgentsThatTheCallerDidNotSee(t *testing.T) {
	p, l := newAuditPlane(t)
	ctx := t.Context()
	_, own := p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "b", "secret", func(a *registryv1.Agent) {
		a.Visibility = registryv1.Visibility_VISIBILITY_PRIVATE
		a.Tags = []string{"merger"}
	})
	there, not := l.hiddenCall(t, p, "a", "secret"), l.hiddenCall(t, p, "a", "nobody")

	_, err := p.as(own).GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + not})
	refused(t, err, connect.CodeNotFound, "DECISION_NOT_FOUND")
	d, err := p.as(own).GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + there})
	if err == nil {
		t.Errorf("the decision tells of the agent: %v", d)
	}
	refused(t, err, connect.CodeNotFound, "DECISION_NOT_FOUND")
	e, err := p.as(own).GetEvent(ctx, &auditv1.GetEventRequest{Name: "events/" + there})
	must(t, err)
	if e.GetDecision() != nil {
		t.Errorf("the event tells of the agent: %v", e.GetDecision())
	}
	list, err := p.as(own).ListEvents(ctx, &auditv1.ListEventsRequest{})
	must(t, err)
	for _, e := range list.GetEvents() {
		if e.GetDecision() != nil {
			t.Errorf("the list of events tells of the agent: %v", e)
		}
	}
	draft := &policyv1.DraftPolicy{Text: `permit (principal, action, resource is Signalbox::Agent) when { resource.tags.contains("merger") };`}
	if r := replay(t, p.as(own), &policyv1.ReplayPolicyRequest{Draft: draft}); r.GetReplayed() != 0 || r.GetNewlyAllowed() != 0 || r.GetNotReplayable() != 0 {
		t.Errorf("the replay tells of the agent: %v", r)
	}
	// Who may read everybody's record reads this, too.
	d, err = p.admin().GetDecision(ctx, &policyv1.GetDecisionRequest{Name: "decisions/" + there})
	must(t, err)
	e, err = p.admin().GetEvent(ctx, &auditv1.GetEventRequest{Name: "events/" + there})
	must(t, err)
	if d.GetExplanation() == nil || e.GetDecision() == nil {
		t.Errorf("for the admin: %v, %v", d, e)
	}
	if r := replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Draft: draft}); r.GetNewlyAllowed() != 1 {
		t.Errorf("for the admin: %v", r)
	}
}

// A draft decides about a team's own question and must not be a way to ask about what
// others have.
func TestDrafts_OfWhoAsksForOneTeamLookIntoNothingElse(t *testing.T) {
	p, l := newAuditPlane(t)
	ctx := t.Context()
	_, own := p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "a", "echo")
	p.agent(t, "b", "secret", func(a *registryv1.Agent) { a.Visibility = registryv1.Visibility_VISIBILITY_PRIVATE })
	l.decided(t, p, "a", "echo", time.Now())
	check := func(c clients, condition string) (bool, error) {
		x, err := c.CheckPolicy(ctx, &policyv1.CheckPolicyRequest{
			Principal: "key:teams/a/keys/laptop", Action: "invoke", Resource: "agent:echo",
			Draft: &policyv1.DraftPolicy{Text: "forbid (principal, action, resource) when { " + condition + " };"},
		})
		return !x.GetPermit(), err
	}
	for _, condition := range []string{
		`Signalbox::Agent::"secret" has id`, `Signalbox::Agent::"secret" in Signalbox::Team::"b"`, `Signalbox::Team::"b" has id`,
		`Signalbox::Key::"teams/b/keys/laptop" in Signalbox::Role::"team-key"`,
	} {
		if holds, err := check(p.admin(), condition); err != nil || !holds {
			t.Fatalf("%s: %v, %v", condition, holds, err)
		}
		_, err := check(p.as(own), condition)
		refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
		stream, err := p.as(own).ReplayPolicy(ctx, &policyv1.ReplayPolicyRequest{
			Draft: &policyv1.DraftPolicy{Text: "forbid (principal, action, resource) when { " + condition + " };"},
		})
		must(t, err)
		for stream.Receive() {
			if r := stream.Msg().GetResult(); r != nil {
				t.Errorf("%s: replayed %v", condition, r)
			}
		}
		refused(t, stream.Err(), connect.CodeInvalidArgument, "INVALID_ARGUMENT")
		must(t, stream.Close())
	}
	if holds, err := check(p.as(own), `principal in Signalbox::Team::"a" && resource == Signalbox::Agent::"echo"`); err != nil || !holds {
		t.Errorf("what it may ask: %v, %v", holds, err)
	}
}

// A report that is kept with a version is of what the version does: of its text in the
// place of the policy that it is a version of.
func TestReplay_IsAttachedOnlyToThePolicyThatItTried(t *testing.T) {
	p, _ := newAuditPlane(t)
	ctx := t.Context()
	as := func(id string) string {
		return replay(t, p.admin(), &policyv1.ReplayPolicyRequest{Draft: &policyv1.DraftPolicy{PolicyId: id, Text: nightText}}).GetName()
	}
	beside := as("")
	applyNight := func(report string) error {
		_, err := p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "night", Text: nightText, Replay: report})
		return err
	}
	refused(t, applyNight(as("other")), connect.CodeFailedPrecondition, "REPLAY_MISMATCH")
	must(t, applyNight(beside)) // there was no such policy, so that beside all others is in its place
	apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "night", Text: officeText})
	refused(t, applyNight(beside), connect.CodeFailedPrecondition, "REPLAY_MISMATCH")
	apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "night", Text: nightText, Mode: policyv1.Mode_MODE_SHADOW})
	enforce := func(report string) error {
		_, err := p.admin().UpdatePolicy(ctx, &policyv1.UpdatePolicyRequest{
			Policy: &policyv1.Policy{Name: "policies/night", Mode: policyv1.Mode_MODE_ENFORCE}, Replay: report,
		})
		return err
	}
	refused(t, enforce(as("other")), connect.CodeFailedPrecondition, "REPLAY_MISMATCH")
	refused(t, enforce(beside), connect.CodeFailedPrecondition, "REPLAY_MISMATCH")
	must(t, enforce(as("night")))
}

// Each of two changes leaves an admin, and both together would not: whoever comes second is
// checked against what the first one left.
func TestPolicies_TwoChangesAtOnceDoNotLockTheLastAdminOutTogether(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	set := func(mode policyv1.Mode) error {
		_, err := p.admin().UpdatePolicy(ctx, &policyv1.UpdatePolicyRequest{Policy: &policyv1.Policy{Name: "policies/admin", Mode: mode}})
		return err
	}
	for round := range 10 {
		apply(t, p, &policyv1.ApplyPolicyRequest{PolicyId: "own", Text: `permit (principal in Signalbox::Role::"admin", action, resource);`})
		results := make(chan error, 2)
		go func() { results <- set(policyv1.Mode_MODE_DISABLED) }()
		go func() {
			_, err := p.admin().DeletePolicy(ctx, &policyv1.DeletePolicyRequest{Name: "policies/own"})
			results <- err
		}()
		var failed error
		for range 2 {
			if err := <-results; err != nil {
				if failed != nil {
					t.Fatalf("round %d: both failed: %v, %v", round, failed, err)
				}
				failed = err
			}
		}
		refused(t, failed, connect.CodeFailedPrecondition, "LAST_ADMIN_LOCKED_OUT")
		must(t, set(policyv1.Mode_MODE_ENFORCE))
	}
}

// A policy can be written while others change the configuration all the time.
func TestPolicies_AreWrittenAmongManyOtherWrites(t *testing.T) {
	p := newPlane(t)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; i < 10_000 && ctx.Err() == nil; i++ {
				_, err := p.admin().CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: fmt.Sprintf("t-%d-%d", w, i)})
				if err != nil && ctx.Err() == nil {
					t.Errorf("create team: %v", err)
				}
			}
		})
	}
	for i := range 40 {
		_, err := p.admin().ApplyPolicy(ctx, &policyv1.ApplyPolicyRequest{PolicyId: "office", Text: fmt.Sprintf("%s // %d", officeText, i)})
		if err != nil {
			t.Errorf("apply: %v", err)
		}
	}
	cancel()
	writers.Wait()
}

// Who may list the grants about a team's agents may read each of them, and no others.
func TestGrants_WhatIsListedCanBeRead(t *testing.T) {
	p := newPlane(t)
	ctx := t.Context()
	_, plain := p.team(t, "a")
	p.team(t, "b")
	p.agent(t, "a", "echo")
	callers := map[string]string{"a key without a role": plain}
	for _, role := range []string{"member", "auditor", "team-admin"} {
		made, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/a", KeyId: role, Roles: []string{"teams/a/roles/" + role}})
		must(t, err)
		callers[role] = made.GetSecret()
	}
	own, err := p.admin().CreateGrant(ctx, grant("team:b", "agent:echo", "invoke"))
	must(t, err)
	other, err := p.admin().CreateGrant(ctx, grant("team:a", "team:b", "invoke"))
	must(t, err)
	for name, secret := range callers {
		list, err := p.as(secret).ListGrants(ctx, &policyv1.ListGrantsRequest{})
		must(t, err)
		if len(list.GetGrants()) != 1 || list.GetGrants()[0].GetName() != own.GetName() {
			t.Errorf("%s lists %v", name, list)
		}
		if _, err := p.as(secret).GetGrant(ctx, &policyv1.GetGrantRequest{Name: own.GetName()}); err != nil {
			t.Errorf("%s lists a grant and cannot read it: %v", name, err)
		}
		_, err = p.as(secret).GetGrant(ctx, &policyv1.GetGrantRequest{Name: other.GetName()})
		refused(t, err, connect.CodeNotFound, "GRANT_NOT_FOUND")
	}
}

package api_test

import (
	"encoding/json"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// served is the state in which this replica serves the agent "echo".
func (p *plane) served(t *testing.T) registry.State {
	t.Helper()
	a, ok := p.follower.Current().Agent("echo")
	if !ok {
		t.Fatal("the agent is not served")
	}
	return a.State
}

func TestSuspendAgent_StopsItUntilItIsResumed(t *testing.T) {
	p := newPlane(t)
	key, secret := p.team(t, "demo")
	before := p.agent(t, "demo", "echo")
	c, ctx := p.as(secret), t.Context()

	stopped, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/echo", Reason: "it leaks\nnames", Etag: before.GetEtag()})
	must(t, err)
	want := &registryv1.Suspension{StateBefore: registryv1.State_STATE_APPROVED, Reason: "it leaks\nnames"}
	ignore := protocmp.IgnoreFields(&registryv1.Suspension{}, "suspend_time")
	if diff := cmp.Diff(want, stopped.GetSuspension(), protocmp.Transform(), ignore); diff != "" {
		t.Errorf("suspension (-want +got):\n%s", diff)
	}
	if stopped.GetState() != registryv1.State_STATE_SUSPENDED || !stopped.GetSuspension().GetSuspendTime().AsTime().Equal(stopped.GetUpdateTime().AsTime()) ||
		stopped.GetEtag() == before.GetEtag() || stopped.GetRevision() != before.GetRevision() {
		t.Errorf("suspended agent: %v", stopped)
	}
	if s := p.served(t); s.Callable() {
		t.Errorf("the agent is served as %s right after it was suspended", s)
	}

	again, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/echo", Reason: "another"})
	must(t, err)
	if diff := cmp.Diff(stopped, again, protocmp.Transform()); diff != "" {
		t.Errorf("suspending a suspended agent changed it (-want +got):\n%s", diff)
	}
	list, err := c.ListAgents(ctx, &registryv1.ListAgentsRequest{Filter: "state = SUSPENDED"})
	must(t, err)
	if len(list.GetAgents()) != 1 || list.GetAgents()[0].GetSuspension().GetReason() != want.GetReason() {
		t.Errorf("suspended agents: %v", list.GetAgents())
	}

	// An update neither ends the suspension nor makes one.
	read, err := c.GetAgent(ctx, &registryv1.GetAgentRequest{Name: "agents/echo"})
	must(t, err)
	read.State, read.Suspension, read.Description = registryv1.State_STATE_APPROVED, nil, "changed"
	updated, err := c.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{Agent: read})
	must(t, err)
	if updated.GetDescription() != "changed" || updated.GetState() != registryv1.State_STATE_SUSPENDED ||
		!cmp.Equal(updated.GetSuspension(), stopped.GetSuspension(), protocmp.Transform()) {
		t.Errorf("updated while suspended: %v", updated)
	}
	for _, path := range []string{"state", "suspension"} {
		_, err = c.UpdateAgent(ctx, &registryv1.UpdateAgentRequest{Agent: read, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
		refused(t, err, connect.CodeInvalidArgument, "INVALID_UPDATE_MASK")
	}

	back, err := c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/echo", Reason: "repaired"})
	must(t, err)
	if back.GetState() != registryv1.State_STATE_APPROVED || back.GetSuspension() != nil || p.served(t) != registry.StateApproved {
		t.Errorf("resumed agent: %v, served as %s", back, p.served(t))
	}
	again, err = c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/echo"})
	must(t, err)
	if diff := cmp.Diff(back, again, protocmp.Transform()); diff != "" {
		t.Errorf("resuming an agent that is not suspended changed it (-want +got):\n%s", diff)
	}
	p.checkHistory(t, stopped.GetUid(), []entry{
		{"admin", "", "", "APPROVED"},
		{key, "it leaks\nnames", "APPROVED", "SUSPENDED"},
		{key, "", "SUSPENDED", "SUSPENDED"},
		{key, "repaired", "SUSPENDED", "APPROVED"},
	})
}

// entry is a change in the history of an agent.
type entry struct{ author, reason, before, after string }

func (p *plane) checkHistory(t *testing.T, uid string, want []entry) {
	t.Helper()
	rows, err := p.pool.Query(t.Context(), `
		SELECT author, reason, before_state, after_state FROM config_changes WHERE resource_uid = $1 ORDER BY revision`, uid)
	must(t, err)
	defer rows.Close()
	var got []entry
	for rows.Next() {
		var e entry
		var before, after []byte
		must(t, rows.Scan(&e.author, &e.reason, &before, &after))
		for doc, state := range map[*[]byte]*string{&before: &e.before, &after: &e.after} {
			var held struct{ State string }
			if *doc != nil {
				must(t, json.Unmarshal(*doc, &held))
			}
			*state = held.State
		}
		got = append(got, e)
	}
	must(t, rows.Err())
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestSuspendAgent_KeepsTheStateThatItHad(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	p.agent(t, "demo", "echo")
	c, ctx := p.admin(), t.Context()
	for state, suspendable := range map[registry.State]bool{
		registry.StateDraft: true, registry.StatePendingApproval: true, registry.StateApproved: true, registry.StateDeprecated: true,
		registry.StateRetired: false, registry.StateRejected: false,
	} {
		_, err := p.pool.Exec(ctx, "UPDATE agents SET lifecycle_state = $1", string(state))
		must(t, err)
		if !suspendable {
			_, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/echo"})
			if info := refused(t, err, connect.CodeFailedPrecondition, "AGENT_STATE"); info.GetMetadata()["state"] != string(state) {
				t.Errorf("the refusal to suspend an agent that is %s says %v", state, info)
			}
			_, err = c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/echo"})
			refused(t, err, connect.CodeFailedPrecondition, "AGENT_STATE")
			continue
		}
		stopped, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/echo"})
		must(t, err)
		back, err := c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/echo"})
		must(t, err)
		if stopped.GetState() != registryv1.State_STATE_SUSPENDED || back.GetState().String() != "STATE_"+string(state) {
			t.Errorf("%s became %s, then %s", state, stopped.GetState(), back.GetState())
		}
	}
}

func TestSuspendAgent_RefusesWhatItCannotTake(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	p.agent(t, "demo", "echo")
	c, ctx := p.admin(), t.Context()
	_, err := c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/echo", Etag: "old"})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	_, err = c.ResumeAgent(ctx, &registryv1.ResumeAgentRequest{Name: "agents/echo", Etag: "old"})
	refused(t, err, connect.CodeAborted, "ETAG_MISMATCH")
	_, err = c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/echo", Reason: "a\x1b[2Jb"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "echo"})
	refused(t, err, connect.CodeInvalidArgument, "INVALID_ARGUMENT")
	_, err = c.SuspendAgent(ctx, &registryv1.SuspendAgentRequest{Name: "agents/none"})
	refused(t, err, connect.CodeNotFound, "AGENT_NOT_FOUND")
	if s := p.served(t); s != registry.StateApproved {
		t.Errorf("refusals left the agent %s", s)
	}
}

// Who suspends an agent while somebody else changes it is not told to try again.
func TestSuspendAgent_HoldsAgainstConcurrentUpdates(t *testing.T) {
	p := newPlane(t)
	p.team(t, "demo")
	p.agent(t, "demo", "echo")
	var calls sync.WaitGroup
	for i := range 8 {
		calls.Go(func() {
			if _, err := p.admin().SuspendAgent(t.Context(), &registryv1.SuspendAgentRequest{Name: "agents/echo"}); err != nil {
				t.Errorf("suspend: %v", err)
			}
		})
		calls.Go(func() {
			_, err := p.admin().UpdateAgent(t.Context(), &registryv1.UpdateAgentRequest{
				Agent: &registryv1.Agent{Name: "agents/echo", Description: string(rune('a' + i))},
			})
			if err != nil && connect.CodeOf(err) != connect.CodeAborted { // so many updates may get in each other's way
				t.Errorf("update: %v", err)
			}
		})
	}
	calls.Wait()
	a, err := p.admin().GetAgent(t.Context(), &registryv1.GetAgentRequest{Name: "agents/echo"})
	must(t, err)
	if a.GetState() != registryv1.State_STATE_SUSPENDED || a.GetSuspension().GetStateBefore() != registryv1.State_STATE_APPROVED {
		t.Errorf("the agent is %v", a)
	}
}

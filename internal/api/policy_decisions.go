package api

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// CheckPolicy answers whether somebody may do something.
func (h policyHandler) CheckPolicy(ctx context.Context, req *policyv1.CheckPolicyRequest) (*policyv1.Explanation, error) {
	q := admin.Question{
		Principal: req.GetPrincipal(), Action: policy.Action(req.GetAction()), Resource: req.GetResource(), Claims: claimsOf(req.GetClaims()),
		Draft: trialOf(req.GetDraft()),
		Context: policy.Context{
			Time: timeOf(req.GetContext().GetTime()), Method: req.GetContext().GetMethod(), Dialect: req.GetContext().GetDialect(),
		},
	}
	if text := req.GetContext().GetSourceAddress(); text != "" {
		var err error
		if q.Context.SourceAddress, err = netip.ParseAddr(text); err != nil {
			return nil, &invalidError{field: "context.source_address", problem: "is no IP address"}
		}
	}
	// Who may ask about one team learns nothing of others, not even which names there are.
	all := h.may(ctx, policy.CheckPolicy, installation())
	if err := ownDraft(all, q.Draft); err != nil {
		return nil, err
	}
	a, err := h.policies.Ask(ctx, q)
	about, unseen := installation(), hiddenTeam(a.Team)
	if !all && a.Team != "" && h.may(ctx, policy.CheckPolicy, teamResource(a.Team)) {
		about = teamResource(a.Team)
	}
	if denied := h.authorize(ctx, policy.CheckPolicy, about, unseen); denied != nil {
		return nil, denied
	}
	if hidden := h.within(ctx, all, a); hidden != nil {
		return nil, hidden
	}
	if err != nil {
		return nil, err
	}
	x, err := h.policies.Explain(ctx, a)
	if err != nil {
		return nil, err
	}
	return explanationToProto(&x), nil
}

// ownDraft refuses drafts of who may only ask about some teams that look into what others
// have: what they come to would tell of it.
func ownDraft(all bool, d *admin.Trial) error {
	if all || d == nil {
		return nil
	}
	if uid, ok := policy.LooksInto(d.Text); ok {
		return &invalidError{field: "draft.text", problem: "it looks into " + policy.FormatUID(uid) +
			"; who may not try policies of the whole installation can compare with what a text names, but not ask for its attributes or groups"}
	}
	return nil
}

// within hides what an answer would tell of other teams to who may only ask about one.
func (h policyHandler) within(ctx context.Context, all bool, a admin.Asked) error {
	if all {
		return nil
	}
	switch uid := a.Query.Resource; uid.Type {
	case policy.TypeAgent:
		agent, ok := h.snapshot().Agent(string(uid.ID))
		if !ok || agent.Team != a.Team && !h.discovers(ctx, agentResource(agent.Agent)) {
			return &hiddenError{resource: "agents/" + string(uid.ID), cause: registry.ErrAgentNotFound}
		}
		return nil
	case policy.TypeTeam:
		if string(uid.ID) == a.Team {
			return nil
		}
		return hiddenTeam(string(uid.ID))
	}
	return denied(ctx, policy.CheckPolicy, installation(), "you may ask about the agents of "+identity.TeamName(a.Team)+" and those that you see")
}

// GetDecision returns the decision about a call and explains it.
func (h policyHandler) GetDecision(ctx context.Context, req *policyv1.GetDecisionRequest) (*policyv1.Decision, error) {
	within, err := h.eventScope(ctx, policy.GetDecision)
	if err != nil {
		return nil, err
	}
	hidden := &hiddenError{resource: req.GetName(), cause: admin.ErrNoDecision}
	id, err := uuid.Parse(strings.TrimPrefix(req.GetName(), "decisions/"))
	if err != nil {
		return nil, hidden
	}
	event, err := h.events.Get(ctx, id, within)
	if errors.Is(err, audit.ErrEventNotFound) || err == nil && !h.may(ctx, policy.GetDecision, eventResource(&event)) {
		return nil, hidden
	}
	if err != nil {
		return nil, err
	}
	if event.Unseen() && !h.may(ctx, policy.GetDecision, installation()) {
		return nil, hidden
	}
	d, err := h.policies.Decision(ctx, &event)
	if err != nil {
		return nil, err
	}
	return decisionToProto(d), nil
}

// ReplayPolicy makes recorded decisions again.
func (h policyHandler) ReplayPolicy(
	ctx context.Context, req *policyv1.ReplayPolicyRequest, stream *connect.ServerStream[policyv1.ReplayPolicyResponse],
) error {
	within, err := h.eventScope(ctx, policy.ReplayPolicy)
	if err != nil {
		return err
	}
	draft := trialOf(req.GetDraft())
	if err := ownDraft(within.All(), draft); err != nil {
		return err
	}
	// Headers go out at once: to read the history may take a while.
	if err := stream.Send(nil); err != nil {
		return err
	}
	call := interceptor.FromContext(ctx)
	confirmed := h.clock.Now()
	result, err := h.policies.Replay(ctx, &call.Principal, admin.ReplayRequest{
		Draft: draft, Since: timeOf(req.GetSinceTime()), Until: timeOf(req.GetUntilTime()), Filter: req.GetFilter(),
		Now: req.GetEntities() == policyv1.ReplayEntities_REPLAY_ENTITIES_NOW, Scope: within,
	}, func(p admin.Progress) error {
		if err := h.goOn(call, &confirmed); err != nil {
			return err
		}
		return stream.Send(&policyv1.ReplayPolicyResponse{Step: &policyv1.ReplayPolicyResponse_Progress{Progress: &policyv1.ReplayProgress{
			Replayed: p.Replayed, NotReplayable: p.NotReplayable, EventsRead: p.Read, EventsTotal: p.Total,
		}}})
	})
	if err != nil {
		return err
	}
	return stream.Send(&policyv1.ReplayPolicyResponse{Step: &policyv1.ReplayPolicyResponse_Result{Result: replayToProto(result)}})
}

// goOn says why a replay must not go on: the gateway stops, or the caller's credential
// holds no longer.
func (h policyHandler) goOn(call *interceptor.Call, confirmed *time.Time) error {
	select {
	case <-h.draining:
		return errShutdown
	default:
	}
	if now := h.clock.Now(); now.Sub(*confirmed) >= confirmEvery && call.Confirm != nil {
		*confirmed = now
		return call.Confirm()
	}
	return nil
}

// GetReplay returns what a replay came to. One that was limited to teams is for who may
// see replays of each of them.
func (h policyHandler) GetReplay(ctx context.Context, req *policyv1.GetReplayRequest) (*policyv1.Replay, error) {
	hidden := &hiddenError{resource: req.GetName(), cause: admin.ErrReplayNotFound}
	r, err := h.policies.GetReplay(ctx, replayID(req.GetName()))
	if err != nil && !errors.Is(err, admin.ErrReplayNotFound) {
		return nil, err
	}
	about := installation()
	if err == nil && len(r.Teams) > 0 && !h.may(ctx, policy.GetReplay, installation()) {
		for _, team := range r.Teams {
			if about = teamResource(team); !h.may(ctx, policy.GetReplay, about) {
				break
			}
		}
	}
	if denied := h.authorize(ctx, policy.GetReplay, about, hidden); denied != nil {
		return nil, denied
	}
	if err != nil {
		return nil, hidden
	}
	return replayToProto(r), nil
}

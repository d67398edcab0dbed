package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
)

// auditHandler serves the AuditService.
type auditHandler struct{ *api }

var _ auditv1connect.AuditServiceHandler = auditHandler{}

// eventPlace is a place in a list of events, as page tokens hold it.
type eventPlace struct {
	Before int64 `json:"b"`
}

// eventScope returns whose events the caller may read.
func (a *api) eventScope(ctx context.Context, action policy.Action) (audit.Scope, error) {
	within, err := a.listScope(ctx, action, "events")
	switch {
	case err != nil:
		return audit.Scope{}, err
	case within.all:
		return audit.AllTeams(), nil
	}
	return audit.Teams(within.teams...), nil
}

// seesEvent tells whether the caller may see an event of its scope.
func (a *api) seesEvent(ctx context.Context, e *audit.Event) bool {
	return a.may(ctx, policy.GetEvent, eventResource(e))
}

// ListEvents returns a page of events.
func (h auditHandler) ListEvents(ctx context.Context, req *auditv1.ListEventsRequest) (*auditv1.ListEventsResponse, error) {
	conditions, err := audit.ParseFilter(req.GetFilter())
	if err != nil {
		return nil, err
	}
	scope, err := h.eventScope(ctx, policy.ListEvents)
	if err != nil {
		return nil, err
	}
	caller, list := interceptor.Principal(ctx), []string{"events", req.GetFilter()}
	var place eventPlace
	if req.GetPageToken() != "" {
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
	}
	query, before := audit.Query{Conditions: conditions, Scope: scope}, place.Before
	shown, last, more, err := fillPage(pageSize(req.GetPageSize()), func(_ *audit.Event, limit int) ([]audit.Event, bool, error) {
		page, err := h.events.List(ctx, query, before, limit)
		before = page.Next
		return page.Events, page.Next != 0, err
	}, func(e *audit.Event) bool { return h.seesEvent(ctx, e) })
	if err != nil {
		return nil, err
	}
	res := &auditv1.ListEventsResponse{Events: make([]*auditv1.Event, len(shown))}
	for i := range shown {
		res.Events[i] = h.shown(ctx, &shown[i])
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, eventPlace{Before: last.Sequence}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// GetEvent returns one event.
func (h auditHandler) GetEvent(ctx context.Context, req *auditv1.GetEventRequest) (*auditv1.Event, error) {
	scope, err := h.eventScope(ctx, policy.GetEvent)
	if err != nil {
		return nil, err
	}
	hidden := &hiddenError{resource: req.GetName(), cause: audit.ErrEventNotFound}
	id, err := uuid.Parse(strings.TrimPrefix(req.GetName(), "events/"))
	if err != nil {
		return nil, hidden
	}
	event, err := h.events.Get(ctx, id, scope)
	if errors.Is(err, audit.ErrEventNotFound) || err == nil && !h.seesEvent(ctx, &event) {
		return nil, hidden
	}
	if err != nil {
		return nil, err
	}
	return h.whole(ctx, &event), nil
}

// shown converts an event for the caller. Where an agent runs is its owner's affair:
// a team that calls another's agent does not learn it.
func (h auditHandler) shown(ctx context.Context, e *audit.Event) *auditv1.Event {
	event := eventToProto(e)
	about := installation()
	action := policy.ListAgents // who may list the agents of everybody may know where one was that is gone
	if agent, ok := h.snapshot().AgentByUID(e.AgentUID); ok {
		about, action = agentResource(agent.Agent), policy.GetAgent
	}
	if !h.may(ctx, action, about) {
		event.Endpoint = ""
	}
	if e.Unseen() && !h.may(ctx, policy.GetEvent, installation()) {
		event.Decision = nil // which there would not be, were there nothing
	}
	return event
}

// whole converts an event with what the call changed.
func (h auditHandler) whole(ctx context.Context, e *audit.Event) *auditv1.Event {
	event := h.shown(ctx, e)
	if h.seesChange(ctx, e) {
		addChange(event, e)
	}
	return event
}

// seesChange tells whether the caller may see what a call changed: what belongs to a team is
// for who reads the record of that team, whoever changed it, and what belongs to the
// installation for who reads the record of all. Whose a role or a task is now says the call itself.
func (h auditHandler) seesChange(ctx context.Context, e *audit.Event) bool {
	if e.Before == nil && e.After == nil || e.CallerUID == interceptor.Principal(ctx).UID || h.may(ctx, policy.GetEvent, installation()) {
		return true
	}
	switch methodOf(e.Method) {
	case string(policy.AddRoleMember), string(policy.RemoveRoleMember), "AdoptTasks":
		return true
	}
	team, ofTeam := strings.CutPrefix(e.Resource, "teams/")
	for _, document := range [][]byte{e.After, e.Before} { // of agents and grants
		if !ofTeam {
			team, ofTeam = strings.CutPrefix(documentOf(document).GetFields()["team"].GetStringValue(), "teams/")
		}
	}
	team, _, _ = strings.Cut(team, "/")
	return ofTeam && h.may(ctx, policy.GetEvent, teamResource(team))
}

// confirmEvery is how often a tail looks whether its caller's credential still holds
// when it has nothing to send.
const confirmEvery = time.Second

// TailEvents sends events as they come, for as long as the caller's credential holds.
func (h auditHandler) TailEvents(
	ctx context.Context, req *auditv1.TailEventsRequest, stream *connect.ServerStream[auditv1.TailEventsResponse],
) error {
	conditions, err := audit.ParseFilter(req.GetFilter())
	if err != nil {
		return err
	}
	scope, err := h.eventScope(ctx, policy.TailEvents)
	if err != nil {
		return err
	}
	// Headers go out at once, so that a caller knows that the tail has begun.
	if err := stream.Send(nil); err != nil {
		return err
	}
	caller := interceptor.FromContext(ctx)
	tail, cancel := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	defer func() {
		cancel(nil)
		<-watching
	}()
	go func() {
		defer close(watching)
		cancel(h.endOf(tail, caller.Confirm))
	}()
	send := func(res *auditv1.TailEventsResponse) error {
		if err := caller.Confirm(); err != nil {
			return err
		}
		return stream.Send(res)
	}
	err = audit.Tail(tail, audit.TailConfig{
		Events: h.events, Query: audit.Query{Conditions: conditions, Scope: scope}, After: req.AfterSequence,
		Watch: h.tails, Caller: caller.Principal.Name,
		// Proxies and HTTP clients give up on a response that is silent for minutes.
		Silent: func() error { return send(&auditv1.TailEventsResponse{}) }, Silence: h.tailSilence,
	}, func(e audit.Event) error {
		if !h.seesEvent(ctx, &e) {
			return nil
		}
		return send(&auditv1.TailEventsResponse{Event: h.whole(ctx, &e)})
	})
	if err == nil && ctx.Err() == nil {
		return context.Cause(tail)
	}
	return err
}

// endOf waits until a tail must end and returns why.
func (h auditHandler) endOf(tail context.Context, confirm func() error) error {
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		select {
		case <-h.draining:
			return errShutdown
		case <-tail.Done():
			return context.Cause(tail)
		case <-ticker.C:
			if err := confirm(); err != nil {
				return err
			}
		}
	}
}

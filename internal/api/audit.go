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
func eventScope(ctx context.Context) (audit.Scope, error) {
	team, err := listScope(ctx, policy.KindEvent)
	switch {
	case err != nil:
		return audit.Scope{}, err
	case team == "":
		return audit.AllTeams(), nil
	}
	return audit.OneTeam(team), nil
}

// ListEvents returns a page of events.
func (h auditHandler) ListEvents(ctx context.Context, req *auditv1.ListEventsRequest) (*auditv1.ListEventsResponse, error) {
	conditions, err := audit.ParseFilter(req.GetFilter())
	if err != nil {
		return nil, err
	}
	scope, err := eventScope(ctx)
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
	page, err := h.events.List(ctx, audit.Query{Conditions: conditions, Scope: scope}, place.Before, pageSize(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &auditv1.ListEventsResponse{Events: make([]*auditv1.Event, len(page.Events))}
	for i := range page.Events {
		res.Events[i] = h.shown(ctx, &page.Events[i])
	}
	if page.Next != 0 {
		if res.NextPageToken, err = h.tokens.write(caller, list, eventPlace{Before: page.Next}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// GetEvent returns one event.
func (h auditHandler) GetEvent(ctx context.Context, req *auditv1.GetEventRequest) (*auditv1.Event, error) {
	scope, err := eventScope(ctx)
	if err != nil {
		return nil, err
	}
	hidden := &hiddenError{resource: req.GetName(), cause: audit.ErrEventNotFound}
	id, err := uuid.Parse(strings.TrimPrefix(req.GetName(), "events/"))
	if err != nil {
		return nil, hidden
	}
	event, err := h.events.Get(ctx, id, scope)
	if errors.Is(err, audit.ErrEventNotFound) {
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
	owner := ""
	if agent, ok := h.snapshot().AgentByUID(e.AgentUID); ok {
		owner = agent.Team
	}
	if !policy.Decide(policy.Request{
		Principal: interceptor.Principal(ctx), Action: policy.Read,
		Resource: policy.Resource{Kind: policy.KindAgent, Name: e.Agent, Team: owner},
	}).Permit {
		event.Endpoint = ""
	}
	return event
}

// whole converts an event with what the call changed.
func (h auditHandler) whole(ctx context.Context, e *audit.Event) *auditv1.Event {
	event := h.shown(ctx, e)
	addChange(event, e)
	return event
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
	scope, err := eventScope(ctx)
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

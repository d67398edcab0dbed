package api

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/emptypb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/filter"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// registryHandler serves the RegistryService.
type registryHandler struct{ *api }

var _ registryv1connect.RegistryServiceHandler = registryHandler{}

// CreateAgent registers an agent.
func (h registryHandler) CreateAgent(ctx context.Context, req *registryv1.CreateAgentRequest) (*registryv1.Agent, error) {
	team, err := h.ownerTeam(ctx, policy.CreateAgent, "agent.team", req.GetAgent().GetTeam())
	if err != nil {
		return nil, err
	}
	draft, err := draftOf(req.GetAgentId(), team, req.GetAgent())
	if err != nil {
		return nil, err
	}
	a, revision, err := h.registry.Create(ctx, interceptor.Principal(ctx).Name, draft)
	if err != nil {
		return nil, err
	}
	recordChange(ctx, nil, h.shown(&a), revision)
	h.sync(ctx, revision)
	return h.shown(&a), nil
}

// ImportAgent registers an agent from its card.
func (h registryHandler) ImportAgent(ctx context.Context, req *registryv1.ImportAgentRequest) (*registryv1.Agent, error) {
	team, err := h.ownerTeam(ctx, policy.ImportAgent, "team", req.GetTeam())
	if err != nil {
		return nil, err
	}
	card, err := cardOf(req.GetCard(), req.GetCardJson())
	if err != nil {
		return nil, err
	}
	a, revision, err := h.registry.Import(ctx, interceptor.Principal(ctx).Name, registry.ImportDraft{
		ID: req.GetAgentId(), Team: team, Visibility: visibilityOf(req.GetVisibility()), CardURL: req.GetCardUrl(), Card: card,
	})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, nil, h.shown(&a), revision)
	h.sync(ctx, revision)
	return h.shown(&a), nil
}

// ownerTeam returns the id of the team that a new agent is to belong to.
func (h registryHandler) ownerTeam(ctx context.Context, action policy.Action, field, name string) (string, error) {
	team := lastPart(name)
	if team == "" {
		if team = interceptor.Principal(ctx).Team; team == "" {
			return "", &invalidError{field: field, problem: `must name the owner, for example "teams/demo": the admin key belongs to no team`}
		}
	}
	return team, h.authorize(ctx, action, teamResource(team), hiddenTeam(team))
}

// shown converts an agent with its card.
func (h registryHandler) shown(a *registry.Agent) *registryv1.Agent {
	out := agentToProto(*a)
	out.Routes = h.public.routes(a)
	out.Warnings = append(out.Warnings, h.registry.SecretProblems(a)...)
	return out
}

// GetAgent returns one agent.
func (h registryHandler) GetAgent(ctx context.Context, req *registryv1.GetAgentRequest) (*registryv1.Agent, error) {
	a, err := h.agent(ctx, policy.GetAgent, req.GetName())
	if err != nil {
		return nil, err
	}
	return h.shown(&a), nil
}

// agent returns an agent to which the caller may do something.
func (h registryHandler) agent(ctx context.Context, action policy.Action, name string) (registry.Agent, error) {
	hidden := &hiddenError{resource: name, cause: registry.ErrAgentNotFound}
	a, err := h.registry.Agent(ctx, lastPart(name))
	if errors.Is(err, registry.ErrAgentNotFound) {
		return registry.Agent{}, hidden
	}
	if err != nil {
		return registry.Agent{}, err
	}
	return a, h.authorize(ctx, action, agentResource(&a), hidden)
}

// ListAgents returns a page of agents.
func (h registryHandler) ListAgents(ctx context.Context, req *registryv1.ListAgentsRequest) (*registryv1.ListAgentsResponse, error) {
	conditions, err := filter.Parse(req.GetFilter(), registry.FilterFields())
	if err != nil {
		return nil, err
	}
	order, desc, err := registry.ParseOrder(req.GetOrderBy())
	if err != nil {
		return nil, err
	}
	caller := interceptor.Principal(ctx)
	q := registry.Query{Conditions: conditions, Order: order, Desc: desc, Limit: pageSize(req.GetPageSize())}
	within, err := h.listScope(ctx, policy.ListAgents, "agents")
	if err != nil {
		return nil, err
	}
	q.Team = within.only()
	list := []string{"agents", req.GetFilter(), req.GetOrderBy()}
	if req.GetPageToken() != "" {
		q.After = &registry.Cursor{}
		if err := h.tokens.read(caller, list, req.GetPageToken(), q.After); err != nil {
			return nil, err
		}
	}
	agents, last, more, err := fillPage(q.Limit, func(_ *registry.Agent, limit int) ([]registry.Agent, bool, error) {
		q.Limit = limit
		page, next, err := h.registry.Agents(ctx, q)
		q.After = next
		return page, next != nil, err
	}, func(a *registry.Agent) bool {
		return within.has(a.Team) && h.may(ctx, policy.GetAgent, agentResource(a))
	})
	if err != nil {
		return nil, err
	}
	res := &registryv1.ListAgentsResponse{Agents: make([]*registryv1.Agent, len(agents))}
	for i, a := range agents {
		res.Agents[i] = agentToProto(a)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, registry.CursorAt(last, order)); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// UpdateAgent changes an agent.
func (h registryHandler) UpdateAgent(ctx context.Context, req *registryv1.UpdateAgentRequest) (*registryv1.Agent, error) {
	if req.GetAgent().GetName() == "" {
		return nil, errNameMissing("agent.name", "agents/echo")
	}
	fields, err := maskFields(req.GetUpdateMask(), req.GetAgent(), updatableAgentFields())
	if err != nil {
		return nil, err
	}
	update, err := updateOf(req.GetAgent(), fields)
	if err != nil {
		return nil, err
	}
	secretsUpdate(&update, req.GetAgent(), fields, req.GetUpdateMask())
	return h.change(ctx, policy.UpdateAgent, req.GetAgent().GetName(), update.Etag, func(a registry.Agent, etag string) (registry.Agent, int64, error) {
		update.Etag = etag
		return h.registry.Update(ctx, interceptor.Principal(ctx).Name, a.UID, update)
	})
}

// change is a change of an agent, and the answer to it.
func (h registryHandler) change(
	ctx context.Context, action policy.Action, name, etag string, write func(a registry.Agent, etag string) (registry.Agent, int64, error),
) (*registryv1.Agent, error) {
	was, is, revision, err := h.version(ctx, action, name, etag).write(write)
	if err != nil {
		return nil, err
	}
	out := h.shown(&is)
	recordChange(ctx, h.shown(&was), out, revision)
	out.Rollout = h.rollOut(ctx, revision)
	return out, nil
}

// version ties a write to the version of an agent that the caller may change.
func (h registryHandler) version(ctx context.Context, action policy.Action, name, etag string) versions[registry.Agent] {
	return versions[registry.Agent]{
		etag: etag, mismatch: registry.ErrEtagMismatch, of: func(a registry.Agent) string { return a.Etag },
		read: func() (registry.Agent, error) { return h.agent(ctx, action, name) },
	}
}

// SuspendAgent stops an agent.
func (h registryHandler) SuspendAgent(ctx context.Context, req *registryv1.SuspendAgentRequest) (*registryv1.Agent, error) {
	return h.change(ctx, policy.SuspendAgent, req.GetName(), req.GetEtag(), func(a registry.Agent, etag string) (registry.Agent, int64, error) {
		return h.registry.Suspend(ctx, interceptor.Principal(ctx).Name, a.UID, etag, req.GetReason())
	})
}

// ResumeAgent ends the suspension of an agent.
func (h registryHandler) ResumeAgent(ctx context.Context, req *registryv1.ResumeAgentRequest) (*registryv1.Agent, error) {
	return h.change(ctx, policy.ResumeAgent, req.GetName(), req.GetEtag(), func(a registry.Agent, etag string) (registry.Agent, int64, error) {
		return h.registry.Resume(ctx, interceptor.Principal(ctx).Name, a.UID, etag, req.GetReason())
	})
}

// DeleteAgent removes an agent.
func (h registryHandler) DeleteAgent(ctx context.Context, req *registryv1.DeleteAgentRequest) (*emptypb.Empty, error) {
	was, _, revision, err := h.version(ctx, policy.DeleteAgent, req.GetName(), req.GetEtag()).write(func(a registry.Agent, etag string) (registry.Agent, int64, error) {
		revision, err := h.registry.Delete(ctx, interceptor.Principal(ctx).Name, a.UID, etag)
		return registry.Agent{}, revision, err
	})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, h.shown(&was), nil, revision)
	h.rollOut(ctx, revision) // which sets the header: there is no room in the message
	return &emptypb.Empty{}, nil
}

func hiddenTeam(id string) error {
	return &hiddenError{resource: identity.TeamName(id), cause: identity.ErrTeamNotFound}
}

func errNameMissing(field, example string) error {
	return &invalidError{field: field, problem: `must name the resource, for example "` + example + `"`}
}

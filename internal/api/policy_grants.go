package api

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/types/known/emptypb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

func hiddenGrant(id string) error {
	return &hiddenError{resource: admin.GrantName(id), cause: admin.ErrGrantNotFound}
}

// CreateGrant gives somebody a right to agents.
func (h policyHandler) CreateGrant(ctx context.Context, req *policyv1.CreateGrantRequest) (*policyv1.Grant, error) {
	in := req.GetGrant()
	agents, err := admin.ParseSelector(in.GetAgents())
	if err != nil {
		return nil, err
	}
	principal, err := admin.ParsePrincipal(in.GetPrincipal())
	if err != nil {
		return nil, err
	}
	about, hidden := h.selected(&agents)
	if err := h.authorize(ctx, policy.CreateGrant, about, hidden); err != nil {
		return nil, err
	}
	draft := admin.GrantDraft{
		ID: req.GetGrantId(), Principal: principal, Agents: agents, Until: timeOf(in.GetExpireTime()), Via: in.Via, Disabled: in.GetDisabled(),
		Description: in.GetDescription(), AllowWithoutEffect: req.GetAllowWithoutEffect(),
	}
	for _, a := range in.GetActions() {
		draft.Actions = append(draft.Actions, policy.Action(a))
	}
	caller := interceptor.Principal(ctx)
	g, warnings, revision, err := h.policies.CreateGrant(ctx, &caller, draft)
	if errors.Is(err, registry.ErrAgentNotFound) || errors.Is(err, identity.ErrTeamNotFound) {
		return nil, hidden
	}
	if err != nil {
		return nil, err
	}
	recordChange(ctx, nil, grantToProto(g), revision)
	h.sync(ctx, revision)
	out := grantToProto(g)
	out.Warnings = warnings
	return out, nil
}

// selected is what a grant to some agents must be permitted on: the agent, the team or, for
// agents of several teams, the installation; and what is said when that is not there. An
// alias becomes the name that policies know.
func (h policyHandler) selected(agents *policy.Selector) (asked, error) {
	id := string(agents.Of.ID)
	switch agents.Of.Type {
	case policy.TypeAgent:
		hidden := &hiddenError{resource: "agents/" + id, cause: registry.ErrAgentNotFound}
		agent, ok := h.snapshot().Agent(id)
		if !ok {
			// Nobody may do anything to what is not there but who may do everything.
			return asked{uid: agents.Of, name: "agents/" + id}, hidden
		}
		agents.Of = policy.AgentUID(agent.ID)
		return agentResource(agent.Agent), hidden
	case policy.TypeTeam:
		return teamResource(id), hiddenTeam(id)
	}
	return installation(), nil
}

// grant returns a grant to which the caller may do something.
func (h policyHandler) grant(ctx context.Context, action policy.Action, name string) (admin.Grant, error) {
	id := lastPart(name)
	g, err := h.policies.Grant(ctx, id)
	if err != nil && !errors.Is(err, admin.ErrGrantNotFound) {
		return admin.Grant{}, err
	}
	if denied := h.authorize(ctx, action, grantResource(id, g.Team), hiddenGrant(id)); denied != nil {
		return admin.Grant{}, denied
	}
	if err != nil {
		return admin.Grant{}, hiddenGrant(id)
	}
	return g, nil
}

// GetGrant returns one grant.
func (h policyHandler) GetGrant(ctx context.Context, req *policyv1.GetGrantRequest) (*policyv1.Grant, error) {
	g, err := h.grant(ctx, policy.GetGrant, req.GetName())
	if err != nil {
		return nil, err
	}
	return grantToProto(g), nil
}

// ListGrants returns a page of grants.
func (h policyHandler) ListGrants(ctx context.Context, req *policyv1.ListGrantsRequest) (*policyv1.ListGrantsResponse, error) {
	caller, list := interceptor.Principal(ctx), []string{"grants", req.GetTeam(), req.GetPrincipal(), req.GetAgents()}
	q := admin.GrantQuery{Principal: req.GetPrincipal(), Agents: req.GetAgents()}
	var within scope
	var err error
	if req.GetTeam() != "" {
		q.Team = lastPart(req.GetTeam())
		within.teams = []string{q.Team}
		err = h.authorize(ctx, policy.ListGrants, teamResource(q.Team), hiddenTeam(q.Team))
		if _, ok := h.snapshot().Team(q.Team); err == nil && !ok {
			err = hiddenTeam(q.Team)
		}
	} else {
		within, err = h.listScope(ctx, policy.ListGrants, "grants")
		q.Team = within.only()
	}
	if err != nil {
		return nil, err
	}
	if req.GetPageToken() != "" {
		var place grantPlace
		if err := h.tokens.read(caller, list, req.GetPageToken(), &place); err != nil {
			return nil, err
		}
		q.After = place.Grant
	}
	grants, last, more, err := fillPage(pageSize(req.GetPageSize()), func(after *admin.Grant, limit int) ([]admin.Grant, bool, error) {
		if q.Limit = limit; after != nil {
			q.After = after.ID
		}
		return h.policies.Grants(ctx, q)
	}, func(g *admin.Grant) bool { return within.all || g.Team != "" && slices.Contains(within.teams, g.Team) })
	if err != nil {
		return nil, err
	}
	res := &policyv1.ListGrantsResponse{Grants: make([]*policyv1.Grant, len(grants))}
	for i, g := range grants {
		res.Grants[i] = grantToProto(g)
	}
	if more {
		if res.NextPageToken, err = h.tokens.write(caller, list, grantPlace{Grant: last.ID}); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// grantVersion ties a write to the version of a grant that the caller may change.
func (h policyHandler) grantVersion(ctx context.Context, action policy.Action, name, etag string) versions[admin.Grant] {
	return versions[admin.Grant]{
		etag: etag, mismatch: admin.ErrEtagMismatch, of: func(g admin.Grant) string { return g.Etag },
		read: func() (admin.Grant, error) { return h.grant(ctx, action, name) },
	}
}

// UpdateGrant changes a grant.
func (h policyHandler) UpdateGrant(ctx context.Context, req *policyv1.UpdateGrantRequest) (*policyv1.Grant, error) {
	in := req.GetGrant()
	if in.GetName() == "" {
		return nil, errNameMissing("grant.name", "grants/g-1")
	}
	fields, err := maskFields(req.GetUpdateMask(), in, []string{"expire_time", "disabled", "description"})
	if err != nil {
		return nil, err
	}
	caller := interceptor.Principal(ctx)
	was, is, revision, err := h.grantVersion(ctx, policy.UpdateGrant, in.GetName(), in.GetEtag()).write(
		func(g admin.Grant, etag string) (admin.Grant, int64, error) {
			return h.policies.UpdateGrant(ctx, &caller, g.UID, admin.GrantUpdate{
				Until: expiryOf(fields["expire_time"], in), Disabled: when(fields["disabled"], in.GetDisabled()),
				Description: when(fields["description"], in.GetDescription()), Etag: etag,
			})
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, grantToProto(was), grantToProto(is), revision)
	out := grantToProto(is)
	out.Rollout = h.rollOut(ctx, revision)
	return out, nil
}

// DeleteGrant takes a grant away.
func (h policyHandler) DeleteGrant(ctx context.Context, req *policyv1.DeleteGrantRequest) (*emptypb.Empty, error) {
	caller := interceptor.Principal(ctx)
	was, _, revision, err := h.grantVersion(ctx, policy.DeleteGrant, req.GetName(), req.GetEtag()).write(
		func(g admin.Grant, etag string) (admin.Grant, int64, error) {
			revision, err := h.policies.DeleteGrant(ctx, &caller, g.UID, etag)
			return admin.Grant{}, revision, err
		})
	if err != nil {
		return nil, err
	}
	recordChange(ctx, grantToProto(was), nil, revision)
	h.rollOut(ctx, revision) // which sets the header: there is no room in the message
	return &emptypb.Empty{}, nil
}

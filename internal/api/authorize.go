package api

import (
	"context"

	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// authorize asks the one decision point. What the caller may not see is hidden, and
// looks as if it did not exist; what it may see but not do is denied.
func authorize(ctx context.Context, action policy.Action, resource policy.Resource, hidden error) error {
	permits := func(a policy.Action) bool {
		return policy.Decide(policy.Request{Principal: interceptor.Principal(ctx), Action: a, Resource: resource}).Permit
	}
	permitted, err := decide(ctx, action, resource)
	switch {
	case err != nil:
		return err
	case permitted:
		return nil
	case permits(policy.Read):
		return &deniedError{
			action: string(action), resource: resource.Name,
			text: "you may read " + resource.Name + "; changes are for the admin key",
		}
	case resource.Kind == policy.KindAgent && permits(policy.Discover):
		what := "change"
		if action == policy.Read {
			what = "read"
		}
		return &deniedError{
			action: string(action), resource: resource.Name,
			text: "you may call " + resource.Name + " but not " + what + " its registration: that is for the team that owns it",
		}
	}
	return hidden
}

func agentResource(a *registry.Agent) policy.Resource {
	return policy.Resource{Kind: policy.KindAgent, Name: a.Name(), Team: a.Team, Visibility: a.Visibility}
}

func teamResource(id string) policy.Resource {
	return policy.Resource{Kind: policy.KindTeam, Name: identity.TeamName(id), Team: id}
}

func keyResource(team, id string) policy.Resource {
	name := identity.KeyName(team, id)
	if id == "" {
		name = "keys of " + identity.TeamName(team)
	}
	return policy.Resource{Kind: policy.KindKey, Name: name, Team: team}
}

// listScope returns the id of the only team whose resources of a kind the caller may
// read; empty when it may read those of every team.
//
// A team's resources stand or fall together under the present rules, so that the
// database can select by team. A test holds this against the decision point.
func listScope(ctx context.Context, kind policy.ResourceKind) (string, error) {
	p := interceptor.Principal(ctx)
	all := policy.Resource{Kind: kind, Name: string(kind) + "s", Team: "*"} // no team has this id, so who may read its resources may read all
	own := policy.Resource{Kind: kind, Name: string(kind) + "s of " + identity.TeamName(p.Team), Team: p.Team}
	permits := func(resource policy.Resource) bool {
		return policy.Decide(policy.Request{Principal: p, Action: policy.Read, Resource: resource}).Permit
	}
	asked := all
	if !permits(all) && p.Team != "" && permits(own) {
		asked = own
	}
	permitted, err := decide(ctx, policy.Read, asked)
	switch {
	case err != nil:
		return "", err
	case permitted && asked == own:
		return p.Team, nil
	case permitted:
		return "", nil
	}
	return "", &deniedError{action: "list", resource: string(kind) + "s", text: "you may not list " + string(kind) + "s"}
}

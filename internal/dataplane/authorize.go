package dataplane

import (
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// authorize decides about the call, now that its method is known. A caller who may
// not invoke what it may see gets a denial; there is no such caller yet, because the
// rules permit both or neither, but for cards of PUBLIC agents.
func (c *call) authorize() *fault {
	if c.decide(policy.Invoke, c.agent) {
		return nil
	}
	return &fault{
		mirror: 403, code: codeDenied, reason: "PERMISSION_DENIED", outcome: audit.Refused,
		message: "you may see this agent but not call it; ask the team that owns it",
	}
}

// question is what the policy is asked about an agent.
func (c *call) question(action policy.Action, agent *snapshot.Agent) policy.Request {
	return policy.Request{
		Principal: c.principal,
		Action:    action,
		Resource: policy.Resource{
			Kind: policy.KindAgent, Name: agent.ID, Team: agent.Team, Visibility: agent.Visibility,
		},
	}
}

// decide asks the policy and puts the answer, with all that it could see, into the record.
func (c *call) decide(action policy.Action, agent *snapshot.Agent) bool {
	decision := policy.Decide(c.question(action, agent))
	c.opening.Decision = &audit.Decision{
		Permitted: decision.Permit,
		Rules:     decision.Rules,
		Revision:  c.snap.Revision(),
		Principal: c.principal.Name,
		Action:    string(action),
		Resource:  agent.Name(),
		Context: []audit.Attribute{
			{Name: "principal.team", Value: c.principal.Team},
			{Name: "resource.team", Value: agent.Team},
			{Name: "resource.visibility", Value: string(agent.Visibility)},
			{Name: "resource.state", Value: string(agent.State)},
		},
	}
	return decision.Permit
}

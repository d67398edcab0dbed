package dataplane

import (
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/recorded"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// decisionEntries is how many decisions of this plane are remembered.
const decisionEntries = 1 << 15

// authorize decides about the call, now that its method is known. A caller who may not do
// this to an agent that it sees gets a denial.
func (c *call) authorize() *fault {
	q := c.question(policy.Action(c.op.String()), c.agent)
	answer := c.decide(q)
	c.recordDecision(q, answer)
	if answer.Permit {
		return nil
	}
	f := &fault{
		mirror: 403, code: codeDenied, reason: "PERMISSION_DENIED", outcome: audit.Refused,
		message: "you may see this agent but not do this there; ask the team that owns it",
	}
	return f.with("action", string(q.Action)).with("decision", "decisions/"+c.opening.Invocation.String())
}

// question is what the policies are asked about an agent.
func (c *call) question(action policy.Action, agent *snapshot.Agent) policy.Query {
	return policy.Query{
		Principal: c.principalUID, Action: action, Resource: policy.AgentUID(agent.ID), Claims: c.claims,
		Context: policy.Context{
			Time: c.start, Method: c.opening.Method, Dialect: c.opening.Dialect, SourceAddress: c.source,
		},
	}
}

// decide asks the policies.
func (c *call) decide(q policy.Query) policy.Answer {
	return c.p.decisions.Decide(c.snap.Policies(), c.snap.Entities(), q)
}

// sees tells whether the caller may see an agent, which is whether there is anything that
// it may do there.
func (c *call) sees(agent *snapshot.Agent) bool {
	_, ok := policy.Visible(c.decide, c.question(policy.Discover, agent))
	return ok
}

// sight is the question and answer that sees comes down to.
func (c *call) sight(agent *snapshot.Agent) (policy.Query, policy.Answer) {
	q := c.question(policy.Discover, agent)
	answer, ok := policy.Visible(c.decide, q)
	if discover := c.decide(q); discover.Permit == ok {
		return q, discover
	}
	q.Action = policy.Invoke // there is nothing to do there
	return q, answer
}

// recordDecision puts a decision, with all that it could see, into the record.
func (c *call) recordDecision(q policy.Query, answer policy.Answer) {
	recorded.FromQuery(&c.decision, q, answer, c.snap.Revision())
	c.opening.Decision = &c.decision
}

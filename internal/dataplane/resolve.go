package dataplane

// available refuses calls that this replica cannot serve as it should.
func (c *call) available() *fault {
	if c.p.draining.Load() {
		return shuttingDown()
	}
	if limit := c.p.limits.SnapshotAge; limit > 0 && c.p.cfg.Snapshots.Age() > limit {
		return unavailable("CONFIGURATION_STALE",
			"this replica could not confirm its configuration for too long; its database does not answer")
	}
	return nil
}

// resolve finds the agent of a name. An agent that does not exist, that the caller
// may not call, and that is not callable look the same.
func (c *call) resolve(name string) *fault {
	agent, ok := c.snap.Agent(name)
	if !ok {
		return agentNotFound()
	}
	if !c.sees(agent) || !agent.State.Callable() {
		c.recordDecision(c.sight(agent))
		return agentNotFound()
	}
	c.agent = agent
	c.opening.Agent, c.opening.AgentUID = agent.ID, agent.UID
	return nil
}

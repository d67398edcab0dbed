package dataplane

import (
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/task"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// maxTasksNamed is how many tasks one call may name.
const maxTasksNamed = 1000

// checkOwnership lets a call touch only tasks and contexts that are the caller's. A
// context that nobody has becomes the caller's before the agent sees it.
func (c *call) checkOwnership() *fault {
	q := task.Question{Agent: c.agent.UID, Owner: c.principal.UID}
	switch {
	case c.op.Send():
		if c.params.TaskID != "" {
			q.Tasks = append(q.Tasks, c.params.TaskID)
		}
		q.Tasks = append(q.Tasks, c.params.ReferenceTaskIDs...)
		q.Context, q.Claim = c.params.ContextID, true
	case c.op == a2a.ListTasks, c.op == a2a.GetExtendedCard:
		return nil // what is listed is filtered, and a card has no owner
	default:
		if c.params.TaskID == "" {
			return taskNotFound()
		}
		q.Tasks = []string{c.params.TaskID}
	}
	if len(q.Tasks) == 0 && q.Context == "" {
		return nil
	}
	if len(q.Tasks) > maxTasksNamed {
		return invalidParams(fmt.Sprintf("the call refers to %d tasks; at most %d are looked up", len(q.Tasks), maxTasksNamed))
	}
	answer, err := c.p.cfg.Tasks.Ask(c.x.Context(), q)
	switch {
	case !answer.TasksOwned:
		// A task that cannot be looked up is not found either.
		return taskNotFound()
	case err != nil:
		return unavailable("DATABASE_UNAVAILABLE",
			"whose context this is cannot be looked up: the gateway's database does not answer; call again")
	case !answer.ContextOwned:
		return contextNotUsable()
	}
	// What is referred to need not be where the work goes on.
	if c.params.TaskID != "" {
		c.pinned = answer.TaskEndpoint
	}
	if c.pinned == "" {
		c.pinned = answer.ContextEndpoint
	}
	return nil
}

// learn binds the ids of an answer to the caller, before the answer is passed on. It
// tells whether they are the caller's.
func (c *call) learn(o a2a.Outcome) (mine bool) {
	mine = true
	if o.TaskID != "" {
		c.closing.TaskID = o.TaskID
		bound := c.p.cfg.Tasks.Bind(
			task.ID{Kind: task.Task, Agent: c.agent.UID, ID: o.TaskID},
			task.Binding{Owner: c.principal.UID, Endpoint: c.endpoint(), Context: o.ContextID, Terminal: o.State.Terminal()},
		)
		if bound {
			c.noteInlinePush(o.TaskID)
		}
		c.closing.IDConflict = c.closing.IDConflict || !bound
		mine = bound
	}
	if o.ContextID != "" {
		c.closing.ContextID = o.ContextID
		bound := c.p.cfg.Tasks.Bind(
			task.ID{Kind: task.Context, Agent: c.agent.UID, ID: o.ContextID},
			task.Binding{Owner: c.principal.UID, Endpoint: c.endpoint()},
		)
		c.closing.IDConflict = c.closing.IDConflict || !bound
		mine = mine && bound
	}
	if o.State != a2a.StateUnspecified {
		c.closing.TaskState = o.State.String()
	}
	return mine
}

// endpoint is the instance that the call went to.
func (c *call) endpoint() string {
	if c.closing.Endpoint != "" {
		return c.closing.Endpoint
	}
	return c.opening.Endpoint
}

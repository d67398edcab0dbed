package dataplane

import (
	"cmp"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// PushNotes is told which push configs agents have, so that they can be deleted when
// their owner's rights end. Its methods never wait and are safe for concurrent use.
type PushNotes interface {
	// Noted tells that an agent was given a config.
	Noted(c push.Config)
	// Removed tells that an agent has a config no more.
	Removed(c push.Config)
}

// notePush notes what an agent's reply to a call about push configs means, before the
// reply is passed on.
func (c *call) notePush(result []byte) {
	switch c.op {
	case a2a.CreatePushConfig:
		// An id that cannot be read is one that is not known.
		id, err := c.pushConfigID(result)
		if err != nil {
			id = ""
		}
		c.notePushConfig(c.params.TaskID, cmp.Or(id, c.params.PushConfigID))
	case a2a.DeletePushConfig:
		if c.p.cfg.PushNotes != nil && push.KeepID(c.params.PushConfigID) != "" {
			c.p.cfg.PushNotes.Removed(c.pushConfig(c.params.TaskID, c.params.PushConfigID))
		}
	default:
	}
}

// pushConfigID reads the id of the config that an agent answered with.
func (c *call) pushConfigID(result []byte) (string, error) {
	if c.up.Dialect.Binding == a2a.GRPC {
		return pb.ParsePushConfigID(c.up.Dialect.Version, result)
	}
	return a2a.ParsePushConfigID(c.up.Dialect.Version, result)
}

// noteInlinePush notes the config that a message carried, once its task is known.
func (c *call) noteInlinePush(taskID string) {
	if c.op.Send() && c.params.Push != nil && taskID != "" {
		c.notePushConfig(taskID, c.params.Push.ID)
	}
}

// noteDoubtfulPush notes a config that the agent may have although it did not say so:
// the reply was lost, or the message that carried it failed. A note too many costs
// one call that finds nothing to delete.
func (c *call) noteDoubtfulPush() {
	if !c.opened || c.params.Push == nil || c.pushNoted || (c.op == a2a.CreatePushConfig && c.closing.Outcome == audit.Failed) {
		return
	}
	if c.op == a2a.CreatePushConfig {
		c.notePushConfig(c.params.TaskID, c.params.PushConfigID)
		return
	}
	c.noteInlinePush(c.params.TaskID)
}

// notePushConfig notes a config, once in a call.
func (c *call) notePushConfig(taskID, configID string) {
	if c.p.cfg.PushNotes == nil || c.pushNoted {
		return
	}
	c.pushNoted = true
	c.p.cfg.PushNotes.Noted(c.pushConfig(taskID, configID))
}

func (c *call) pushConfig(taskID, configID string) push.Config {
	return push.Config{
		ID:    push.ID{Agent: c.agent.UID, Task: taskID, Config: push.KeepID(configID)},
		Owner: c.principal.UID, Version: c.up.Dialect.Version, Endpoint: c.endpoint(), Time: c.p.cfg.Clock.Now(),
	}
}

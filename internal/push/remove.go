package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// userAgent names the gateway in the record as it names itself to agents.
const userAgent = "signalbox"

// errNotSpoken says that the agent's card has no way any more to call it.
var errNotSpoken = errors.New("the agent's card names no interface that the gateway speaks")

// remove deletes a config at its agent and records that. When nobody was told the
// config's id, all configs of its task are deleted: they have one owner, its own.
func (r *Revoker) remove(ctx context.Context, c Claim) error {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	s := r.cfg.Snapshots.Current()
	agent, ok := s.AgentByUID(c.Agent)
	if !ok {
		return nil // it went a moment ago; nothing can be asked of it
	}
	e := r.begin(s, agent, c)
	at, err := target(agent, c.Config)
	if err == nil {
		e.opening.UpstreamDialect = at.Dialect.String()
		err = r.removeAt(ctx, at, c)
	}
	r.end(ctx, e, err)
	return err
}

func (r *Revoker) removeAt(ctx context.Context, at Target, c Claim) error {
	if c.ID.Config != "" {
		return r.removeOne(ctx, at, c.Task, c.ID.Config)
	}
	ids, err := r.cfg.Agents.ListPushConfigs(ctx, at, c.Task)
	switch {
	case errors.Is(err, ErrNoConfig):
		return nil
	case err != nil:
		return fmt.Errorf("list the push configs: %w", err)
	}
	for _, id := range ids {
		if err := r.removeOne(ctx, at, c.Task, id); err != nil {
			return err
		}
	}
	return nil
}

// removeOne deletes one config. Agents have many words for a config that is not there,
// so an agent that answers with an error is asked whether it still has it.
func (r *Revoker) removeOne(ctx context.Context, at Target, task, config string) error {
	err := r.cfg.Agents.DeletePushConfig(ctx, at, task, config)
	if err == nil || errors.Is(err, ErrNoConfig) {
		return nil
	}
	if _, answered := errors.AsType[*RPCError](err); answered {
		ids, listErr := r.cfg.Agents.ListPushConfigs(ctx, at, task)
		if errors.Is(listErr, ErrNoConfig) || (listErr == nil && !slices.Contains(ids, config)) {
			return nil
		}
	}
	return fmt.Errorf("delete the push config: %w", err)
}

// target finds the instance that has a config. When it is registered no more, another
// one is asked: instances of an agent may share what they know.
func target(agent *snapshot.Agent, c Config) (Target, error) {
	up, ok := spoken(&agent.Route, c.Version)
	if !ok {
		return Target{}, errNotSpoken
	}
	i := max(0, slices.IndexFunc(agent.Endpoints, func(e registry.Endpoint) bool { return e.URL == c.Endpoint }))
	if i >= len(up.URLs) {
		return Target{}, errNotSpoken
	}
	return Target{Agent: agent.Agent, Dialect: up.Dialect, URL: up.URLs[i], Tenant: up.Tenant}, nil
}

// spoken finds the interface at which an agent is asked for a config that it was given
// in a version. The same version comes before what the agent's owner prefers: an agent
// may keep what it knows for each version apart, and the bindings of one share it.
func spoken(r *registry.Route, v a2a.Version) (*registry.Upstream, bool) {
	up, ok := r.For(a2a.Dialect{Binding: a2a.JSONRPC, Version: v})
	if !ok || up.Dialect.Version == v {
		return up, ok
	}
	for i := range r.Interfaces {
		if r.Interfaces[i].Dialect.Version == v {
			return &r.Interfaces[i], true
		}
	}
	return up, true
}

// entry is what the record gets of an attempt.
type entry struct {
	opening audit.Opening
	closing audit.Closing
}

// begin notes whose config is about to be deleted where.
func (r *Revoker) begin(s *snapshot.Snapshot, agent *snapshot.Agent, c Claim) *entry {
	e := &entry{opening: audit.Opening{
		Invocation: uuid.Must(uuid.NewV7()), Time: r.cfg.Clock.Now(),
		CallerUID: c.Owner, UserAgent: userAgent,
		Agent: agent.ID, AgentUID: c.Agent, Endpoint: c.Endpoint,
		Method: a2a.DeletePushConfig.String(), Dialect: "JSONRPC/" + c.Version.String(), TaskID: c.Task,
	}}
	e.opening.Caller, e.opening.Team = s.Owner(c.Owner)
	e.closing.Invocation = e.opening.Invocation
	return e
}

// end records the attempt, whatever came of it.
func (r *Revoker) end(ctx context.Context, e *entry, err error) {
	e.closing.Duration = r.cfg.Clock.Now().Sub(e.opening.Time)
	e.closing.Outcome = audit.Succeeded
	if err != nil {
		e.closing.Outcome = audit.Unavailable
		e.closing.Error = &audit.CallError{Reason: "PUSH_CONFIG_NOT_DELETED", Message: err.Error()}
		if rpc, ok := errors.AsType[*RPCError](err); ok {
			e.closing.Error.Code = int(rpc.Code)
		}
	}
	if err := r.cfg.Recorder.Refuse(&e.opening, &e.closing); err != nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the deletion of a push config was not recorded",
			slog.String("invocation", e.opening.Invocation.String()), slog.Any("error", err))
	}
}

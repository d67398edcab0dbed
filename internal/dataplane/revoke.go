package dataplane

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// errRevoked ends the work of a call whose caller may not go on with it.
var errRevoked = errors.New("the caller's right to the call has ended")

// cancelTimeout bounds the call that cancels the task of a stream that was ended.
const cancelTimeout = 10 * time.Second

// openCalls are the calls whose work upstream goes on, to be decided again when the
// configuration changes and to be ended when the gateway stops. The zero value is ready.
type openCalls struct {
	mu      sync.Mutex
	calls   map[*call]context.CancelCauseFunc
	stopped bool // those that come now end at once
}

// add notes a call until remove is called.
func (o *openCalls) add(c *call, cancel context.CancelCauseFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		cancel(errShuttingDown)
	}
	if o.calls == nil {
		o.calls = map[*call]context.CancelCauseFunc{}
	}
	o.calls[c] = cancel
}

func (o *openCalls) remove(c *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.calls, c)
}

// stop ends the calls that are open and those that are yet to come.
func (o *openCalls) stop() {
	o.mu.Lock()
	o.stopped = true
	o.mu.Unlock()
	o.each(func(_ *call, cancel context.CancelCauseFunc) { cancel(errShuttingDown) })
}

// each calls f for the calls that are open now, without the lock.
func (o *openCalls) each(f func(c *call, cancel context.CancelCauseFunc)) {
	type open struct {
		c      *call
		cancel context.CancelCauseFunc
	}
	o.mu.Lock()
	now := make([]open, 0, len(o.calls))
	for c, cancel := range o.calls {
		now = append(now, open{c, cancel})
	}
	o.mu.Unlock()
	for _, one := range now {
		f(one.c, one.cancel)
	}
}

// expiryCheck is how often open calls are held against the clock: a key may expire
// without any change of the configuration.
const expiryCheck = time.Second

// Run decides open calls again whenever the configuration changes, and ends those whose
// callers have lost the right to them, until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	ticker := time.NewTicker(expiryCheck)
	defer ticker.Stop()
	for {
		changed := p.cfg.Snapshots.Changed()
		p.revoke(p.cfg.Snapshots.Current())
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ticker.C:
		}
	}
}

// revoke ends the open calls that a configuration does not permit.
func (p *Proxy) revoke(s *snapshot.Snapshot) {
	now := p.cfg.Clock.Now()
	p.open.each(func(c *call, cancel context.CancelCauseFunc) {
		if !c.permittedBy(s, now) {
			cancel(errRevoked)
		}
	})
}

// permittedBy tells whether the caller may still make the call.
func (c *call) permittedBy(s *snapshot.Snapshot, now time.Time) bool {
	principal, err := c.p.cfg.Callers.Confirm(s, c.credential(), &c.principal, now)
	if err != nil {
		return false
	}
	agent, ok := s.AgentByUID(c.agent.UID)
	if !ok || !agent.State.Callable() {
		return false
	}
	// The call goes on meanwhile, so nothing of it is written here.
	claims := s.Claims(&principal)
	decide := func(q policy.Query) policy.Answer {
		q.Context.Time, q.Claims = now, claims
		return c.p.decisions.Decide(s.Policies(), s.Entities(), q)
	}
	if !decide(c.question(policy.Action(c.op.String()), agent)).Permit {
		return false
	}
	_, visible := policy.Visible(decide, c.question(policy.Discover, agent))
	return visible
}

// revoked is what the caller of an ended call gets.
func revoked() *fault {
	return &fault{
		mirror: 403, code: codeDenied, reason: "REVOKED", outcome: audit.Revoked,
		message: "your right to this call has ended: the key, its team or the agent was disabled; ask your administrator",
	}
}

// cancelRevokedTask cancels the task of a call that was ended because its agent may not
// be called any more: what the agent does for nobody it must not go on doing. The task
// of a caller who alone has lost the right goes on.
func (c *call) cancelRevokedTask() {
	id := firstOf(c.closing.TaskID, c.params.TaskID)
	agent, ok := c.p.cfg.Snapshots.Current().AgentByUID(c.agent.UID)
	if id == "" || (ok && agent.State.Callable()) {
		return
	}
	out, f := c.outgoingOf(a2a.CancelTask, append(jsonrpc.AppendString([]byte(`{"id":`), id), '}'))
	if f != nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.onBehalf(context.WithoutCancel(c.x.Context())), cancelTimeout)
	defer cancel()
	c.pinned = c.endpoint()
	buf := getBuffer()
	defer c.putBuffer(buf)
	if _, f := c.roundTrip(ctx, out, buf); f != nil {
		c.trouble("the task of a suspended agent could not be cancelled", f)
	}
}

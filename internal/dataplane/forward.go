package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/credential/httpauth"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
)

// Why a call's work upstream was ended by the gateway.
var (
	errCallerLeft   = errors.New("the caller left")
	errCallerLimit  = errors.New("the time limit of the caller is over")
	errUnaryTimeout = errors.New("the agent did not answer in time")
	errStreamIdle   = errors.New("the agent's stream was silent for too long")
)

// forward sends an admitted call to its agent and passes the answer on.
func (c *call) forward() {
	if f := c.needsToken(); f != nil {
		c.refuse(f)
		return
	}
	// What the agent works on outlives the caller, so the work's context does not end
	// with the caller's.
	ctx, cancel := context.WithCancelCause(c.onBehalf(context.WithoutCancel(c.x.Context())))
	c.p.open.add(c, cancel)
	c.p.cfg.Metrics.upstream(1)
	defer c.forwarded(ctx, cancel)

	if limit, ok := grpc.Timeout(c.x.Header()); ok && c.down.Binding == a2a.GRPC && !c.op.Send() {
		// The work of a send goes on; its caller gives up by itself.
		overdue := time.AfterFunc(limit, func() { cancel(errCallerLimit) })
		defer overdue.Stop()
	}
	if c.op.Streaming() {
		c.forwardStream(ctx, cancel)
		return
	}
	c.forwardOnce(ctx, cancel)
}

// forwarded ends the work upstream.
func (c *call) forwarded(ctx context.Context, cancel context.CancelCauseFunc) {
	defer cancel(nil)
	defer func() {
		if errors.Is(context.Cause(ctx), errRevoked) {
			c.cancelRevokedTask()
		}
	}()
	defer c.p.open.remove(c)
	defer c.p.cfg.Metrics.upstream(-1)
	c.noteDoubtfulPush()
}

// forwardOnce passes on a call that is answered with one reply.
func (c *call) forwardOnce(ctx context.Context, cancel context.CancelCauseFunc) {
	if !c.op.Send() {
		// Nothing is lost when a read is given up.
		defer context.AfterFunc(c.x.Context(), func() { cancel(errCallerLeft) })()
	}
	timer := time.AfterFunc(c.p.limits.UnaryTimeout, func() { cancel(errUnaryTimeout) })
	defer timer.Stop()
	if c.op == a2a.ListTasks {
		c.forwardList(ctx)
		return
	}
	c.forwardUnary(ctx)
}

// onBehalf returns a context for requests to the agent that are made for the caller. Most
// agents' credentials do not depend on who that is.
func (c *call) onBehalf(ctx context.Context) context.Context {
	if shown := c.agent.Credential; shown == nil || !shown.Kind.ForCaller() {
		return ctx
	}
	return upstream.WithCaller(ctx, upstream.Caller{Principal: c.principal})
}

// needsToken refuses callers without a token of their own where the agent is called with
// what that is exchanged for.
func (c *call) needsToken() *fault {
	if shown := c.agent.Credential; shown == nil || shown.Kind != credential.TokenExchange {
		return nil
	}
	if claims := c.principal.Claims; claims != nil && claims.Token != "" {
		return nil
	}
	return &fault{
		mirror: 403, code: codeDenied, reason: "CALLER_TOKEN_REQUIRED", outcome: audit.Refused, message: httpauth.NeedsCallerToken,
	}
}

// forwardUnary passes one reply on. It is read to its end first: its ids must be
// bound, and its end recorded, before the caller sees a byte of it.
func (c *call) forwardUnary(ctx context.Context) {
	out, f := c.outgoing()
	if f != nil {
		c.refuse(f)
		return
	}
	buf := getBuffer()
	defer c.putBuffer(buf)
	a, f := c.roundTrip(ctx, out, buf)
	if f != nil {
		c.refuse(f)
		return
	}
	if a.err != nil {
		c.replyAnswer(&a)
		return
	}
	switch {
	case c.op == a2a.GetExtendedCard:
		card, f := c.extendedCard(a.payload)
		if f != nil {
			c.refuse(f)
			return
		}
		c.passHeaders(a.header)
		c.replyResult(card)
		return
	case c.op.Push():
		// A config names a task that is the caller's already.
		c.notePush(a.payload)
	default:
		o, err := c.outcomeOf(c.op, a.payload)
		if err != nil {
			c.refuse(invalidAgentReply(fmt.Sprintf("the agent's reply is no result of %s: %v", c.op, err)))
			return
		}
		c.learn(o)
	}
	c.replyAnswer(&a)
}

// unreachable tells what went wrong when no response came, and whether another
// instance may be tried.
func (c *call) unreachable(err error) (f *fault, again bool) {
	c.trouble("the agent could not be reached", err)
	if _, ok := errors.AsType[*upstream.DialError](err); !ok {
		return upstreamUnreachable("the agent closed the connection before it answered"), false
	}
	f = upstreamUnreachable("the agent cannot be reached")
	if forbidden, ok := errors.AsType[*upstream.ForbiddenError](err); ok {
		f = upstreamUnreachable("the agent's address is "+forbidden.Why+", which the gateway may not dial").with("why", forbidden.Why)
		if forbidden.Setting != "" {
			f.message += "; an administrator can allow its network in " + forbidden.Setting
			f = f.with("setting", forbidden.Setting)
		}
		f.retryAfter = 0
	}
	return f, true
}

// ended tells why the gateway itself ended the work upstream, if it did.
func (c *call) ended(ctx context.Context) *fault {
	if ctx.Err() == nil {
		return nil
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCallerLeft):
		c.closing.CallerLeft = true
		f := unavailable("CALLER_LEFT", "the caller left")
		f.outcome = audit.CallerLeft
		return f
	case errors.Is(cause, errRevoked):
		return revoked()
	case errors.Is(cause, errShuttingDown):
		f := shuttingDown()
		f.outcome = audit.Interrupted
		return f
	case errors.Is(cause, errCallerLimit):
		return upstreamTimeout("the agent did not answer within the time limit of the call")
	case errors.Is(cause, errStreamIdle):
		return upstreamTimeout(fmt.Sprintf("the agent's stream was silent for %s", c.p.limits.StreamIdle))
	default:
		return upstreamTimeout(fmt.Sprintf("the agent did not answer within %s", c.p.limits.UnaryTimeout))
	}
}

// trouble logs what went wrong with an agent, with the address that callers never see.
func (c *call) trouble(what string, err error) {
	c.p.cfg.Logger.LogAttrs(c.x.Context(), slog.LevelWarn, "agent in trouble", slog.String("what", what),
		slog.String("agent", c.agent.ID), slog.String("endpoint", c.endpoint()),
		slog.String("invocation", c.opening.Invocation.String()), slog.Any("error", err))
}

package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// forwardStream passes a stream on, event by event. A caller that leaves does not
// stop the agent: the stream of a send is read on for a while, so that its end is in
// the record.
func (c *call) forwardStream(ctx context.Context, cancel context.CancelCauseFunc) {
	w := newStreamWriter(c)
	r := newRelay(ctx, c, w)
	c.p.cfg.Metrics.stream(1)
	life := newLife(c.p.cfg.Clock, c.p.limits.StreamIdle, func() { cancel(errStreamIdle) })
	forget := context.AfterFunc(c.x.Context(), func() {
		if !c.op.Send() {
			cancel(errCallerLeft)
			return
		}
		orphaned := time.AfterFunc(c.p.limits.OrphanTimeout, func() { cancel(errCallerLeft) })
		context.AfterFunc(ctx, func() { orphaned.Stop() })
	})
	// One defer, not one for each: they would stand on the stack as long as the stream.
	defer func() {
		r.close()
		forget()
		life.stop()
		c.p.cfg.Metrics.stream(-1)
		w.close()
	}()

	out, f := c.outgoing()
	if f != nil {
		r.fail(f)
		return
	}
	if f := r.beginWithTask(); f != nil {
		r.fail(f)
		return
	}
	resp, f := c.send(ctx, out)
	if f != nil {
		r.fail(f)
		return
	}
	defer resp.done()
	r.forgetRequest(out)
	if !c.streams(resp.Response) {
		c.streamOfOne(r, out, resp.Response)
		return
	}
	// The headers wait for the first event, which may be an error still: callers are told
	// of errors without a stream.
	r.stands()
	c.pump(r, c.newEvents(out, resp.Response), life)
}

// forgetRequest lets go of the caller's request, which the agent has by now: a message may
// carry files, and its stream may be silent for hours. Of the body the id is still needed.
func (r *relay) forgetRequest(out *upstream.Request) {
	r.mu.Lock() // the timer writes events, with the id
	defer r.mu.Unlock()
	c := r.c
	c.req = jsonrpc.Request{ID: bytes.Clone(c.req.ID)}
	c.body, c.payload = emptyBody, nil
	out.ID = bytes.Clone(out.ID)
	out.Answered()
}

// emptyBody is a body that was read.
var emptyBody = []byte{}

// streamOfOne handles an agent that answered a streaming call with one reply. An error
// stays what it is as long as no stream has begun; a result becomes the stream's only
// event.
func (c *call) streamOfOne(r *relay, out *upstream.Request, resp *http.Response) {
	buf := getBuffer()
	defer c.putBuffer(buf)
	a, f := c.readAnswer(r.ctx, out, resp, buf)
	if f != nil {
		r.fail(f)
		return
	}
	if a.err != nil {
		r.agentError(&a)
		return
	}
	a.raw = c.reframe(a.raw)
	if f := r.pass(&a, true); f != nil {
		r.fail(f)
		return
	}
	c.streamEnded(r, &answer{})
}

// pump reads events and passes them on until the agent's stream ends.
func (c *call) pump(r *relay, from events, agent *life) {
	for {
		item, err := from.next()
		if err != nil {
			c.pumped(r, item, err)
			return
		}
		agent.sign()
		switch {
		case item.comment:
			continue // a sign of life; the caller gets those of the gateway
		case item.err != nil:
			r.agentError(&item.answer)
			return
		}
		if f := r.pass(&item.answer, !item.more); f != nil {
			if item.partial {
				f = upstreamInterrupted()
			}
			r.fail(f)
			return
		}
	}
}

// pumped ends a stream after its last item.
func (c *call) pumped(r *relay, last *streamItem, err error) {
	switch {
	case errors.Is(err, io.EOF) && last.err != nil:
		r.agentError(&last.answer)
	case errors.Is(err, io.EOF):
		c.streamEnded(r, &last.answer)
	case errors.Is(err, sse.ErrEventTooLarge):
		r.fail(invalidAgentReply(fmt.Sprintf("the agent sent an event of more than %d bytes", c.p.limits.EventBytes)))
	default:
		f := c.ended(r.ctx)
		if f == nil {
			f = last.fault
		}
		if f == nil {
			c.trouble("the agent's stream broke off", err)
			f = upstreamInterrupted()
		}
		r.fail(f)
	}
}

// streamEvent notes an event that is about to be passed on, and records the end of the
// call when the event carries it; sent are the bytes that the caller has then got.
func (c *call) streamEvent(o a2a.Outcome, sent int64) {
	if c.recorded {
		return
	}
	c.closing.StreamEvents++
	if o.Kind == a2a.Message || o.State.Terminal() {
		c.closing.ResponseBytes = sent
		c.end(audit.Succeeded, http.StatusOK)
	}
}

// streamEnded handles the regular end of the agent's stream.
func (c *call) streamEnded(r *relay, last *answer) {
	r.begin()
	if r.empty() {
		r.fail(invalidAgentReply("the agent's stream ended without an event"))
		return
	}
	// What is held tells callers of 0.3 that it is the end, so the record comes first.
	held := r.drain()
	if !c.recorded {
		c.closing.CallerLeft, c.closing.ResponseBytes = r.w.left(), r.w.sent()+int64(len(held))
	}
	c.end(audit.Succeeded, http.StatusOK)
	r.w.write(held, true)
	r.w.finish(last)
}

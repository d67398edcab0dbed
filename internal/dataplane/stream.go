package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// forwardStream passes a stream on, event by event. A caller that leaves does not
// stop the agent: the stream of a send is read on for a while, so that its end is in
// the record.
func (c *call) forwardStream(ctx context.Context, cancel context.CancelCauseFunc) {
	w := newStreamWriter(c)
	defer w.close()
	c.p.cfg.Metrics.stream(1)
	defer c.p.cfg.Metrics.stream(-1)
	life := newLife(c.p.cfg.Clock, c.p.limits.StreamIdle, func() { cancel(errStreamIdle) })
	defer life.stop()
	defer context.AfterFunc(c.x.Context(), func() {
		if !c.op.Send() {
			cancel(errCallerLeft)
			return
		}
		orphaned := time.AfterFunc(c.p.limits.OrphanTimeout, func() { cancel(errCallerLeft) })
		context.AfterFunc(ctx, func() { orphaned.Stop() })
	})()

	resp, done, f := c.send(ctx, c.upstreamBody(), "text/event-stream") //nolint:bodyclose // done closes it
	if f != nil {
		w.fault(f)
		return
	}
	defer done()
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "text/event-stream" {
		c.streamOfOne(ctx, w, resp)
		return
	}
	w.begin(resp.Header)
	c.pump(ctx, w, resp.Body, life)
}

// streamOfOne handles an agent that answered a streaming call with one JSON reply. An
// error stays what it is as long as no stream has begun; a result becomes the
// stream's only event.
func (c *call) streamOfOne(ctx context.Context, w *streamWriter, resp *http.Response) {
	buf := getBuffer()
	defer c.putBuffer(buf)
	body, f := c.readBounded(ctx, resp, buf)
	if f != nil {
		w.fault(f)
		return
	}
	if !looksLikeJSON(body) {
		w.fault(notJSONRPC(resp))
		return
	}
	reply, f := c.readReply(body)
	if f != nil {
		w.fault(f)
		return
	}
	if reply.Error != nil && w.unary(body, c.agentError(reply.Error), resp.Header) {
		return
	}
	w.begin(resp.Header)
	raw := sse.AppendEvent(nil, body)
	if f := c.streamEvent(raw, body); f != nil {
		w.fault(f)
		return
	}
	w.write(raw, true)
	c.streamEnded(w)
}

// pump reads events and passes them on until the agent's stream ends.
func (c *call) pump(ctx context.Context, w *streamWriter, from io.Reader, agent *life) {
	reader := sse.NewReader(from, c.p.limits.EventBytes)
	for {
		item, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			c.streamEnded(w)
			return
		case errors.Is(err, sse.ErrEventTooLarge):
			w.fault(invalidAgentReply(fmt.Sprintf("the agent sent an event of more than %d bytes", c.p.limits.EventBytes)))
			return
		case err != nil:
			f := c.ended(ctx)
			if f == nil {
				c.trouble("the agent's stream broke off", err)
				f = upstreamInterrupted()
			}
			w.fault(f)
			return
		}
		agent.sign()
		if item.Comment {
			continue // a sign of life; the caller gets those of the gateway
		}
		if f := c.streamEvent(item.Raw, item.Data); f != nil {
			if item.Partial {
				f = upstreamInterrupted()
			}
			w.fault(f)
			return
		}
		// Events that have arrived together travel on together.
		w.write(item.Raw, !reader.Buffered())
	}
}

// streamEvent reads an event that is about to be passed on: it binds its ids, and
// records the end of the call when the event carries it.
func (c *call) streamEvent(raw, data []byte) *fault {
	resp, f := c.readReply(data)
	if f != nil {
		return f
	}
	var o a2a.Outcome
	if resp.Error == nil {
		var err error
		if o, err = a2a.ParseResult(c.op, c.version, resp.Result); err != nil {
			return invalidAgentReply(fmt.Sprintf("an event of the agent is no result of %s: %v", c.req.Method, err))
		}
		c.learn(o)
	}
	if c.recorded {
		return nil
	}
	c.closing.StreamEvents++
	c.closing.ResponseBytes += int64(len(raw))
	switch {
	case resp.Error != nil:
		c.end(c.agentError(resp.Error), http.StatusOK)
	case o.Kind == a2a.Message || o.State.Terminal():
		c.end(audit.Succeeded, http.StatusOK)
	}
	return nil
}

// streamEnded handles the regular end of the agent's stream.
func (c *call) streamEnded(w *streamWriter) {
	if c.closing.StreamEvents == 0 {
		w.fault(invalidAgentReply("the agent's stream ended without an event"))
		return
	}
	c.closing.CallerLeft = w.left()
	c.end(audit.Succeeded, http.StatusOK)
}

// streamWriter writes a stream to the caller. Timers write beside the call's own
// goroutine, so it guards itself.
type streamWriter struct {
	c *call

	mu       sync.Mutex
	started  bool
	closed   bool
	gone     bool // a write failed: the caller has left
	lastSent time.Time
	deadline time.Time   // of writes
	header   *time.Timer // starts the reply when the agent is slow
	alive    *time.Timer // sends comments in silence
}

func newStreamWriter(c *call) *streamWriter {
	w := &streamWriter{c: c, lastSent: c.start}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.header = time.AfterFunc(c.p.limits.HeaderDelay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.started && !w.closed {
			w.start(nil)
			w.put(sse.AppendComment(nil, "waiting for the agent"), true)
		}
	})
	w.alive = time.AfterFunc(c.p.limits.KeepAlive, w.keepAlive)
	return w
}

// keepAlive sends a comment when nothing was sent for long enough, so that nobody on
// the way takes a quiet stream for a dead one.
func (w *streamWriter) keepAlive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.gone {
		return
	}
	interval := w.c.p.limits.KeepAlive
	quiet := w.c.p.cfg.Clock.Now().Sub(w.lastSent)
	if quiet < interval {
		w.alive.Reset(interval - quiet)
		return
	}
	if w.started {
		w.put(sse.AppendComment(nil, "keep-alive"), true)
	}
	w.alive.Reset(interval)
}

// begin sends the reply's head, unless that has happened.
func (w *streamWriter) begin(from http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start(from)
}

func (w *streamWriter) start(from http.Header) {
	if w.started {
		return
	}
	w.started = true
	w.c.headSent = true
	w.header.Stop()
	x := w.c.x
	if from != nil {
		w.c.passHeaders(from)
	}
	h := x.ReplyHeader()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // tells proxies before us not to hold events back
	w.c.setRevision()
	w.extend(w.c.p.cfg.Clock.Now())
	x.WriteStatus(http.StatusOK)
	if err := x.Flush(); err != nil {
		w.gone = true
	}
}

// write passes an event on, at once unless the next one follows at once.
func (w *streamWriter) write(raw []byte, flush bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start(nil)
	w.put(raw, flush)
}

func (w *streamWriter) put(b []byte, flush bool) {
	if w.gone {
		return
	}
	now := w.c.p.cfg.Clock.Now()
	w.lastSent = now
	w.extend(now)
	_, err := w.c.x.Write(b)
	if err == nil && flush {
		err = w.c.x.Flush()
	}
	if err != nil {
		w.gone = true
	}
}

// extend moves the deadline of writes on, when it has become due: not with every
// event, because setting one costs as much as reading one.
func (w *streamWriter) extend(now time.Time) {
	timeout := w.c.p.limits.WriteTimeout
	if w.deadline.Sub(now) > timeout*3/4 {
		return
	}
	w.deadline = now.Add(timeout)
	_ = w.c.x.SetWriteDeadline(w.deadline)
}

// left tells whether a write failed because the caller has gone.
func (w *streamWriter) left() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// unary answers with one JSON reply instead of a stream. It returns false when the
// stream has begun.
func (w *streamWriter) unary(body []byte, outcome audit.Outcome, from http.Header) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return false
	}
	w.started = true
	w.header.Stop()
	w.c.passHeaders(from)
	w.c.x.ReplyHeader().Set("Content-Type", "application/json")
	w.c.reply(outcome, http.StatusOK, body)
	return true
}

// fault ends the stream with an error: as a plain reply when nothing was sent yet,
// else as the last event. It is recorded before it is sent.
func (w *streamWriter) fault(f *fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.c
	if !w.started {
		w.started = true
		w.header.Stop()
		c.refuse(f)
		return
	}
	if c.recorded {
		return // the end was passed on and recorded; there is nothing to add
	}
	c.fail(f)
	raw := sse.AppendEvent(nil, appendFault(nil, c.req.ID, f, c.version))
	c.closing.ResponseBytes += int64(len(raw))
	c.closing.CallerLeft = c.closing.CallerLeft || w.gone
	c.end(f.outcome, http.StatusOK)
	w.put(raw, true)
}

// close stops the timers. Nothing is written afterwards.
func (w *streamWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.header.Stop()
	w.alive.Stop()
}

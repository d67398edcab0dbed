package dataplane

import (
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// streamWriter writes a stream to the caller. Timers write beside the call's own
// goroutine, so it guards itself.
type streamWriter struct {
	c *call

	mu       sync.Mutex
	started  bool
	closed   bool
	gone     bool // a write failed: the caller has left
	lastSent time.Time
	bytes    int64       // of events
	deadline time.Time   // of writes
	agent    http.Header // what the agent's headers were, once they are known
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
			w.start()
			w.comment("waiting for the agent")
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
		w.comment("keep-alive")
	}
	w.alive.Reset(interval)
}

// comment sends a comment. gRPC has none, and HTTP/2 its own signs of life; but the
// deadline of writes moves on all the same, which ends the quietest stream otherwise.
func (w *streamWriter) comment(text string) {
	if w.c.down.Binding == a2a.GRPC {
		w.extend(w.c.p.cfg.Clock.Now())
		return
	}
	w.put(sse.AppendComment(nil, text), true)
}

// from tells what the agent's headers were, of which some are the caller's too.
func (w *streamWriter) from(h http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.agent == nil {
		w.agent = h
	}
}

// start sends the reply's head, unless that has happened.
func (w *streamWriter) start() {
	if w.started {
		return
	}
	w.started = true
	w.c.headSent = true
	w.header.Stop()
	x := w.c.x
	w.c.passHeaders(w.agent)
	h := x.ReplyHeader()
	if w.c.down.Binding == a2a.GRPC {
		h["Content-Type"] = headerGRPC
	} else {
		h["Content-Type"] = headerSSE
		h["Cache-Control"] = headerNoCache
		h["X-Accel-Buffering"] = headerNo // tells proxies before us not to hold events back
	}
	w.c.setRevision()
	w.extend(w.c.p.cfg.Clock.Now())
	x.WriteStatus(http.StatusOK)
	if err := x.Flush(); err != nil {
		w.gone = true
	}
}

// write passes an event on, at once unless the next one follows at once.
func (w *streamWriter) write(raw []byte, flush bool) {
	if len(raw) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start()
	w.bytes += int64(len(raw))
	w.put(raw, flush)
}

// sent tells how many bytes of events were passed on.
func (w *streamWriter) sent() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
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

// agentError ends the stream with the agent's error: as a plain reply when nothing was
// sent yet, else as the last event. It is recorded before it is sent.
func (w *streamWriter) agentError(a *answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.c
	if !w.started {
		w.started = true
		w.header.Stop()
		switch {
		case !c.translated() && c.down.Binding == a2a.JSONRPC:
			unframed := *a
			unframed.raw = a.plain
			c.replyAnswer(&unframed)
		case !c.translated() && c.down.Binding == a2a.REST && a.event:
			c.passHeaders(a.header)
			c.replyError(c.agentError(a.err), http.StatusOK, a.err)
		default:
			c.replyAnswer(a)
		}
		return
	}
	raw := a.raw
	switch {
	case c.translated():
		raw = c.appendErrorEvent(nil, translatedError(a.err))
	case c.down.Binding == a2a.GRPC:
		if raw = nil; !c.passTrailers(a) {
			grpc.SetTrailers(c.x.ReplyHeader(), a.err, c.down.Version)
		}
	}
	if !c.recorded {
		outcome := c.agentError(a.err)
		c.closing.StreamEvents++
		c.closing.ResponseBytes = w.bytes + int64(len(raw))
		c.end(outcome, http.StatusOK)
	}
	w.put(raw, true)
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
		// The end was passed on and recorded; there is nothing to add.
		if c.down.Binding == a2a.GRPC {
			grpc.SetTrailers(c.x.ReplyHeader(), nil, c.down.Version)
		}
		return
	}
	c.fail(f)
	raw := c.appendErrorEvent(nil, f.toError())
	c.closing.ResponseBytes = w.bytes + int64(len(raw))
	c.closing.CallerLeft = c.closing.CallerLeft || w.gone
	c.end(f.outcome, http.StatusOK)
	w.put(raw, true)
}

// finish ends a stream that ended as it should. In gRPC its status comes last.
func (w *streamWriter) finish(last *answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.c.down.Binding != a2a.GRPC {
		return
	}
	h := w.c.x.ReplyHeader()
	if v := extensionsIn(last.trailer); len(v) > 0 { // some agents tell at the end which they used
		h[http.TrailerPrefix+extensionsHeader(w.c.down.Version)] = v
	}
	grpc.SetTrailers(h, nil, w.c.down.Version)
}

// close stops the timers. Nothing is written afterwards.
func (w *streamWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.header.Stop()
	w.alive.Stop()
}

package dataplane

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
)

// open records that the call was admitted, before the agent sees a byte of it.
func (c *call) open() *fault {
	if err := c.p.cfg.Recorder.Open(&c.opening); err != nil {
		return unavailable("RECORD_UNAVAILABLE",
			"the call cannot be recorded, so it is refused: the gateway's local record is nearly full")
	}
	c.opened = true
	return nil
}

// end records how the call ended, once, before its end is passed on. What happens
// afterwards, such as bytes that follow a terminal event, is not in the record.
func (c *call) end(outcome audit.Outcome, status int) {
	if c.recorded {
		return
	}
	c.recorded = true
	c.closing.CallerLeft = c.closing.CallerLeft || c.x.Context().Err() != nil
	c.closing.Duration = c.elapsed()
	c.closing.Outcome = outcome
	c.closing.HTTPStatus = status
	var err error
	switch {
	case c.opened:
		err = c.p.cfg.Recorder.Close(&c.closing)
	case c.authenticated:
		err = c.p.cfg.Recorder.Refuse(&c.opening, &c.closing)
	case outcome == audit.Succeeded:
		err = c.p.cfg.Recorder.RecordAnonymous(&c.opening, &c.closing)
	default:
		err = c.p.cfg.Recorder.RefuseUnauthenticated(&c.opening, &c.closing)
	}
	if err != nil {
		c.p.cfg.Logger.LogAttrs(c.x.Context(), slog.LevelError, "the end of a call was not recorded",
			slog.String("invocation", c.opening.Invocation.String()), slog.Any("error", err))
	}
}

// fail notes what went wrong, for the record.
func (c *call) fail(f *fault) {
	if f.agent != nil {
		c.agentError(f.agent)
		return
	}
	c.closing.Error = &audit.CallError{Code: f.code, Reason: f.reason, Message: f.message}
}

// refuse answers with a fault and records it. Nothing of the reply was sent before.
func (c *call) refuse(f *fault) {
	c.fail(f)
	c.leaveBody()
	h := c.x.ReplyHeader()
	if f.challenge != "" {
		h.Set("Www-Authenticate", f.challenge)
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.retryAfter != 0 {
		h.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	c.replyError(f.outcome, f.httpStatus(c.p.cfg.MirrorStatus), f.toError())
}

// reply records the end of a call and sends its whole reply. Headers were set before.
func (c *call) reply(outcome audit.Outcome, status int, body []byte) {
	c.closing.ResponseBytes = int64(len(body))
	c.end(outcome, status)
	h := c.x.ReplyHeader()
	if c.down.Binding == a2a.GRPC {
		if outcome == audit.Succeeded {
			grpc.SetTrailers(h, nil, c.down.Version)
		}
	} else {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.setRevision()
	c.headSent = true
	// The deadline ends with the exchange: the engine lifts it before the next one.
	_ = c.x.SetWriteDeadline(c.p.cfg.Clock.Now().Add(c.p.limits.WriteTimeout))
	c.x.WriteStatus(status)
	if len(body) == 0 || c.x.Method() == http.MethodHead {
		return
	}
	// A caller that has gone is noted already, or went a moment too late to be.
	if _, err := c.x.Write(body); err != nil {
		c.bodyKept = true
	}
}

// bodyWait is how long a refusal waits for a short body that nobody reads, so that
// the connection can be used again.
const (
	bodyWait  = time.Second
	shortBody = 64 << 10
)

// leaveBody decides what becomes of a body that was not read: a short one, which is
// most likely there already, is passed over; another one ends the connection, so
// that nobody can hold a refusal back by sending nothing.
func (c *call) leaveBody() {
	length := c.x.ContentLength()
	if c.body != nil || length == 0 {
		return
	}
	if length < 0 || length > shortBody {
		c.endConnection()
	}
	_ = c.x.SetReadDeadline(c.p.cfg.Clock.Now().Add(bodyWait))
}

// revisionHeader is how a revision is told to callers, made once for all of them.
type revisionHeader struct {
	revision int64
	value    []string
}

func (c *call) setRevision() {
	h := c.p.revision.Load()
	if h == nil || h.revision != c.snap.Revision() {
		h = &revisionHeader{revision: c.snap.Revision(), value: []string{strconv.FormatInt(c.snap.Revision(), 10)}}
		c.p.revision.Store(h)
	}
	c.x.ReplyHeader()["X-Signalbox-Revision"] = h.value
}

// finish is the last thing that happens to a call. It leaves no call without its
// record, not even one that a bug cut short.
func (c *call) finish() {
	if r := recover(); r != nil {
		c.p.cfg.Logger.LogAttrs(c.x.Context(), slog.LevelError, "a call panicked", slog.Any("panic", r), stackAttr())
		f := &fault{
			status: 500, code: -32603, reason: "INTERNAL", outcome: audit.Unavailable,
			message: "a fault of the gateway; its log has the cause under invocation " + c.opening.Invocation.String(),
		}
		if c.headSent {
			// The reply has begun: only cutting the connection is honest.
			c.fail(f)
			c.end(f.outcome, http.StatusOK)
			c.endTrace()
			panic(http.ErrAbortHandler)
		}
		c.refuse(f)
	}
	if !c.recorded {
		c.end(audit.Unavailable, 0)
	}
	c.endTrace()
	c.p.cfg.Metrics.called(c)
}

package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Why a call's work upstream was ended by the gateway.
var (
	errCallerLeft   = errors.New("the caller left")
	errUnaryTimeout = errors.New("the agent did not answer in time")
	errStreamIdle   = errors.New("the agent's stream was silent for too long")
)

// forward sends an admitted call to its agent and passes the answer on.
func (c *call) forward() {
	// What the agent works on outlives the caller, so the work's context does not end
	// with the caller's.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.x.Context()))
	defer cancel(nil)
	defer context.AfterFunc(c.p.stop, func() { cancel(errShuttingDown) })()
	c.p.cfg.Metrics.upstream(1)
	defer c.p.cfg.Metrics.upstream(-1)
	defer c.noteDoubtfulPush()

	if c.op.Streaming() {
		c.forwardStream(ctx, cancel)
		return
	}
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

// forwardUnary passes one reply on. It is read to its end first: its ids must be
// bound, and its end recorded, before the caller sees a byte of it.
func (c *call) forwardUnary(ctx context.Context) {
	buf := getBuffer()
	defer c.putBuffer(buf)
	reply, header, f := c.roundTrip(ctx, c.upstreamBody(), buf)
	if f != nil {
		c.refuse(f)
		return
	}
	resp, f := c.readReply(reply)
	if f != nil {
		c.refuse(f)
		return
	}
	outcome := audit.Succeeded
	switch {
	case resp.Error != nil:
		outcome = c.agentError(resp.Error)
	case c.op == a2a.GetExtendedCard:
		card, err := a2a.RewriteCard(resp.Result, c.cardEdit())
		if err != nil {
			c.refuse(invalidAgentReply("the agent's extended card is not an agent card"))
			return
		}
		reply = jsonrpc.AppendResult(nil, c.req.ID, card)
	case c.op.Push():
		// A config names a task that is the caller's already.
		c.notePush(resp.Result)
	default:
		o, err := a2a.ParseResult(c.op, c.version, resp.Result)
		if err != nil {
			c.refuse(invalidAgentReply(fmt.Sprintf("the agent's reply is no result of %s: %v", c.req.Method, err)))
			return
		}
		c.learn(o)
	}
	c.passHeaders(header)
	c.x.ReplyHeader().Set("Content-Type", "application/json")
	c.reply(outcome, http.StatusOK, reply)
}

// agentError notes an error that the agent answered with.
func (c *call) agentError(e *jsonrpc.ErrorObject) audit.Outcome {
	c.closing.Error = &audit.CallError{Code: int(e.Code), Message: e.Message}
	return audit.Failed
}

// upstreamBody is the caller's body with what the agent needs otherwise.
func (c *call) upstreamBody() []byte {
	body := c.body
	if c.version != a2a.V10 {
		return body
	}
	if c.iface.Tenant != "" || c.params.HasTenant {
		return a2a.SetTenant(body, c.req, c.params, c.iface.Tenant)
	}
	if c.op == a2a.GetExtendedCard {
		return a2a.EnsureParams(body, c.req)
	}
	return body
}

// roundTrip sends a unary call and reads the reply's body into buf.
func (c *call) roundTrip(ctx context.Context, body []byte, buf *bytes.Buffer) ([]byte, http.Header, *fault) {
	resp, done, f := c.send(ctx, body, "application/json") //nolint:bodyclose // done closes it
	if f != nil {
		return nil, nil, f
	}
	defer done()
	reply, f := c.readBounded(ctx, resp, buf)
	if f != nil {
		return nil, nil, f
	}
	if len(reply) == 0 || !looksLikeJSON(reply) {
		return nil, nil, notJSONRPC(resp)
	}
	return reply, resp.Header, nil
}

func (c *call) readBounded(ctx context.Context, resp *http.Response, buf *bytes.Buffer) ([]byte, *fault) {
	limit := c.p.limits.ReplyBytes
	if resp.ContentLength > limit {
		return nil, c.replyTooLarge()
	}
	if resp.ContentLength > 0 {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1)); err != nil {
		if f := c.ended(ctx); f != nil {
			return nil, f
		}
		c.trouble("the agent's reply broke off", err)
		return nil, upstreamUnreachable("the agent closed the connection before the end of its reply")
	}
	if int64(buf.Len()) > limit {
		return nil, c.replyTooLarge()
	}
	return buf.Bytes(), nil
}

func (c *call) replyTooLarge() *fault {
	return invalidAgentReply(fmt.Sprintf("the agent's reply is larger than %d bytes", c.p.limits.ReplyBytes))
}

// readReply reads the envelope of a reply and holds it against the request.
func (c *call) readReply(reply []byte) (jsonrpc.Response, *fault) {
	resp, err := jsonrpc.ParseResponse(reply)
	if err != nil {
		return resp, invalidAgentReply(fmt.Sprintf("the agent's reply is %v", err))
	}
	if jsonrpc.SameID(resp.ID, c.req.ID) {
		return resp, nil
	}
	// An agent that could not read the id answers null, with an error (JSON-RPC 2.0, section 5).
	if resp.Error != nil && jsonrpc.SameID(resp.ID, nil) {
		return resp, nil
	}
	return resp, invalidAgentReply("the agent's reply carries the id of another request")
}

func looksLikeJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

// notJSONRPC tells what came instead of a JSON-RPC reply, and nothing of its text.
func notJSONRPC(resp *http.Response) *fault {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || len(media) > 60 {
		media = "no content type"
	}
	f := invalidAgentReply(fmt.Sprintf("the agent answered HTTP %d with %s instead of a JSON-RPC reply", resp.StatusCode, media))
	return f.with("http_status", fmt.Sprint(resp.StatusCode))
}

// send posts a body to an instance of the agent and returns its response; done must
// be called when the response has been read. Another instance is tried only when no
// connection came about, so that no agent sees a call twice.
func (c *call) send(ctx context.Context, body []byte, accept string) (resp *http.Response, done func(), f *fault) {
	var tried uint64
	var last *fault
	for {
		i := c.p.instances.choose(c.agent, c.pinned, tried)
		if i < 0 {
			return nil, nil, last
		}
		tried |= 1 << i
		url := c.agent.Endpoints[i].URL
		if f := c.sendingTo(url); f != nil {
			return nil, nil, f
		}
		inst := c.p.instances.get(c.agent.UID, url)
		inst.inFlight.Add(1)
		resp, err := c.p.cfg.Upstream.RoundTrip(c.upstreamRequest(ctx, i, body, accept))
		if err == nil {
			inst.succeeded()
			if c.closing.FirstByte == 0 {
				c.closing.FirstByte = c.elapsed()
			}
			return resp, func() {
				_ = resp.Body.Close()
				inst.inFlight.Add(-1)
			}, nil
		}
		inst.inFlight.Add(-1)
		if f := c.ended(ctx); f != nil {
			return nil, nil, f
		}
		c.trouble("the agent could not be reached", err)
		if _, ok := errors.AsType[*upstream.DialError](err); !ok {
			return nil, nil, upstreamUnreachable("the agent closed the connection before it answered")
		}
		inst.failed(c.p.cfg.Clock.Now())
		last = upstreamUnreachable("the agent cannot be reached")
		if forbidden, ok := errors.AsType[*upstream.ForbiddenError](err); ok {
			last = upstreamUnreachable("the agent's address is "+forbidden.Why+", which the gateway may not dial").with("why", forbidden.Why)
			if forbidden.Setting != "" {
				last.message += "; an administrator can allow its network in " + forbidden.Setting
				last = last.with("setting", forbidden.Setting)
			}
			last.retryAfter = 0
		}
	}
}

// sendingTo notes the instance in the record, and opens the record before the first.
func (c *call) sendingTo(url string) *fault {
	if c.opened {
		c.closing.Endpoint = url
		return nil
	}
	c.opening.Endpoint = url
	return c.open()
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
	case errors.Is(cause, errShuttingDown):
		f := shuttingDown()
		f.outcome = audit.Interrupted
		return f
	case errors.Is(cause, errStreamIdle):
		return upstreamTimeout(fmt.Sprintf("the agent's stream was silent for %s", c.p.limits.StreamIdle))
	default:
		return upstreamTimeout(fmt.Sprintf("the agent did not answer within %s", c.p.limits.UnaryTimeout))
	}
}

// upstreamRequest makes the request for an instance. Only what the protocol needs
// and what the agent's owner listed is taken from the caller's headers.
func (c *call) upstreamRequest(ctx context.Context, endpoint int, body []byte, accept string) *http.Request {
	from := c.x.Header()
	h := make(http.Header, 8+len(c.agent.ForwardHeaders))
	h["Content-Type"] = headerJSON
	h["Accept"] = []string{accept}
	h["User-Agent"] = headerUserAgent
	h["A2a-Version"] = versionHeaders[c.version]
	h["Traceparent"] = []string{c.trace.traceparent()}
	if c.trace.state != "" {
		h["Tracestate"] = []string{c.trace.state}
	}
	extensions := from["A2a-Extensions"]
	if legacy := from["X-A2a-Extensions"]; len(legacy) > 0 {
		extensions = append(slices.Clip(extensions), legacy...)
	}
	if len(extensions) > 0 {
		h[extensionsHeader(c.version)] = []string{strings.Join(extensions, ", ")}
	}
	for _, name := range c.agent.ForwardHeaders {
		if v := from[name]; len(v) > 0 {
			h[name] = v
		}
	}
	req := &http.Request{
		Method: http.MethodPost, URL: c.iface.URLs[endpoint],
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Host: c.iface.URLs[endpoint].Host, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)),
		// With this the transport repeats a request that it knows never left, because
		// the idle connection that it was given had been closed.
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	return req.WithContext(ctx)
}

var (
	headerJSON      = []string{"application/json"}
	headerUserAgent = []string{"signalbox"}
	versionHeaders  = map[a2a.Version][]string{a2a.V10: {"1.0"}, a2a.V03: {"0.3"}}
)

// extensionsHeader is the name of the header that asks for extensions in a version.
func extensionsHeader(v a2a.Version) string {
	if v == a2a.V03 {
		return "X-A2a-Extensions"
	}
	return "A2a-Extensions"
}

// passHeaders copies those of the agent's headers that are the protocol's.
func (c *call) passHeaders(from http.Header) {
	name := extensionsHeader(c.version)
	if v := from[name]; len(v) > 0 {
		c.x.ReplyHeader()[name] = v
	}
}

// trouble logs what went wrong with an agent, with the address that callers never see.
func (c *call) trouble(what string, err error) {
	c.p.cfg.Logger.LogAttrs(c.x.Context(), slog.LevelWarn, "agent in trouble", slog.String("what", what),
		slog.String("agent", c.agent.ID), slog.String("endpoint", c.endpoint()),
		slog.String("invocation", c.opening.Invocation.String()), slog.Any("error", err))
}

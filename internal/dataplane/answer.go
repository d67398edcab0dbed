package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// answer is what an agent said to a unary call, or an item of its stream.
type answer struct {
	// raw is the reply as it came; a caller of the same dialect gets it as it is.
	raw []byte
	// plain is raw without the frame of an event.
	plain []byte
	// payload is the result in the agent's form; it means nothing beside err.
	payload []byte
	// err is the agent's error.
	err *a2a.Error
	// event says that it was an item of a stream.
	event bool
	// status is that of HTTP, header what came with it, and trailer what came behind.
	status          int
	header, trailer http.Header
}

// roundTrip sends a unary request and reads its answer into buf.
func (c *call) roundTrip(ctx context.Context, out *upstream.Request, buf *bytes.Buffer) (answer, *fault) {
	resp, f := c.send(ctx, out)
	if f != nil {
		return answer{}, f
	}
	defer resp.done()
	return c.readAnswer(ctx, out, resp.Response, buf)
}

// readAnswer reads a whole reply.
func (c *call) readAnswer(ctx context.Context, out *upstream.Request, resp *http.Response, buf *bytes.Buffer) (answer, *fault) {
	a := answer{status: resp.StatusCode, header: resp.Header}
	body, f := c.readBounded(ctx, resp, buf)
	if f != nil {
		return a, f
	}
	a.raw, a.plain, a.trailer = body, body, resp.Trailer
	var err error
	a.payload, a.err, err = out.ReadReply(resp, body, int(c.p.limits.ReplyBytes))
	switch {
	case errors.Is(err, upstream.ErrNotReply):
		return a, notOfTheProtocol(resp)
	case err != nil:
		return a, invalidAgentReply(fmt.Sprintf("the agent's reply is %v", err))
	}
	return a, nil
}

func (c *call) readBounded(ctx context.Context, resp *http.Response, buf *bytes.Buffer) ([]byte, *fault) {
	limit := c.p.limits.ReplyBytes
	if resp.ContentLength > limit {
		return nil, c.replyTooLarge()
	}
	body := io.Reader(resp.Body)
	if resp.ContentLength > 0 {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead)
	} else { // nothing has bounded it
		body = io.LimitReader(body, limit+1)
	}
	if _, err := buf.ReadFrom(body); err != nil {
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

// notOfTheProtocol tells what came instead of a reply, and nothing of its text.
func notOfTheProtocol(resp *http.Response) *fault {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || len(media) > 60 {
		media = "no content type"
	}
	f := invalidAgentReply(fmt.Sprintf("the agent answered HTTP %d with %s instead of a reply of A2A", resp.StatusCode, media))
	return f.with("http_status", fmt.Sprint(resp.StatusCode))
}

// outcomeOf reads what the result of an operation, or an item of its stream, says about
// a task.
func (c *call) outcomeOf(op a2a.Operation, payload []byte) (a2a.Outcome, error) {
	v := c.up.Dialect.Version
	if c.up.Dialect.Binding != a2a.GRPC {
		return a2a.ParseResult(op, v, payload)
	}
	kind := pb.Result
	if op.Streaming() {
		kind = pb.Event
	}
	return pb.ParseResult(v, op, kind, payload)
}

// passable tells whether an answer can be passed on as it came.
func (c *call) passable() bool { return !c.translated() && !c.bare }

// replyAnswer passes an agent's answer on, or its error. It must have been learned from.
func (c *call) replyAnswer(a *answer) {
	c.passHeaders(a.header)
	c.passHeaders(a.trailer) // where agents of gRPC may have them instead
	switch {
	case a.err != nil && !c.translated():
		c.passError(a)
	case a.err != nil:
		c.replyError(c.agentError(a.err), http.StatusOK, translatedError(a.err))
	case c.passable() && (c.down.Binding == a2a.GRPC || c.op == a2a.DeletePushConfig && c.down.Binding == a2a.REST):
		// In a frame of its own, since the agent's may be compressed; and what an agent says
		// to a deletion over HTTP+JSON is anything.
		c.replyResult(a.payload)
	case c.passable():
		c.setType()
		c.reply(audit.Succeeded, http.StatusOK, a.raw)
	default:
		payload, f := c.downPayload(a.payload)
		if f != nil {
			c.refuse(f)
			return
		}
		c.replyResult(payload)
	}
}

// downPayload is a result in the caller's form.
func (c *call) downPayload(payload []byte) ([]byte, *fault) {
	from, to := translate.FormOf(c.up.Dialect), c.form()
	var err error
	if from != to {
		payload, err = translate.Result(c.op, from, to, payload)
	}
	if err == nil && c.bare {
		payload, err = translate.StripHistory(to, c.op, payload)
	}
	if err != nil {
		return nil, invalidAgentReply(fmt.Sprintf("the agent's reply is no result of %s: %v", c.op, err))
	}
	return payload, nil
}

// passError passes an agent's error on as it came, to a caller of the same dialect.
func (c *call) passError(a *answer) {
	outcome := c.agentError(a.err)
	if e := translatedError(a.err); e != a.err && c.down.Binding != a2a.JSONRPC {
		// The status would make the caller doubt its own credential.
		c.replyError(outcome, http.StatusOK, e)
		return
	}
	c.setType()
	switch c.down.Binding {
	case a2a.GRPC:
		if !c.passTrailers(a) {
			c.replyError(outcome, http.StatusOK, a.err)
			return
		}
		c.reply(outcome, http.StatusOK, nil)
	case a2a.REST:
		c.reply(outcome, a.status, a.raw)
	default:
		c.reply(outcome, http.StatusOK, c.errorBody(http.StatusOK, a.raw))
	}
}

// longTrailers is how much clients of gRPC take as trailers at least, less what the
// transport adds.
const longTrailers = 6 << 10

// passTrailers passes the status of an agent's reply in gRPC on as it came, and tells
// whether there was one that callers can read.
func (c *call) passTrailers(a *answer) bool {
	from := a.trailer
	if len(from["Grpc-Status"]) == 0 {
		from = a.header // a reply without a message has no other place for it
	}
	if _, err := strconv.ParseUint(from.Get("Grpc-Status"), 10, 31); err != nil ||
		len(from.Get("Grpc-Message"))+len(from.Get("Grpc-Status-Details-Bin")) > longTrailers {
		return false
	}
	h := c.x.ReplyHeader()
	for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
		if v := from[name]; len(v) > 0 {
			h[http.TrailerPrefix+name] = v
		}
	}
	return true
}

// agentError notes an error that the agent answered with.
func (c *call) agentError(e *a2a.Error) audit.Outcome {
	c.closing.Error = &audit.CallError{Code: int(e.Code), Message: e.Message}
	return audit.Failed
}

// translatedError is an agent's error for a caller of another dialect. That the agent
// refuses the gateway's credential says nothing about the caller's, so neither code nor
// status nor reason may say so: clients drop a credential that they take for refused.
func translatedError(e *a2a.Error) *a2a.Error {
	if e.Code != codeUnauthenticated && e.Code != codeDenied {
		return e
	}
	own := *e
	own.Code, own.HTTPStatus, own.GRPCStatus = jsonrpc.CodeInternal, http.StatusBadGateway, 0
	own.Reason, own.Domain = "", "" // those of the code
	own.Message = "the agent refused the gateway's credential: " + e.Message
	return &own
}

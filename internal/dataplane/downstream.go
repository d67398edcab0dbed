package dataplane

import (
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// This file is how replies look in the caller's dialect. What a reply says, and when it
// is sent, is decided elsewhere.

// form is how the caller's dialect writes payloads.
func (c *call) form() translate.Form { return translate.FormOf(c.down) }

// appendReply appends a whole unary reply with a result.
func (c *call) appendReply(dst, payload []byte) []byte {
	switch c.down.Binding {
	case a2a.GRPC:
		return grpc.AppendFrame(dst, payload)
	case a2a.REST:
		return rest.AppendReply(dst, c.op, payload)
	default:
		return jsonrpc.AppendResult(dst, c.req.ID, payload)
	}
}

// appendEvent appends an item of a stream.
func (c *call) appendEvent(dst, payload []byte) []byte {
	switch c.down.Binding {
	case a2a.GRPC:
		return grpc.AppendFrame(dst, payload)
	case a2a.REST:
		return sse.AppendEvent(dst, payload)
	default:
		return sse.AppendEvent(dst, jsonrpc.AppendResult(nil, c.req.ID, payload))
	}
}

// appendErrorEvent appends an error as the last item of a stream. That of gRPC is in
// its trailers instead.
func (c *call) appendErrorEvent(dst []byte, e *a2a.Error) []byte {
	switch c.down.Binding {
	case a2a.GRPC:
		grpc.SetTrailers(c.x.ReplyHeader(), e, c.down.Version)
		return dst
	case a2a.REST:
		return rest.AppendErrorEvent(dst, e, c.down.Version)
	default:
		return sse.AppendEvent(dst, c.appendJSONRPCError(nil, e))
	}
}

func (c *call) appendJSONRPCError(dst []byte, e *a2a.Error) []byte {
	v := c.down.Version
	if e.Code == codeVersionUnsupported {
		// 0.3 has no such error, but who gets it has named a version and so knows it.
		v = a2a.V10
	}
	return e.AppendJSONRPC(dst, c.req.ID, v)
}

// setType sets the content type of a unary reply or, in HTTP+JSON, of an error.
func (c *call) setType() {
	h := c.x.ReplyHeader()
	switch {
	case c.down.Binding == a2a.GRPC:
		h["Content-Type"] = headerGRPC
	case c.down == dialectREST10 && rest.AcceptsA2AJSON(c.x.Header().Get("Accept"), c.x.Header().Get("Content-Type")):
		h["Content-Type"] = headerA2AJSON
	default:
		h["Content-Type"] = headerJSON
	}
}

var (
	dialectREST10 = a2a.Dialect{Binding: a2a.REST, Version: a2a.V10}
	headerSSE     = []string{"text/event-stream"}
	headerJSON    = []string{"application/json"}
	headerA2AJSON = []string{"application/a2a+json"}
	headerGRPC    = []string{grpc.ContentType}
	headerText    = []string{"text/plain; charset=utf-8"}
	headerNoCache = []string{"no-cache"}
	headerNo      = []string{"no"}
)

// replyResult records the end of a call and answers with a result in the caller's form.
func (c *call) replyResult(payload []byte) {
	c.setType()
	c.reply(audit.Succeeded, http.StatusOK, c.appendReply(nil, payload))
}

// replyError records the end of a call and answers with an error, to a caller who has
// got nothing yet. Status is that of HTTP for JSON-RPC.
func (c *call) replyError(outcome audit.Outcome, status int, e *a2a.Error) {
	c.setType()
	switch c.down.Binding {
	case a2a.GRPC:
		h := c.x.ReplyHeader()
		grpc.SetTrailersOnly(h, e, c.down.Version)
		if !c.speaksGRPC() {
			// Who came to a path of gRPC by mistake reads plain HTTP, and a proxy for gRPC-Web
			// finds the status nevertheless.
			h["Content-Type"] = headerText
			c.reply(outcome, e.RESTStatus(c.down.Version), append([]byte(e.Message), '\n'))
			return
		}
		c.reply(outcome, http.StatusOK, nil)
	case a2a.REST:
		c.reply(outcome, e.RESTStatus(c.down.Version), e.AppendREST(nil, c.down.Version))
	default:
		c.reply(outcome, status, c.errorBody(status, c.appendJSONRPCError(nil, e)))
	}
}

// speaksGRPC tells whether a call on a path of gRPC is one of gRPC at all.
func (c *call) speaksGRPC() bool {
	return c.x.ProtoMajor() >= 2 && c.x.Method() == http.MethodPost && grpc.CheckContentType(c.x.Header().Get("Content-Type")) == nil
}

// errorBody is the body of an error of JSON-RPC, for a caller who has got nothing yet.
// Who asked for a stream and takes nothing else gets a stream of one event: most SDKs
// ask like that, and some of them see nothing of a body in plain JSON.
func (c *call) errorBody(status int, body []byte) []byte {
	if status != http.StatusOK || !c.known || !c.op.Streaming() || !onlyEvents(c.x.Header()) {
		return body
	}
	h := c.x.ReplyHeader()
	h["Content-Type"] = headerSSE
	h["Cache-Control"] = headerNoCache
	return sse.AppendEvent(nil, body)
}

// onlyEvents tells whether a caller takes server-sent events and nothing else.
func onlyEvents(h http.Header) bool {
	only := false
	for _, value := range h["Accept"] {
		for part := range strings.SplitSeq(value, ",") {
			media, _, _ := strings.Cut(part, ";")
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "text/event-stream":
				only = true
			case "", "text/*":
			default:
				return false
			}
		}
	}
	return only
}

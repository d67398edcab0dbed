package dataplane

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// read takes the body in and reads what is decided on: the envelope and the ids. The
// body itself is kept as it came.
func (c *call) read(t target) *fault {
	if c.x.Method() != http.MethodPost {
		return methodNotAllowed(c.x.Method(), http.MethodPost)
	}
	if f := checkContentType(c.x.Header()); f != nil {
		return f
	}
	if f := c.readBody(); f != nil {
		return f
	}
	req, rpcErr := jsonrpc.ParseRequest(c.body)
	c.req = req
	c.opening.RequestID = string(req.ID)
	if rpcErr != nil {
		return protocolFault(rpcErr)
	}
	op, version, ok := a2a.LookupMethod(req.Method)
	if !ok {
		return &fault{
			code: jsonrpc.CodeMethodNotFound, reason: jsonrpc.ReasonMethodNotFound, outcome: audit.Refused,
			message: fmt.Sprintf("%.60q is no method of A2A 1.0 or 0.3; SendMessage and message/send are", req.Method),
		}
	}
	c.op, c.version, c.known = op, version, true
	c.opening.Method = op.String()
	c.opening.Dialect = "JSONRPC/" + version.String()
	if f := c.checkVersion(); f != nil {
		return f
	}
	if (t == targetSend && op != a2a.SendMessage) || (t == targetStream && op != a2a.SendStreamingMessage) {
		return protocolFault(jsonrpc.InvalidRequest(fmt.Sprintf(
			"method %q does not belong to this path; post it to /a2a/{agent}", req.Method)))
	}
	params, rpcErr := a2a.ParseCall(op, version, req.Params)
	if rpcErr != nil {
		return protocolFault(rpcErr)
	}
	c.params = params
	c.opening.MessageID, c.opening.TaskID, c.opening.ContextID = params.MessageID, params.TaskID, params.ContextID
	return nil
}

// checkVersion holds the version that the caller names against that of its method,
// and both against what the agent speaks.
func (c *call) checkVersion() *fault {
	for _, named := range append(c.x.Header().Values("A2A-Version"), c.x.Query("A2A-Version")...) {
		named = strings.TrimSpace(named)
		if named == "" {
			continue
		}
		v, ok := a2a.ParseVersion(named)
		if !ok {
			return c.contradiction(fmt.Sprintf("A2A-Version %.20q is not one that is spoken here; 1.0 and 0.3 are", named))
		}
		if v != c.version {
			return c.contradiction(fmt.Sprintf("A2A-Version is %s but %s is a method of %s", v, c.req.Method, c.version))
		}
	}
	iface, ok := c.agent.Route.Interface(c.version)
	if !ok {
		return versionNotSupported(c.version, fmt.Sprintf("agent %q does not speak A2A %s over JSON-RPC; it speaks %s",
			c.agent.ID, c.version, speaks(c.agent.Route.Versions())))
	}
	c.iface = iface
	return nil
}

// contradiction keeps the code of 1.0 for every caller: one that names a version
// knows the error.
func (c *call) contradiction(message string) *fault { return versionNotSupported(a2a.V10, message) }

func speaks(versions []a2a.Version) string {
	if len(versions) == 0 {
		return "none"
	}
	names := make([]string, len(versions))
	for i, v := range versions {
		names[i] = v.String()
	}
	return strings.Join(names, " and ")
}

func checkContentType(h http.Header) *fault {
	value := h.Get("Content-Type")
	media, params, err := mime.ParseMediaType(value)
	charset := strings.ToLower(params["charset"])
	if err == nil && (media == "application/json" || media == "application/a2a+json") && (charset == "" || charset == "utf-8") {
		if encoding := h.Get("Content-Encoding"); encoding == "" || strings.EqualFold(encoding, "identity") {
			return nil
		}
	}
	return &fault{
		status: http.StatusUnsupportedMediaType, code: codeContentType, reason: "CONTENT_TYPE_NOT_SUPPORTED",
		domain: domainProtocol, outcome: audit.Refused,
		message: fmt.Sprintf("content type %.60q is not taken; send application/json in UTF-8, not compressed", value),
	}
}

// eagerBody is how much of an announced body gets its memory at once: enough for most
// bodies, little enough for callers who announce and do not send.
const eagerBody = 128 << 10

// readBody reads the body within its bound. A body must keep up with a rate, so that
// slow callers do not hold connections.
func (c *call) readBody() *fault {
	limit := c.p.limits.RequestBytes
	length := c.x.ContentLength()
	if length > limit {
		return c.tooLarge()
	}
	// One byte more than announced, so that the end is seen without growing; but what
	// is only announced takes no memory yet.
	size := min(length, eagerBody)
	if size < 0 {
		size = 4 << 10
	}
	buf := make([]byte, 0, size+1)
	body := c.x.Body()
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		allowed := c.p.limits.BodyGrace + time.Duration(int64(len(buf))/c.p.limits.BodyRate)*time.Second
		if len(buf) > 0 { // the grace is set already
			// An engine without deadlines bounds slow bodies itself.
			_ = c.x.SetReadDeadline(c.start.Add(allowed))
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return c.tooLarge()
		}
		if err == nil {
			continue
		}
		c.body = buf
		c.opening.RequestBytes = int64(len(buf))
		switch {
		case errors.Is(err, io.EOF):
			_ = c.x.SetReadDeadline(time.Time{})
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			// The deadline stays, so that nobody waits for the rest of the body.
			c.x.ReplyHeader().Set("Connection", "close")
			return &fault{
				status: http.StatusRequestTimeout, code: jsonrpc.CodeInvalidRequest, reason: "REQUEST_TIMEOUT", outcome: audit.Refused,
				message: fmt.Sprintf("the body came too slowly: %d bytes in %s", len(buf), allowed),
			}
		default:
			c.closing.CallerLeft = true
			return &fault{
				status: http.StatusBadRequest, code: jsonrpc.CodeInvalidRequest, reason: "MALFORMED_REQUEST", outcome: audit.Refused,
				message: "the body ended before its announced length",
			}
		}
	}
}

func (c *call) tooLarge() *fault {
	// What is left of the body is not read, so the connection cannot be used again.
	c.x.ReplyHeader().Set("Connection", "close")
	return &fault{
		status: http.StatusRequestEntityTooLarge, code: jsonrpc.CodeInvalidRequest, reason: "REQUEST_TOO_LARGE", outcome: audit.Refused,
		message: fmt.Sprintf("the body is larger than %d bytes; pass large files by url", c.p.limits.RequestBytes),
	}
}

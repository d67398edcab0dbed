package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
)

// read takes the body in and reads what is decided on: the envelope and the ids. The
// body itself is kept as it came. A call of gRPC was read before its agent was known.
func (c *call) read() *fault {
	switch c.entry.target {
	case targetCall, targetSend, targetStream:
		return c.readJSONRPC()
	case targetREST:
		return c.readREST()
	case targetGRPC:
		return nil
	default:
		return notFound(c.x.Path())
	}
}

func (c *call) readJSONRPC() *fault {
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
	c.understood(op, version)
	if f := c.checkVersion(req.Method, "method"); f != nil {
		return f
	}
	t := c.entry.target
	if (t == targetSend && op != a2a.SendMessage) || (t == targetStream && op != a2a.SendStreamingMessage) {
		return protocolFault(jsonrpc.InvalidRequest(fmt.Sprintf(
			"method %q does not belong to this path; post it to /a2a/{agent}", req.Method)))
	}
	params, rpcErr := a2a.ParseCall(op, version, req.Params)
	if rpcErr != nil {
		return protocolFault(rpcErr)
	}
	c.payload = req.Params
	c.asks(params)
	return nil
}

func (c *call) readREST() *fault {
	req, e := rest.Parse(c.x.Method(), c.entry.below, c.x.RawQuery())
	if e != nil {
		return restFault(e, req.Allow)
	}
	c.understood(req.Op, req.Version)
	if f := c.checkVersion("this", "path"); f != nil {
		return f
	}
	if f := c.readRESTBody(); f != nil {
		return f
	}
	payload, e := req.Payload(c.body)
	if e != nil {
		return restFault(e, "")
	}
	parse := func() (a2a.Call, *jsonrpc.Error) { return a2a.ParseCall(req.Op, a2a.V10, payload) }
	if req.Version == a2a.V03 {
		parse = func() (a2a.Call, *jsonrpc.Error) { return a2a.ParseCallREST03(req.Op, payload) }
	}
	params, rpcErr := parse()
	if rpcErr != nil {
		return protocolFault(rpcErr)
	}
	c.payload = payload
	c.asks(params)
	return nil
}

// readRESTBody reads the body, if there is one. Many calls have none, without saying
// so, and need no content type then.
func (c *call) readRESTBody() *fault {
	length, h, post := c.x.ContentLength(), c.x.Header(), c.x.Method() == http.MethodPost
	if length == 0 {
		return nil
	}
	if (post && length > 0) || h.Get("Content-Type") != "" {
		if f := checkContentType(h); f != nil {
			return f
		}
	}
	if f := c.readBody(); f != nil {
		return f
	}
	if post && len(c.body) > 0 {
		return checkContentType(h)
	}
	return nil
}

// restFault is a refusal of the reader of HTTP+JSON; allow lists the methods that the
// path has, when the caller used another one.
func restFault(e *a2a.Error, allow string) *fault {
	return &fault{
		status: e.HTTPStatus, code: int(e.Code), reason: e.Reason, domain: e.Domain, message: e.Message, metadata: e.Metadata,
		allow: allow, outcome: audit.Refused,
	}
}

// understood notes what is called and in which version.
func (c *call) understood(op a2a.Operation, v a2a.Version) {
	c.op, c.down.Version, c.known = op, v, true
	c.opening.Method = op.String()
	c.opening.Dialect = c.down.String()
}

// asks notes what the call is about.
func (c *call) asks(params a2a.Call) {
	c.params = params
	c.opening.MessageID, c.opening.TaskID, c.opening.ContextID = params.MessageID, params.TaskID, params.ContextID
}

// checkVersion holds the version that the caller names against the one that it speaks;
// sign, which is a kind of thing, is what told that.
func (c *call) checkVersion(sign, kind string) *fault {
	named := false
	for _, text := range append(c.x.Header()["A2a-Version"], c.x.Query("A2A-Version")...) {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		named = true
		v, ok := a2a.ParseVersion(text)
		if !ok {
			return contradiction(fmt.Sprintf("A2A-Version %.20q is not one that is spoken here; 1.0 and 0.3 are", text))
		}
		if v != c.down.Version {
			return contradiction(fmt.Sprintf("A2A-Version is %s but %s is a %s of %s", v, sign, kind, c.down.Version))
		}
	}
	if named || c.down.Version != a2a.V10 {
		return nil
	}
	if c.p.cfg.RequireVersion {
		return contradiction("A2A-Version is missing, which stands for 0.3, but " + sign + " is a " + kind + " of 1.0; send A2A-Version: 1.0")
	}
	c.p.cfg.Logger.LogAttrs(context.Background(), slog.LevelDebug, "a call of A2A 1.0 names no A2A-Version",
		slog.String("caller", c.principal.Name), slog.String("agent", c.opening.Agent))
	return nil
}

// contradiction keeps the code of 1.0 for every caller: one that names a version
// knows the error.
func contradiction(message string) *fault { return versionNotSupported(message) }

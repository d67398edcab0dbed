package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
)

// outgoing makes the agent's request of the caller's. In the same dialect its bytes
// pass, and only what must change is changed.
func (c *call) outgoing() (*upstream.Request, *fault) {
	if !c.translated() && c.down.Binding == a2a.JSONRPC {
		return upstream.PassedRequest(c.down.Version, c.op, c.req.ID, c.passedBody()), nil
	}
	from, to := c.form(), translate.FormOf(c.up.Dialect)
	payload, err := translate.Request(c.op, from, to, c.payload)
	if err != nil {
		return nil, untranslatable(err)
	}
	if from != to && !c.asksTheSame(to, payload) {
		return nil, invalidParams("the call has members that the agent's dialect would read as other ids than the caller's")
	}
	c.bare = translate.HistoryOmitted(c.op, from, to, c.payload)
	return c.frame(c.op, payload)
}

// asksTheSame tells whether a translated request is read as it was decided on: what is
// an unknown member in one dialect may be an id in another.
func (c *call) asksTheSame(form translate.Form, payload []byte) bool {
	var read a2a.Call
	var err *jsonrpc.Error
	switch form {
	case translate.JSON10:
		read, err = a2a.ParseCall(c.op, a2a.V10, payload)
	case translate.JSON03:
		read, err = a2a.ParseCall(c.op, a2a.V03, payload)
	case translate.REST03:
		read, err = a2a.ParseCallREST03(c.op, payload)
	case translate.Proto10:
		read, err = pb.ParseCall(a2a.V10, c.op, payload)
	case translate.Proto03:
		read, err = pb.ParseCall(a2a.V03, c.op, payload)
	}
	was := &c.params
	return err == nil && read.TaskID == was.TaskID && read.ContextID == was.ContextID &&
		read.MessageID == was.MessageID && read.PushConfigID == was.PushConfigID && (read.Push == nil) == (was.Push == nil) &&
		(slices.Equal(read.ReferenceTaskIDs, was.ReferenceTaskIDs) || len(read.ReferenceTaskIDs) == 0)
}

// passedBody is the body of a call of JSON-RPC with what the agent needs otherwise.
func (c *call) passedBody() []byte {
	body := c.body
	if c.down.Version != a2a.V10 {
		return body
	}
	if c.up.Tenant != "" || c.params.HasTenant {
		return a2a.SetTenant(body, c.req, c.params, c.up.Tenant)
	}
	if c.op == a2a.GetExtendedCard {
		return a2a.EnsureParams(body, c.req)
	}
	return body
}

// outgoingOf makes a request of the gateway's own, or one that it composed, of a
// payload in the canonical form.
func (c *call) outgoingOf(op a2a.Operation, canonical []byte) (*upstream.Request, *fault) {
	payload, err := translate.Request(op, translate.JSON10, translate.FormOf(c.up.Dialect), canonical)
	if err != nil {
		return nil, untranslatable(err)
	}
	return c.frame(op, payload)
}

// frame puts a payload in the agent's form into the agent's envelope.
func (c *call) frame(op a2a.Operation, payload []byte) (*upstream.Request, *fault) {
	id := c.req.ID
	if c.down.Binding != a2a.JSONRPC {
		id = jsonrpc.AppendString(nil, c.opening.Invocation.String())
	}
	out, err := upstream.NewRequest(c.up.Dialect, op, c.up.Tenant, id, payload)
	if err != nil {
		return nil, untranslatable(err)
	}
	return out, nil
}

var emptyObject = []byte("{}")

// untranslatable is for calls that the agent's dialect cannot carry.
func untranslatable(err error) *fault {
	if errors.Is(err, translate.ErrNotCarried) {
		return unsupportedOperation(err.Error())
	}
	return invalidParams(err.Error())
}

// answered is an agent's response, whose body is not read yet.
type answered struct {
	*http.Response
	from *instance
}

func (a answered) done() {
	_ = a.Body.Close()
	a.from.inFlight.Add(-1)
}

// send sends a request to an instance of the agent and returns its response; done must
// be called when the response has been read. Another instance is tried only when no
// connection came about, so that no agent sees a call twice.
func (c *call) send(ctx context.Context, out *upstream.Request) (resp answered, f *fault) {
	var tried uint64
	var last *fault
	for {
		i := c.p.instances.choose(c.agent, c.pinned, tried)
		if i < 0 {
			return answered{}, last
		}
		tried |= 1 << i
		address := c.agent.Endpoints[i].URL
		if f := c.sendingTo(address); f != nil {
			return answered{}, f
		}
		inst := c.p.instances.get(c.agent.UID, address)
		inst.inFlight.Add(1)
		resp, err := c.roundTripTo(ctx, i, out, inst) //nolint:bodyclose // done closes it
		if err == nil {
			inst.succeeded()
			if c.closing.FirstByte == 0 {
				c.closing.FirstByte = c.elapsed()
			}
			return answered{Response: resp, from: inst}, nil
		}
		inst.inFlight.Add(-1)
		if f := c.ended(ctx); f != nil {
			return answered{}, f
		}
		if f := c.unproven(err); f != nil {
			return answered{}, f
		}
		var again bool
		if last, again = c.unreachable(err); !again {
			return answered{}, last
		}
		inst.failed(c.p.cfg.Clock.Now())
	}
}

// roundTripTo sends a request to one instance. Which verb an instance takes for a
// subscription over HTTP+JSON is found out once: the second is tried when the first is
// not known.
func (c *call) roundTripTo(ctx context.Context, endpoint int, out *upstream.Request, inst *instance) (*http.Response, error) {
	if !out.SubscribesByPOST() {
		return c.way().RoundTrip(c.upstreamRequest(ctx, endpoint, out))
	}
	if inst.subscribesByGET.Load() {
		return c.way().RoundTrip(c.upstreamRequest(ctx, endpoint, out.ByGET()))
	}
	resp, err := c.way().RoundTrip(c.upstreamRequest(ctx, endpoint, out))
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
	default:
		return resp, nil
	}
	refusal, err := io.ReadAll(io.LimitReader(resp.Body, refusalBytes))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(refusal))
	if err != nil {
		return resp, nil //nolint:nilerr // what was read tells enough
	}
	// Without the operation a bare status stands for no error of A2A: many frameworks say
	// 404 to a verb that they do not know.
	if e, known := a2a.ErrorFromREST(0, out.Dialect.Version, resp.StatusCode, refusal); known && e.Code == codeTaskNotFound {
		return resp, nil // the agent knows the verb, and not the task
	}
	second, err := c.way().RoundTrip(c.upstreamRequest(ctx, endpoint, out.ByGET()))
	switch {
	case err != nil:
		return resp, nil //nolint:nilerr // the first answer stands
	case second.StatusCode/100 == 2:
		inst.subscribesByGET.Store(true)
	case second.StatusCode == http.StatusMethodNotAllowed:
		_ = second.Body.Close()
		return resp, nil
	}
	return second, nil
}

// refusalBytes is how much is read of an answer that only tells that a verb is not known.
const refusalBytes = 64 << 10

// upstreamRequest makes the request for an instance. Only what the protocol needs
// and what the agent's owner listed is taken from the caller's headers.
func (c *call) upstreamRequest(ctx context.Context, endpoint int, out *upstream.Request) *http.Request {
	from := c.x.Header()
	// Room for all that the gateway itself sends; a map of at most eight is a cheap one.
	h := make(http.Header, 8+len(c.agent.ForwardHeaders))
	h["Traceparent"] = []string{c.traceparent}
	if c.trace.state != "" {
		h["Tracestate"] = []string{c.trace.state}
	}
	if extensions := extensionsIn(from); len(extensions) > 0 {
		h[extensionsHeader(out.Dialect.Version)] = []string{strings.Join(extensions, ", ")}
	}
	for _, name := range c.agent.ForwardHeaders {
		if v := from[name]; len(v) > 0 {
			h[name] = v
		}
	}
	return out.HTTP(ctx, c.up.URLs[endpoint], h)
}

// extensionsHeader is the name of the header that asks for extensions in a version.
func extensionsHeader(v a2a.Version) string {
	if v == a2a.V03 {
		return "X-A2a-Extensions"
	}
	return "A2a-Extensions"
}

// extensionsIn returns the extensions that a header names, in either spelling.
func extensionsIn(h http.Header) []string {
	extensions := h["A2a-Extensions"]
	if legacy := h["X-A2a-Extensions"]; len(legacy) > 0 {
		extensions = append(slices.Clip(extensions), legacy...)
	}
	return extensions
}

// passHeaders copies those of the agent's headers that are the protocol's, under the
// names that the caller's version has for them.
func (c *call) passHeaders(from http.Header) {
	if v := extensionsIn(from); len(v) > 0 {
		c.x.ReplyHeader()[extensionsHeader(c.down.Version)] = v
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

// routable finds the dialect that the agent is spoken to in.
func (c *call) routable() *fault {
	up, ok := c.agent.Route.For(c.down)
	if !ok {
		return &fault{
			mirror: http.StatusServiceUnavailable, code: codeUnavailable, reason: "UPSTREAM_UNREACHABLE", outcome: audit.Refused,
			message: fmt.Sprintf("the card of agent %q names no interface that is spoken here", c.agent.ID),
		}
	}
	c.up = up
	c.opening.UpstreamDialect = up.Dialect.String()
	if c.op == a2a.ListTasks && (c.down.Version == a2a.V03 || up.Dialect.Version == a2a.V03) {
		return unsupportedOperation("A2A 0.3 has no list of tasks")
	}
	return nil
}

package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
)

// Request is a request to an agent in the agent's dialect, complete but for the
// instance that it goes to.
type Request struct {
	// Dialect is what the agent speaks.
	Dialect a2a.Dialect
	// Op is what is asked for.
	Op a2a.Operation
	// ID is the id of a request of JSON-RPC, which the reply must carry.
	ID []byte
	// Target is what HTTP+JSON asks for; of the other bindings it has the body alone.
	Target rest.Target
}

// NewRequest puts a payload in the agent's form into the agent's envelope. The tenant
// is that of the agent's interface; one that the payload has gives way to it.
func NewRequest(d a2a.Dialect, op a2a.Operation, tenant string, id, payload []byte) (*Request, error) {
	r := &Request{Dialect: d, Op: op}
	if d.Version == a2a.V10 {
		var err error
		if payload, err = withTenant(d.Binding, op, payload, tenant); err != nil {
			return nil, err
		}
	}
	switch d.Binding {
	case a2a.GRPC:
		r.Target.Body = grpc.AppendFrame(make([]byte, 0, len(payload)+grpcHead), payload)
	case a2a.REST:
		var err error
		if r.Target, err = rest.Build(op, d.Version, payload, tenant); err != nil {
			return nil, err
		}
	default:
		r.ID = id
		if op == a2a.GetExtendedCard && d.Version == a2a.V03 {
			payload = nil // 0.3 has no params there
		}
		r.Target.Body = jsonrpc.AppendRequest(make([]byte, 0, len(payload)+128), id, a2a.MethodName(op, d.Version), payload)
	}
	return r, nil
}

// grpcHead is what gRPC puts before a message.
const grpcHead = 5

// withTenant gives a payload of version 1.0 a tenant and leaves its other bytes alone.
func withTenant(b a2a.Binding, op a2a.Operation, payload []byte, tenant string) ([]byte, error) {
	if b == a2a.GRPC {
		return pb.SetTenant(op, payload, tenant)
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if tenant == "" && !bytes.Contains(payload, tenantName) && !bytes.Contains(payload, asciiEscape) {
		return payload, nil // what has no tenant need not be read again
	}
	params, err := a2a.ParseCall(op, a2a.V10, payload)
	if err != nil {
		return nil, err
	}
	return a2a.SetTenant(payload, jsonrpc.Request{Params: payload}, params, tenant), nil
}

// What a payload has that has a member called tenant: its name, plain or escaped.
var (
	tenantName  = []byte(`"tenant"`)
	asciiEscape = []byte(`\u00`)
)

// PassedRequest is a request of JSON-RPC whose body passes.
func PassedRequest(v a2a.Version, op a2a.Operation, id, body []byte) *Request {
	return &Request{
		Dialect: a2a.Dialect{Binding: a2a.JSONRPC, Version: v}, Op: op, ID: id, Target: rest.Target{Body: body},
	}
}

// SubscribesByPOST tells whether a request may have to be repeated with
// [Request.ByGET]: subscribing over HTTP+JSON is POST in the text of the specification
// and GET in its protobuf, and agents have either.
func (r *Request) SubscribesByPOST() bool {
	return r.Op == a2a.SubscribeToTask && r.Dialect.Binding == a2a.REST && r.Target.Method == http.MethodPost
}

// ByGET returns a subscription with the other verb.
func (r *Request) ByGET() *Request {
	other := *r
	other.Target = rest.SubscribeGET(r.Target)
	return &other
}

// HTTP makes the request for one address of the agent. It adds the headers of the
// dialect to h.
func (r *Request) HTTP(ctx context.Context, address *url.URL, h http.Header) *http.Request {
	body := r.Target.Body
	req := &http.Request{
		Method: http.MethodPost, URL: address,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Host: address.Host, ContentLength: int64(len(body)),
	}
	h["A2a-Version"] = versionHeaders[r.Dialect.Version]
	h["User-Agent"] = headerUserAgent
	switch r.Dialect.Binding {
	case a2a.GRPC:
		grpc.SetRequest(h, 0)
		req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/2.0", 2, 0 // tells [Transport] what is needed
		req.URL = at(address, grpc.Path(r.Op, r.Dialect.Version), "")
	case a2a.REST:
		req.Method = r.Target.Method
		req.URL = at(address, strings.TrimSuffix(address.EscapedPath(), "/")+r.Target.Path, r.Target.Query)
		fallthrough
	default:
		h["Accept"] = headerJSON
		if r.Op.Streaming() {
			h["Accept"] = headerSSE
		}
		if len(body) > 0 {
			h["Content-Type"] = headerJSON
		}
	}
	if len(body) > 0 {
		req.Body = r.body()
		// With this the transport repeats a request that it knows never left, because
		// the idle connection that it was given had been closed.
		req.GetBody = func() (io.ReadCloser, error) { return r.body(), nil }
	}
	return req.WithContext(ctx)
}

// longBody is the size of bodies that are let go of when they were sent. The transport
// sends others together with the head, which it does only for readers that it knows.
const longBody = writeBuffer

// body returns a reader of the body. The transport keeps the requests of streams, which
// are open for hours.
func (r *Request) body() io.ReadCloser {
	if r.Op.Streaming() && len(r.Target.Body) > longBody {
		s := new(sentBody)
		s.left.Reset(r.Target.Body)
		return s
	}
	return io.NopCloser(bytes.NewReader(r.Target.Body))
}

// Answered tells that an instance has answered, so that no other is sent the request.
func (r *Request) Answered() { r.Target.Body = nil }

// sentBody is a body that is let go of when the last of it was read.
type sentBody struct{ left bytes.Reader }

// Read implements [io.Reader].
func (s *sentBody) Read(p []byte) (int, error) {
	n, err := s.left.Read(p)
	if s.left.Len() == 0 {
		s.left.Reset(nil)
	}
	return n, err
}

// Close implements [io.Closer].
func (*sentBody) Close() error { return nil }

// at returns a URL with another path and query, both escaped.
func at(base *url.URL, path, query string) *url.URL {
	u := *base
	u.Path, u.RawPath, u.RawQuery = path, path, query
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	}
	return &u
}

var (
	headerUserAgent = []string{"signalbox"}
	headerJSON      = []string{"application/json"}
	headerSSE       = []string{"text/event-stream"}
	versionHeaders  = map[a2a.Version][]string{a2a.V10: {"1.0"}, a2a.V03: {"0.3"}}
)

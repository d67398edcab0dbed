package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
)

// ErrNotReply says that something else came than a reply of the agent's dialect.
var ErrNotReply = errors.New("not a reply of A2A")

// ReadReply reads a whole reply to a request, of which body is the body. It returns
// the result in the agent's form, or the agent's error. Its own errors wrap ErrNotReply
// when what came is no reply at all, and else say what is wrong with the reply.
func (r *Request) ReadReply(resp *http.Response, body []byte, limit int) (payload []byte, agent *a2a.Error, err error) {
	v := r.Dialect.Version
	switch r.Dialect.Binding {
	case a2a.GRPC:
		if grpc.CheckContentType(resp.Header.Get("Content-Type")) != nil {
			return nil, nil, ErrNotReply
		}
		if agent = grpc.ErrorFromTrailers(r.Op, v, resp.StatusCode, resp.Header, resp.Trailer); agent != nil {
			return nil, agent, nil
		}
		payload, err = grpc.ReadUnary(grpc.NewReader(bytes.NewReader(body), grpc.Encoding(resp.Header), limit))
		return payload, nil, err
	case a2a.REST:
		if resp.StatusCode/100 != 2 {
			e, ok := a2a.ErrorFromREST(r.Op, v, resp.StatusCode, body)
			if !ok {
				return nil, nil, ErrNotReply
			}
			return nil, &e, nil
		}
		payload, err = rest.ReplyPayload(r.Op, v, resp.StatusCode, body)
		return payload, nil, err
	default:
		if !looksLikeJSON(body) {
			return nil, nil, ErrNotReply
		}
		return r.ReadEnvelope(body)
	}
}

// ReadEnvelope reads a reply of JSON-RPC, or an event of its stream, and holds it
// against the request's id.
func (r *Request) ReadEnvelope(body []byte) (payload []byte, agent *a2a.Error, err error) {
	resp, err := jsonrpc.ParseResponse(body)
	if err != nil {
		return nil, nil, err
	}
	// An agent that could not read the id answers null, with an error (JSON-RPC 2.0, section 5).
	if !jsonrpc.SameID(resp.ID, r.ID) && (resp.Error == nil || !jsonrpc.SameID(resp.ID, nil)) {
		return nil, nil, fmt.Errorf("%w: it carries the id of another request", jsonrpc.ErrNotResponse)
	}
	if resp.Error != nil {
		e := a2a.ErrorFromJSONRPC(r.Dialect.Version, resp.Error)
		return nil, &e, nil
	}
	return resp.Result, nil, nil
}

func looksLikeJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

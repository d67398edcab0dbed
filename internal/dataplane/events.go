package dataplane

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// streamItem is something that an agent's stream brought.
type streamItem struct {
	answer
	comment bool   // only a sign of life
	partial bool   // the stream ended in the middle of it
	more    bool   // the next one has arrived already
	fault   *fault // what is wrong with it, beside an error
}

// events are an agent's stream. After its last item next returns [io.EOF], with the
// agent's error when the dialect has its place there.
type events interface {
	next() (streamItem, error)
}

// errItem says that an item is none of the protocol.
var errItem = errors.New("the item is none of A2A")

// streams tells whether a response is a stream, which only its content type says:
// agents answer streaming calls with one reply too.
func (c *call) streams(resp *http.Response) bool {
	if c.up.Dialect.Binding == a2a.GRPC {
		return grpc.CheckContentType(resp.Header.Get("Content-Type")) == nil
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return media == "text/event-stream"
}

func (c *call) newEvents(out *upstream.Request, resp *http.Response) events {
	if c.up.Dialect.Binding == a2a.GRPC {
		return &grpcEvents{
			out: out, resp: resp, same: !c.translated(),
			frames: grpc.NewReader(resp.Body, grpc.Encoding(resp.Header), c.p.limits.EventBytes),
		}
	}
	e := &sseEvents{out: out, resp: resp}
	e.reader.Reset(resp.Body, c.p.limits.EventBytes)
	return e
}

// sseEvents are the server-sent events of JSON-RPC and HTTP+JSON.
type sseEvents struct {
	out    *upstream.Request
	resp   *http.Response
	reader sse.Reader
}

func (e *sseEvents) next() (streamItem, error) {
	got, err := e.reader.Next()
	if err != nil {
		return streamItem{}, err
	}
	it := streamItem{comment: got.Comment, partial: got.Partial, more: e.reader.Buffered()}
	if it.comment {
		return it, nil
	}
	it.raw, it.plain, it.event, it.status, it.header = got.Raw, got.Data, true, e.resp.StatusCode, e.resp.Header
	if e.out.Dialect.Binding == a2a.REST {
		if failure, ok := rest.ParseErrorEvent(e.out.Op, e.out.Dialect.Version, got.Event, got.Data); ok {
			it.err = new(failure) // failure itself would be made for every event, not for those alone that are errors
		}
		it.payload = got.Data
		return it, nil
	}
	if it.payload, it.err, err = e.out.ReadEnvelope(got.Data); err != nil {
		it.fault = invalidAgentReply(fmt.Sprintf("the agent's reply is %v", err))
		if it.partial {
			it.fault = upstreamInterrupted()
		}
		return it, errItem
	}
	return it, nil
}

// grpcEvents are the messages of a stream of gRPC.
type grpcEvents struct {
	out    *upstream.Request
	resp   *http.Response
	frames *grpc.Reader
	same   bool // the caller speaks the same dialect, so the frame is needed too
}

func (e *grpcEvents) next() (streamItem, error) {
	message, err := e.frames.Next()
	switch {
	case errors.Is(err, io.EOF):
		it := streamItem{answer: answer{status: e.resp.StatusCode, header: e.resp.Header, trailer: e.resp.Trailer}}
		it.err = grpc.ErrorFromTrailers(e.out.Op, e.out.Dialect.Version, e.resp.StatusCode, e.resp.Header, e.resp.Trailer)
		return it, io.EOF
	case errors.Is(err, grpc.ErrTooLarge):
		return streamItem{}, fmt.Errorf("%w: %w", sse.ErrEventTooLarge, err)
	case errors.Is(err, grpc.ErrEncoding), errors.Is(err, grpc.ErrFrame):
		return streamItem{fault: invalidAgentReply(fmt.Sprintf("an event of the agent cannot be read: %v", err))}, errItem
	case err != nil:
		return streamItem{}, err
	}
	it := streamItem{answer: answer{payload: message, header: e.resp.Header}}
	if e.same {
		it.raw = grpc.AppendFrame(nil, message)
	}
	return it, nil
}

// reframe makes an event of a whole reply, for a caller of the same dialect.
func (c *call) reframe(reply []byte) []byte {
	if c.translated() || c.down.Binding == a2a.GRPC {
		return reply
	}
	return sse.AppendEvent(nil, reply)
}

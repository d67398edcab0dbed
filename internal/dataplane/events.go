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

func (i *streamItem) reset() { *i = streamItem{} }

// events are an agent's stream. After its last item next returns [io.EOF], with the
// agent's error when the dialect has its place there. An item is valid until the next
// one, so that a stream, which may wait for long, holds one and its goroutine's stack none.
type events interface {
	next() (*streamItem, error)
}

// errItem says that an item is none of the protocol.
var errItem = errors.New("the item is none of A2A")

// streams tells whether a response is a stream, which only its content type says:
// agents answer streaming calls with one reply too.
func (c *call) streams(resp *http.Response) bool {
	if c.up.Dialect.Binding == a2a.GRPC {
		return grpc.CheckContentType(resp.Header.Get("Content-Type")) == nil
	}
	value := resp.Header.Get("Content-Type")
	if value == "text/event-stream" {
		return true
	}
	media, _, _ := mime.ParseMediaType(value)
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
	got    sse.Item
	item   streamItem
}

func (e *sseEvents) next() (*streamItem, error) {
	it := &e.item
	it.reset()
	var err error
	if e.got, err = e.reader.Next(); err != nil {
		return it, err
	}
	it.comment, it.partial, it.more = e.got.Comment, e.got.Partial, e.reader.Buffered()
	if it.comment {
		return it, nil
	}
	return it, e.read(&e.got)
}

// read reads an event. It is apart from next, which waits: what it has on the stack would
// stay there as long as a stream is silent.
func (e *sseEvents) read(got *sse.Item) (err error) {
	it := &e.item
	it.raw, it.plain, it.event, it.status, it.header = got.Raw, got.Data, true, e.resp.StatusCode, e.resp.Header
	if e.out.Dialect.Binding == a2a.REST {
		if failure, ok := rest.ParseErrorEvent(e.out.Op, e.out.Dialect.Version, got.Event, got.Data); ok {
			it.err = new(failure) // failure itself would be made for every event, not for those alone that are errors
		}
		it.payload = got.Data
		return nil
	}
	if it.payload, it.err, err = e.out.ReadEnvelope(got.Data); err != nil {
		it.fault = invalidAgentReply(fmt.Sprintf("the agent's reply is %v", err))
		if it.partial {
			it.fault = upstreamInterrupted()
		}
		return errItem
	}
	return nil
}

// grpcEvents are the messages of a stream of gRPC.
type grpcEvents struct {
	out    *upstream.Request
	resp   *http.Response
	frames *grpc.Reader
	same   bool // the caller speaks the same dialect, so the frame is needed too
	item   streamItem
}

func (e *grpcEvents) next() (*streamItem, error) {
	it := &e.item
	it.reset()
	message, err := e.frames.Next()
	switch {
	case errors.Is(err, io.EOF):
		it.status, it.header, it.trailer = e.resp.StatusCode, e.resp.Header, e.resp.Trailer
		it.err = grpc.ErrorFromTrailers(e.out.Op, e.out.Dialect.Version, e.resp.StatusCode, e.resp.Header, e.resp.Trailer)
		return it, io.EOF
	case errors.Is(err, grpc.ErrTooLarge):
		return it, fmt.Errorf("%w: %w", sse.ErrEventTooLarge, err)
	case errors.Is(err, grpc.ErrEncoding), errors.Is(err, grpc.ErrFrame):
		it.fault = invalidAgentReply(fmt.Sprintf("an event of the agent cannot be read: %v", err))
		return it, errItem
	case err != nil:
		return it, err
	}
	it.payload, it.header = message, e.resp.Header
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

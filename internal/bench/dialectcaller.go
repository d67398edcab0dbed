package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/pb"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
)

// CallerConfig says whom a [DialectCaller] calls and how.
type CallerConfig struct {
	// Gateway is the address of the gateway, such as "http://127.0.0.1:8080".
	Gateway string
	// Header is sent with every call, such as Authorization.
	Header http.Header
	// Agent is the id of the agent, one of [DialectAgents].
	Agent string
	// Dialect is what the caller speaks.
	Dialect a2a.Dialect
	// Streaming asks for a stream of 64 events instead of one reply.
	Streaming bool
	// Deadline ends calls that are still going on.
	Deadline time.Time
}

// DialectCaller calls an agent in one dialect over one connection. It belongs
// to one goroutine.
type DialectCaller struct {
	form     translate.Form
	op       a2a.Operation
	dialect  a2a.Dialect
	id       []byte
	request  form // a whole HTTP/1.1 request, or the body of one of gRPC
	deadline time.Time

	client *client // of the bindings over HTTP/1.1

	// Of gRPC.
	url       string
	header    http.Header
	transport *http.Transport
}

// NewDialectCaller returns a caller that connects at its first call.
func NewDialectCaller(cfg CallerConfig) (*DialectCaller, error) {
	base, err := url.Parse(cfg.Gateway)
	if err != nil {
		return nil, fmt.Errorf("address of the gateway: %w", err)
	}
	c := &DialectCaller{
		form: translate.FormOf(cfg.Dialect), op: a2a.SendMessage, dialect: cfg.Dialect, id: newCallID(), deadline: cfg.Deadline,
	}
	text := cannedRequest
	if cfg.Streaming {
		c.op, text = a2a.SendStreamingMessage, cannedShort
	}
	payload, err := translate.Request(c.op, translate.JSON10, c.form, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("request in %s: %w", c.form, err)
	}
	h := cfg.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("A2A-Version", cfg.Dialect.Version.String())
	if cfg.Dialect.Binding == a2a.GRPC {
		grpc.SetRequest(h, 0)
		h.Set(grpc.MetadataAgent, cfg.Agent)
		c.url, c.header = base.Scheme+"://"+base.Host+grpc.Path(c.op, cfg.Dialect.Version), h
		c.request = newForm(grpc.AppendFrame(nil, payload))
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		c.transport = &http.Transport{Protocols: protocols, DisableCompression: true}
		return c, nil
	}
	path := "/a2a/" + cfg.Agent
	var body []byte
	if cfg.Dialect.Binding == a2a.JSONRPC {
		body = jsonrpc.AppendRequest(nil, []byte(`"`+sampleCall+`"`), a2a.MethodName(c.op, cfg.Dialect.Version), payload)
	} else {
		target, err := rest.Build(c.op, cfg.Dialect.Version, payload, "")
		if err != nil {
			return nil, fmt.Errorf("request of HTTP+JSON: %w", err)
		}
		path, body = path+target.Path, target.Body
	}
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	if cfg.Streaming {
		h.Set("Accept", "text/event-stream")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, base.Host)
	if err := h.Write(&b); err != nil {
		return nil, fmt.Errorf("write request header: %w", err)
	}
	b.WriteString("\r\n")
	b.Write(body)
	c.request = newForm(b.Bytes())
	c.client = newClient(base.Host, 16<<10, cfg.Deadline)
	return c, nil
}

// Call makes one call, checks what comes, and returns how many events a stream
// had.
func (c *DialectCaller) Call(ctx context.Context) (events int, err error) {
	nextCall(c.id)
	c.request.put(c.id)
	if c.client == nil {
		return c.callGRPC(ctx)
	}
	if c.op == a2a.SendMessage {
		if err := c.client.send(ctx, c.request.text, "application/json"); err != nil {
			return 0, err
		}
		body, err := c.client.readBody()
		if err != nil {
			return 0, err
		}
		return 0, c.checkReply(body)
	}
	if err := c.client.send(ctx, c.request.text, "text/event-stream"); err != nil {
		return 0, err
	}
	c.client.startStream()
	return c.readEvents(c.client.nextEvent)
}

// abort ends the call in progress; it may be called by another goroutine.
func (c *DialectCaller) abort() {
	if c.client != nil {
		c.client.abort() // calls of gRPC end with their context
	}
}

// Close drops the connection.
func (c *DialectCaller) Close() {
	if c.client != nil {
		c.client.close()
		return
	}
	c.transport.CloseIdleConnections()
}

func (c *DialectCaller) callGRPC(ctx context.Context) (events int, err error) {
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.request.text))
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	req.Header = c.header
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("call: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or the error is reported
	frames := grpc.NewReader(resp.Body, grpc.Encoding(resp.Header), maxReplyBody)
	if c.op == a2a.SendStreamingMessage {
		events, err = c.readEvents(frames.Next)
	} else {
		var message []byte
		if message, err = grpc.ReadUnary(frames); err == nil {
			err = c.checkReply(message)
		}
	}
	if failure := grpc.ErrorFromTrailers(c.op, c.dialect.Version, resp.StatusCode, resp.Header, resp.Trailer); failure != nil {
		return 0, errors.Join(fmt.Errorf("%w: %s", errWrongReply, failure.Message), err)
	}
	return events, err
}

// checkReply says what is wrong with a unary reply, if anything.
func (c *DialectCaller) checkReply(body []byte) error {
	at := bytes.Index(body, []byte(replyPrefix+callMark))
	if at < 0 || !bytes.HasPrefix(body[at+len(replyPrefix):], c.id) || !bytes.Contains(body, []byte(cannedText)) {
		return fmt.Errorf("%w: not the message that answers %s: %s", errWrongReply, c.id, excerpt(body))
	}
	return nil
}

// readEvents reads a stream to its end, which must come after the event that
// ends the task.
func (c *DialectCaller) readEvents(next func() ([]byte, error)) (int, error) {
	for n := 0; ; n++ {
		data, err := next()
		switch {
		case errors.Is(err, io.EOF) && n == streamEvents:
			return n, nil
		case errors.Is(err, io.EOF):
			return n, fmt.Errorf("%w: the stream had %d events, want %d", errWrongReply, n, streamEvents)
		case err != nil:
			return n, fmt.Errorf("read event %d: %w", n+1, err)
		case !bytes.Contains(data, c.id):
			return n, fmt.Errorf("%w: event %d does not belong to %s: %s", errWrongReply, n+1, c.id, excerpt(data))
		case c.completes(data) != (n == streamEvents-1):
			return n, fmt.Errorf("%w: the task must end with the last event, not with %d: %s", errWrongReply, n+1, excerpt(data))
		}
	}
}

// completes reports whether an event ends the task.
func (c *DialectCaller) completes(data []byte) bool {
	if c.dialect.Binding != a2a.GRPC {
		return bytes.Contains(data, []byte(`"TASK_STATE_COMPLETED"`)) || bytes.Contains(data, []byte(`"completed"`))
	}
	outcome, err := pb.ParseResult(c.dialect.Version, c.op, pb.Event, data)
	return err == nil && outcome.State == a2a.StateCompleted
}

// CellName names a caller and an agent in benchmarks: "grpc-10→rest-03".
func CellName(caller, agent a2a.Dialect) string {
	return slug(caller) + "→" + slug(agent)
}

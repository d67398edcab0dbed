package dataplane_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	newpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// caller calls agents in one dialect, without an SDK: what comes is seen as it is.
type caller struct {
	g      *gatewaytest.Gateway
	d      a2a.Dialect
	key    string
	client *http.Client
}

func newCaller(t *testing.T, g *gatewaytest.Gateway, key string, d a2a.Dialect) *caller {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(d.Binding != a2a.GRPC)
	transport.Protocols.SetUnencryptedHTTP2(d.Binding == a2a.GRPC)
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{g: g, d: d, key: key, client: &http.Client{Transport: transport}}
}

// request makes the request of an operation about a message or a task.
func (c *caller) request(op, agent, subject string) (method, path, body string) {
	old := c.d.Version == a2a.V03
	sends := strings.HasPrefix(op, "Send")
	method = http.MethodPost
	switch {
	case c.d.Binding == a2a.GRPC:
		path = "/lf.a2a.v1.A2AService/" + op
		if old {
			path = "/a2a.v1.A2AService/" + strings.Replace(op, "SubscribeToTask", "TaskSubscription", 1)
		}
		var m proto.Message
		switch {
		case sends && old:
			m = &oldpb.SendMessageRequest{Request: &oldpb.Message{
				MessageId: subject, Role: oldpb.Role_ROLE_USER, Parts: []*oldpb.Part{{Part: &oldpb.Part_Text{Text: "hi"}}},
			}}
		case sends:
			m = &newpb.SendMessageRequest{Message: &newpb.Message{
				MessageId: subject, Role: newpb.Role_ROLE_USER, Parts: []*newpb.Part{{Content: &newpb.Part_Text{Text: "hi"}}},
			}}
		case old:
			m = &oldpb.GetTaskRequest{Name: "tasks/" + subject}
		default:
			m = &newpb.GetTaskRequest{Id: subject}
		}
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		body = string(grpcFrame(b))
	case c.d.Binding == a2a.REST:
		path = "/a2a/" + agent
		if old {
			path += "/v1"
		}
		switch op {
		case "SendMessage":
			path += "/message:send"
		case "SendStreamingMessage":
			path += "/message:stream"
		case "SubscribeToTask":
			path += "/tasks/" + subject + ":subscribe"
		default:
			method, path = http.MethodGet, path+"/tasks/"+subject
		}
		if sends {
			parts := "parts"
			if old {
				parts = "content"
			}
			body = fmt.Sprintf(`{"message":{"messageId":%q,"role":"ROLE_USER",%q:[{"text":"hi"}]}}`, subject, parts)
		}
	case old:
		path = "/a2a/" + agent
		params := gatewaytest.Message03(subject, "hi", "")
		if !sends {
			params = fmt.Sprintf(`{"id":%q}`, subject)
		}
		body = gatewaytest.Request(map[string]string{
			"SendMessage": "message/send", "SendStreamingMessage": "message/stream", "SubscribeToTask": "tasks/resubscribe", "GetTask": "tasks/get",
		}[op], params)
	default:
		path = "/a2a/" + agent
		params := gatewaytest.Message(subject, "hi", "")
		if !sends {
			params = fmt.Sprintf(`{"id":%q}`, subject)
		}
		body = gatewaytest.Request(op, params)
	}
	return method, path, body
}

// open makes a call and returns when its headers are there.
func (c *caller) open(ctx context.Context, op, agent, subject string, headers ...string) (*http.Response, error) {
	method, path, body := c.request(op, agent, subject)
	return c.post(ctx, method, path, agent, body, headers...)
}

func (c *caller) post(ctx context.Context, method, path, agent, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.g.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if c.d.Binding == a2a.GRPC {
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		req.Header.Set("X-Signalbox-Agent", agent)
	} else if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.client.Do(req)
}

// ending is how a stream ended, or a call that became none.
type ending struct {
	Reason string // of the error; "" when there was none
	Code   int    // of the error, where the dialect has codes
	Plain  bool   // it was answered without a stream, which gRPC does not tell
	HTTP   int
	GRPC   string // grpc-status
	Broken bool   // the connection broke
}

// incoming is a stream as it comes.
type incoming struct {
	t    *testing.T
	c    *caller
	resp *http.Response
	read *bufio.Reader
	// raws are the items as they came, without their frames and envelopes.
	raws [][]byte
	// tasks are the ids that the items named.
	tasks []string
	end   ending
	// text is the error as it stood on the wire.
	text string
}

// streamTimeout ends streams that should have ended.
const streamTimeout = 30 * time.Second

// stream opens a streaming call.
func (c *caller) stream(t *testing.T, op, agent, subject string, headers ...string) *incoming {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), streamTimeout)
	t.Cleanup(cancel)
	return c.streamIn(ctx, t, op, agent, subject, headers...)
}

func (c *caller) streamIn(ctx context.Context, t *testing.T, op, agent, subject string, headers ...string) *incoming {
	t.Helper()
	resp, err := c.open(ctx, op, agent, subject, headers...)
	if err != nil {
		t.Fatalf("%s of %s at %s: %v", op, c.d, agent, err)
	}
	return c.incoming(t, resp)
}

func (c *caller) incoming(t *testing.T, resp *http.Response) *incoming {
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &incoming{t: t, c: c, resp: resp, read: bufio.NewReaderSize(resp.Body, 1<<16)}
}

// next returns the next item; ok is false at the end, which is then in end.
func (in *incoming) next() (i item, ok bool) {
	in.t.Helper()
	raw, ok := in.nextRaw()
	if !ok {
		return item{}, false
	}
	in.raws = append(in.raws, raw)
	if in.c.d.Binding == a2a.GRPC {
		raw = fromProto(in.t, streamResponse(in.c.d.Version), raw)
	}
	i, task := readItem(in.t, in.c.d, raw)
	in.tasks = append(in.tasks, task)
	return i, true
}

// all returns all items.
func (in *incoming) all() []item {
	in.t.Helper()
	var items []item
	for {
		i, ok := in.next()
		if !ok {
			return items
		}
		items = append(items, i)
	}
}

func (in *incoming) nextRaw() ([]byte, bool) {
	in.end.HTTP = in.resp.StatusCode
	if in.c.d.Binding == a2a.GRPC {
		return in.nextMessage()
	}
	if !strings.HasPrefix(in.resp.Header.Get("Content-Type"), "text/event-stream") {
		body, err := io.ReadAll(in.read)
		in.end.Plain, in.end.Broken = true, err != nil
		in.fail(body)
		return nil, false
	}
	var data []byte
	event, named := "", false
	for {
		line, err := in.read.ReadString('\n')
		if err != nil {
			in.end.Broken = !errors.Is(err, io.EOF)
			if len(data) > 0 || line != "" {
				in.t.Errorf("the stream ends inside of an event: %.300q", line)
			}
			return nil, false
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" && len(data) > 0:
			if in.c.d.Binding == a2a.REST {
				if named && event == "error" {
					in.fail(data)
					return nil, false
				}
				return data, true
			}
			var envelope struct {
				ID     json.RawMessage
				Result json.RawMessage
				Error  json.RawMessage
			}
			if err := json.Unmarshal(data, &envelope); err != nil || string(envelope.ID) != "7" {
				in.t.Errorf("an event is no reply to the request: %v: %.300s", err, data)
			}
			if envelope.Error != nil {
				in.fail(data)
				return nil, false
			}
			return envelope.Result, true
		case strings.HasPrefix(line, "event: "):
			event, named = line[len("event: "):], true
		case strings.HasPrefix(line, "data:"):
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, strings.TrimPrefix(line[len("data:"):], " ")...)
		}
	}
}

func (in *incoming) nextMessage() ([]byte, bool) {
	if ct := in.resp.Header.Get("Content-Type"); ct != "application/grpc+proto" && ct != "application/grpc" {
		in.t.Errorf("content type %q is not gRPC's", ct)
	}
	var head [5]byte
	if _, err := io.ReadFull(in.read, head[:]); err != nil {
		in.end.Broken = !errors.Is(err, io.EOF)
		trailer := in.resp.Trailer
		if trailer.Get("Grpc-Status") == "" {
			trailer = in.resp.Header // the same to clients
		}
		in.end.GRPC, in.text = trailer.Get("Grpc-Status"), trailer.Get("Grpc-Message")
		if raw, err := base64.RawStdEncoding.DecodeString(trailer.Get("Grpc-Status-Details-Bin")); err == nil {
			var s statuspb.Status
			if err := proto.Unmarshal(raw, &s); err != nil {
				in.t.Errorf("the details of the status are none: %v", err)
			}
			for _, d := range s.GetDetails() {
				var info errdetails.ErrorInfo
				if d.UnmarshalTo(&info) == nil {
					in.end.Reason = info.GetReason()
				}
			}
		}
		return nil, false
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(in.read, message); err != nil || head[0] != 0 {
		in.t.Errorf("a message of the stream is broken: %v", err)
		in.end.Broken = true
		return nil, false
	}
	return message, true
}

// fail reads an error in the caller's dialect, and only in that.
func (in *incoming) fail(body []byte) {
	in.text = string(body)
	var e struct {
		JSONRPC string
		Error   *struct {
			Code    int
			Status  string
			Message string
			Data    json.RawMessage
			Details json.RawMessage
		}
		Code    int
		Message string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(body, &e); err != nil {
		in.t.Errorf("an error of HTTP %d is no JSON: %.300s", in.resp.StatusCode, body)
		return
	}
	data, code := e.Data, e.Code
	ok := false
	switch {
	case in.c.d.Binding == a2a.JSONRPC:
		if ok = e.JSONRPC == "2.0" && e.Error != nil && e.Error.Message != ""; ok {
			data, code = e.Error.Data, e.Error.Code
		}
	case in.c.d.Version == a2a.V03:
		ok = e.Error == nil && e.Code < 0 && e.Message != ""
	default:
		if ok = e.JSONRPC == "" && e.Error != nil && e.Error.Status != "" && e.Error.Message != ""; ok {
			data, code = e.Error.Details, 0
		}
	}
	if !ok {
		in.t.Errorf("this is no error of %s: %.400s", in.c.d, body)
	}
	in.end.Code = code
	if _, after, found := strings.Cut(string(data), `"reason":"`); found {
		in.end.Reason, _, _ = strings.Cut(after, `"`)
	}
}

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Paths of the agent that the benchmark itself calls, past any proxy.
const (
	pathCard    = "/.well-known/agent-card.json"
	pathParked  = "/bench/parked"
	pathRelease = "/bench/release"
)

const maxRequestBody = 16 << 20

// agent is the A2A agent behind every target. It answers as little work as
// the protocol allows: the benchmark measures proxies, not agents.
type agent struct {
	baseURL string
	bodies  sync.Pool // *[]byte, request bodies

	mu       sync.Mutex
	parked   int
	released chan struct{} // closed to end the streams parked so far
}

// newAgent returns an agent whose card names baseURL.
func newAgent(baseURL string) *agent {
	return &agent{
		baseURL:  baseURL,
		bodies:   sync.Pool{New: func() any { b := make([]byte, 0, 80<<10); return &b }},
		released: make(chan struct{}),
	}
}

func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathCard, a.card)
	mux.HandleFunc("GET "+pathParked, a.countParked)
	mux.HandleFunc("POST "+pathRelease, a.release)
	mux.HandleFunc("POST /{$}", a.call)
	return mux
}

func (a *agent) card(w http.ResponseWriter, _ *http.Request) {
	type object = map[string]any
	w.Header().Set("Content-Type", "application/json")
	// A caller that does not read its reply is no concern of the agent.
	_ = json.NewEncoder(w).Encode(object{
		"name":        "bench",
		"description": "Answers at once, to measure what stands before it.",
		"version":     "1.0.0",
		"supportedInterfaces": []object{{
			"url": a.baseURL + "/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0",
		}},
		"capabilities":       object{"streaming": true, "pushNotifications": false},
		"defaultInputModes":  []string{"text/plain"},
		"defaultOutputModes": []string{"text/plain"},
		"skills": []object{{
			"id": "echo", "name": "Echo", "description": "Sends back what it is sent.", "tags": []string{"benchmark"},
		}},
	})
}

func (a *agent) countParked(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = fmt.Fprint(w, a.parked) // the caller broke off
}

func (a *agent) release(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.released)
	a.released = make(chan struct{})
	w.WriteHeader(http.StatusNoContent)
}

// park counts a stream in and returns the channel that ends it.
func (a *agent) park() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parked++
	return a.released
}

func (a *agent) unpark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parked--
}

// call is what the agent reads of a JSON-RPC request; all are raw JSON
// strings less their quotes, but for the id.
type call struct {
	id, method, messageID, mode, text []byte
}

func (a *agent) call(w http.ResponseWriter, r *http.Request) {
	buf, ok := a.bodies.Get().(*[]byte)
	if !ok {
		panic("bench: the pool holds buffers only")
	}
	defer a.bodies.Put(buf)
	body, err := readRequest(r, (*buf)[:0])
	if err != nil {
		return // the caller broke off
	}
	*buf = body
	in, err := readCall(body)
	switch {
	case err != nil:
		writeError(w, "null", -32700, err.Error())
	case string(in.method) == methodSend:
		writeReply(w, in)
	case string(in.method) == methodStream:
		a.stream(r.Context(), w, in)
	default:
		writeError(w, string(in.id), -32601, "method not found")
	}
}

func readRequest(r *http.Request, buf []byte) ([]byte, error) {
	if r.ContentLength > maxRequestBody {
		return nil, fmt.Errorf("request of %d bytes", r.ContentLength)
	}
	if r.ContentLength >= 0 {
		buf = append(buf, make([]byte, r.ContentLength)...)
		_, err := io.ReadFull(r.Body, buf)
		return buf, err
	}
	b := bytes.NewBuffer(buf)
	_, err := b.ReadFrom(io.LimitReader(r.Body, maxRequestBody))
	return b.Bytes(), err
}

// readCall reads the load generator's own form without a parser and any other
// form with one.
func readCall(body []byte) (call, error) {
	if in, ok := readOwnForm(body); ok {
		return in, nil
	}
	var req struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Message struct {
				MessageID string `json:"messageId"`
				Metadata  struct {
					Bench string `json:"bench"`
				} `json:"metadata"`
				Parts []struct {
					Text json.RawMessage `json:"text"`
				} `json:"parts"`
			} `json:"message"`
		} `json:"params"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return call{}, fmt.Errorf("read request: %w", err)
	}
	msg := req.Params.Message
	if len(req.ID) == 0 {
		return call{}, errors.New("read request: no id")
	}
	messageID, err := json.Marshal(msg.MessageID)
	if err != nil {
		return call{}, fmt.Errorf("read message id: %w", err)
	}
	in := call{id: req.ID, method: []byte(req.Method), messageID: unquote(messageID), mode: []byte(msg.Metadata.Bench)}
	if len(msg.Parts) > 0 && bytes.HasPrefix(msg.Parts[0].Text, []byte{'"'}) {
		in.text = unquote(msg.Parts[0].Text)
	}
	return in, nil
}

func unquote(raw []byte) []byte { return raw[1 : len(raw)-1] }

func readOwnForm(body []byte) (call, bool) {
	var in call
	rest, ok := bytes.CutPrefix(body, []byte(partID))
	if !ok {
		return in, false
	}
	at := len(partID) - 1 // the id with its quotes
	if in.id, rest, ok = plainUntil(rest, partMethod); !ok {
		return in, false
	}
	in.id = body[at : at+len(in.id)+2]
	if in.method, rest, ok = plainUntil(rest, partMsgID); !ok {
		return in, false
	}
	if in.messageID, rest, ok = plainUntil(rest, partMode); !ok {
		return in, false
	}
	if in.mode, rest, ok = plainUntil(rest, partText); !ok {
		return in, false
	}
	in.text, rest, ok = plainUntil(rest, partEnd)
	return in, ok && len(rest) == 0
}

// plainUntil cuts b at next, which begins with a quote, if what stands before
// is a JSON string without escapes.
func plainUntil(b []byte, next string) (value, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '"')
	if end < 0 || bytes.IndexByte(b[:end], '\\') >= 0 {
		return nil, nil, false
	}
	rest, ok = bytes.CutPrefix(b[end:], []byte(next))
	return b[:end], rest, ok
}

// writeReply answers with a message as long as the request's.
func writeReply(w http.ResponseWriter, in call) {
	out := make([]byte, 0, len(in.text)+512)
	out = appendHead(out, in)
	out = append(out, `{"message":{"messageId":"r-`...)
	out = append(out, in.messageID...)
	out = append(out, `","contextId":"c-`...)
	out = append(out, in.messageID...)
	out = append(out, `","role":"ROLE_AGENT","parts":[{"text":"`...)
	out = append(out, in.text...)
	out = append(out, `"}]}}}`...)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = w.Write(out) // the caller broke off
}

func writeError(w http.ResponseWriter, id string, code int, message string) {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, id, code, text)
}

func appendHead(out []byte, in call) []byte {
	out = append(out, `{"jsonrpc":"2.0","id":`...)
	out = append(out, in.id...)
	return append(out, `,"result":`...)
}

// stream sends the events of a task: the task, pieces of an artifact, and the
// completed state. Each is flushed on its own, as agents do that have nothing
// more to say yet.
func (a *agent) stream(ctx context.Context, w http.ResponseWriter, in call) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx then passes events on as they come
	out := &eventWriter{ctl: http.NewResponseController(w), w: w, in: in}

	if string(in.mode) == modePark {
		released := a.park()
		defer a.unpark()
		out.task()
		select {
		case <-released:
			out.completed()
		case <-ctx.Done():
		}
		return
	}
	out.task()
	wait := func() bool { return ctx.Err() == nil }
	if string(in.mode) == modePace {
		ticker := time.NewTicker(eventPause)
		defer ticker.Stop()
		wait = func() bool {
			select {
			case <-ticker.C:
				return true
			case <-ctx.Done():
				return false
			}
		}
	}
	for i := 1; i < streamEvents-1; i++ {
		if !wait() {
			return
		}
		out.artifact(i)
	}
	if wait() {
		out.completed()
	}
}

// eventWriter writes the events of one stream. After an error it does nothing:
// the caller left.
type eventWriter struct {
	ctl *http.ResponseController
	w   io.Writer
	in  call
	buf []byte
	err error
}

func (e *eventWriter) task() {
	e.begin(`{"task":{"id":"t-`)
	e.add(e.in.messageID, `","contextId":"c-`)
	e.add(e.in.messageID, `","status":{"state":"TASK_STATE_WORKING"}}}`)
	e.flush()
}

func (e *eventWriter) artifact(n int) {
	e.begin(`{"artifactUpdate":{"taskId":"t-`)
	e.add(e.in.messageID, `","contextId":"c-`)
	e.add(e.in.messageID, `","artifact":{"artifactId":"a-1","parts":[{"text":"piece `)
	e.buf = strconv.AppendInt(e.buf, int64(n), 10)
	e.add(nil, ` of the answer, a few words long, "}]},"append":`)
	e.buf = strconv.AppendBool(e.buf, n > 1)
	e.add(nil, `}}`)
	e.flush()
}

func (e *eventWriter) completed() {
	e.begin(`{"statusUpdate":{"taskId":"t-`)
	e.add(e.in.messageID, `","contextId":"c-`)
	e.add(e.in.messageID, `","status":{"state":"TASK_STATE_COMPLETED"}}}`)
	e.flush()
}

func (e *eventWriter) begin(s string) {
	e.buf = append(e.buf[:0], "data: "...)
	e.buf = appendHead(e.buf, e.in)
	e.buf = append(e.buf, s...)
}

func (e *eventWriter) add(b []byte, s string) {
	e.buf = append(e.buf, b...)
	e.buf = append(e.buf, s...)
}

func (e *eventWriter) flush() {
	if e.err != nil {
		return
	}
	e.buf = append(e.buf, "}\n\n"...)
	if _, e.err = e.w.Write(e.buf); e.err == nil {
		e.err = e.ctl.Flush()
	}
}

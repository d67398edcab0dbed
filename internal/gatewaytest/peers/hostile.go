package peers

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// Behaviour is one way in which an upstream misbehaves or is merely unusual.
type Behaviour string

// The behaviours. Those of streams answer a call that is none properly.
const (
	Proper      Behaviour = "proper"        // what an agent should do
	HTML502     Behaviour = "html-502"      // an HTML page with status 502, as a proxy in front of it would
	HTML200     Behaviour = "html-200"      // an HTML page with status 200
	Truncated   Behaviour = "truncated"     // a JSON reply that ends in the middle, properly framed by HTTP
	Odd         Behaviour = "odd"           // OddReply: legal, and easily spoilt by decoding it
	WrongID     Behaviour = "wrong-id"      // the JSON-RPC id of another call
	Huge        Behaviour = "huge"          // a reply of more than 32 MiB
	Hang        Behaviour = "hang"          // no answer until the caller leaves
	Status201   Behaviour = "status-201"    // a proper reply with status 201
	Status500   Behaviour = "status-500"    // a JSON-RPC error with status 500 and TaskNotFound's code
	Empty       Behaviour = "empty"         // status 200 and nothing
	Redirect    Behaviour = "redirect"      // 307 to another host, see Hostile.Redirected
	CutStream   Behaviour = "cut-stream"    // a stream whose connection breaks after two events
	CutEvent    Behaviour = "cut-event"     // a stream whose connection breaks inside the second event
	BigEvent    Behaviour = "big-event"     // a stream whose second event has more than 8 MiB
	CRLF        Behaviour = "crlf"          // a stream with CRLF line ends
	MultiLine   Behaviour = "multi-line"    // a stream whose events have several data lines
	Pings       Behaviour = "pings"         // a stream with comments, event names, ids and retries between the events
	JSONStream  Behaviour = "json-stream"   // a JSON reply where a stream was due
	SlowHeaders Behaviour = "slow-headers"  // a stream whose headers come after the delay
	SlowFirst   Behaviour = "slow-first"    // a stream whose headers come at once and whose first event after the delay
	ErrorFirst  Behaviour = "error-first"   // a stream whose only event is a JSON-RPC error
	NoLastBlank Behaviour = "no-last-blank" // a stream whose last event lacks the blank line
	OddStream   Behaviour = "odd-stream"    // a stream of one event, OddReply
	Split       Behaviour = "split"         // a stream whose lines come in pieces
	Pretty      Behaviour = "pretty"        // a stream whose JSON is indented, a data line for each of its lines
	Megabyte    Behaviour = "megabyte"      // a stream whose second event has more than 1 MiB
	ErrorEvent  Behaviour = "error-event"   // a stream whose third event is an error, called so where the binding has names for events
	Trailing    Behaviour = "trailing"      // a stream that goes on after its end, with an event, a half one and what is none
	StatusFirst Behaviour = "status-first"  // a stream that begins with working, without a task before it
)

// Behaviours returns all of them.
func Behaviours() []Behaviour {
	return []Behaviour{
		Proper, HTML502, HTML200, Truncated, Odd, WrongID, Huge, Hang, Status201, Status500, Empty, Redirect,
		CutStream, CutEvent, BigEvent, CRLF, MultiLine, Pings, JSONStream, SlowHeaders, SlowFirst, ErrorFirst,
		NoLastBlank, OddStream, Split, Pretty, Megabyte, ErrorEvent, Trailing, StatusFirst,
	}
}

// ofStreams tells whether a behaviour is one of event streams.
func (b Behaviour) ofStreams() bool {
	return slices.Contains([]Behaviour{
		Proper, CutStream, CutEvent, BigEvent, CRLF, MultiLine, Pings, SlowHeaders, SlowFirst, ErrorFirst,
		NoLastBlank, OddStream, Split, Pretty, Megabyte, ErrorEvent, Trailing, StatusFirst,
	}, b)
}

// HostilePrefix before the name of a behaviour makes a message id that asks
// for it, whatever the path: "hostile-odd", "hostile-odd-17".
const HostilePrefix = "hostile-"

const (
	// HugeBytes is how much text the reply of Huge carries at least.
	HugeBytes = 33 << 20
	// BigEventBytes is how much text the event of BigEvent carries at least.
	BigEventBytes = 9 << 20
	// MegabyteBytes is how much text the event of Megabyte carries.
	MegabyteBytes = 1 << 20
	// maxHostileBody bounds what is kept of a request.
	maxHostileBody = 64 << 20
	// defaultDelay is longer than the gateway waits for an agent's headers.
	defaultDelay = 3 * time.Second
)

// OddResult is a result of protocol 1.0 with members that nobody knows, an
// integer that no float64 holds, odd numbers and escapes, characters that some
// encoders escape, and an order that no encoder chooses.
const OddResult = `{ "task" : {"zulu":{"n":9007199254740993,"d":1.50,"e":1E+2,"list":[ 1 ,2]},` +
	`"status":{"x-note":"<b>&amp;</b> ","state":"TASK_STATE_COMPLETED"},"contextId":"odd-context",` +
	`"artifacts":[{"parts":[{"text":"a<b>&c \u00e9 é","x-part":null}],"artifactId":"a1","x-artifact":false}],` +
	`"id":"odd-task","metadata":{"b":18446744073709551615,"a":-0,"":""}} }`

// oddResult03 is the same of protocol 0.3.
const oddResult03 = `{ "zulu":{"n":9007199254740993,"d":1.50,"e":1E+2,"list":[ 1 ,2]},` +
	`"status":{"x-note":"<b>&amp;</b> ","state":"completed"},"contextId":"odd-context","kind" : "task",` +
	`"artifacts":[{"parts":[{"text":"a<b>&c \u00e9 é","kind":"text","x-part":null}],"artifactId":"a1","x-artifact":false}],` +
	`"id":"odd-task","metadata":{"b":18446744073709551615,"a":-0,"":""} }`

// OddReply is the whole reply of Odd to a call with the id, given as JSON.
func OddReply(version, id string) string {
	result := OddResult
	if version == Version03 {
		result = oddResult03
	}
	return `{"x-server":[true , null],"result":` + result + `,"id":` + id + `,"jsonrpc":"2.0"}`
}

// HostileConfig says how a hostile upstream is.
type HostileConfig struct {
	// Version is the protocol of its card; "" means "1.0". Calls are answered
	// in their own.
	Version string
	// Binding is that of its card and its calls; none means JSON-RPC. One of gRPC is
	// started by [StartHostileGRPC].
	Binding wire.Binding
	// Delay is that of SlowHeaders and SlowFirst; 0 means 3 seconds.
	Delay time.Duration
}

// Call is a request that an upstream received.
type Call struct {
	Header http.Header
	Path   string
	Body   []byte
}

// Hostile is an upstream that misbehaves on request. It ends with the test.
type Hostile struct {
	// URL is its address. A call there behaves by its message id, or properly.
	URL string

	cfg   HostileConfig
	other string        // where Redirect points to
	stop  chan struct{} // closed at the end, for what hangs

	mu         sync.Mutex
	calls      []Call
	redirected []Call
}

// StartHostile starts an upstream. Each behaviour has a base address of its
// own, [Hostile.Base], with a card below it.
func StartHostile(t testing.TB, cfg HostileConfig) *Hostile {
	t.Helper()
	cfg.Version = cmp.Or(cfg.Version, Version10)
	cfg.Delay = cmp.Or(cfg.Delay, defaultDelay)
	h := &Hostile{cfg: cfg, stop: make(chan struct{})}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := h.read(r)
		h.mu.Lock()
		h.redirected = append(h.redirected, call.Call)
		h.mu.Unlock()
		writeJSON(w, http.StatusOK, call.reply(call.message("from another host")))
	}))
	srv := httptest.NewServer(http.HandlerFunc(h.serve))
	h.URL, h.other = srv.URL, other.URL
	t.Cleanup(func() {
		close(h.stop)
		for _, s := range []*httptest.Server{srv, other} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	return h
}

// Base returns the base address where every call behaves in one way.
func (h *Hostile) Base(b Behaviour) string { return h.URL + "/" + string(b) }

// Calls returns the calls received so far, those for cards aside.
func (h *Hostile) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// Redirected returns the calls that followed a redirect.
func (h *Hostile) Redirected() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.redirected)
}

func (h *Hostile) serve(w http.ResponseWriter, r *http.Request) {
	if base, ok := strings.CutSuffix(r.URL.Path, "/.well-known/agent-card.json"); ok {
		writeJSON(w, http.StatusOK, h.card(h.URL+base))
		return
	}
	call := h.read(r)
	h.mu.Lock()
	h.calls = append(h.calls, call.Call)
	h.mu.Unlock()

	name, _, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	b := Behaviour(name)
	if asked, ok := strings.CutPrefix(call.messageID, HostilePrefix); ok {
		b = longest(asked)
	}
	if !slices.Contains(Behaviours(), b) {
		b = Proper
	}
	if call.streams() && b.ofStreams() {
		h.stream(w, r, b, call)
		return
	}
	h.unary(w, r, b, call)
}

// longest returns the longest behaviour that a name begins with.
func longest(name string) Behaviour {
	var found Behaviour
	for _, b := range append(Behaviours(), grpcBehaviours()...) {
		if strings.HasPrefix(name, string(b)) && len(b) > len(found) {
			found = b
		}
	}
	return found
}

// read reads a call of the upstream's binding.
func (h *Hostile) read(r *http.Request) hostileCall {
	if h.cfg.Binding == wire.REST {
		return readRESTCall(r)
	}
	return readCall(r)
}

func (h *Hostile) card(url string) string {
	const common = `"name":"hostile","description":"Misbehaves.","version":"1.0.0",` +
		`"capabilities":{"streaming":true},"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],` +
		`"skills":[{"id":"s","name":"S","description":"d","tags":["test"]}]`
	binding := cmp.Or(h.cfg.Binding, wire.JSONRPC)
	if h.cfg.Version == Version03 {
		return fmt.Sprintf(`{"protocolVersion":"0.3.0","url":%q,"preferredTransport":%q,%s}`, url, binding, common)
	}
	return fmt.Sprintf(`{"supportedInterfaces":[{"url":%q,"protocolBinding":%q,"protocolVersion":"1.0"}],%s}`, url, binding, common)
}

// unary answers with one body.
func (h *Hostile) unary(w http.ResponseWriter, r *http.Request, b Behaviour, call hostileCall) {
	page := `<!doctype html><title>Bad gateway</title><p>10.0.0.7:9999 did not answer</p>`
	proper := call.reply(call.message("hello"))
	switch b {
	case HTML502, HTML200:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if b == HTML502 {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = io.WriteString(w, page)
	case Truncated:
		writeJSON(w, http.StatusOK, proper[:len(proper)/2])
	case Odd:
		writeJSON(w, http.StatusOK, call.oddReply())
	case WrongID:
		call.id = `"somebody-else"`
		writeJSON(w, http.StatusOK, call.reply(call.message("hello")))
	case Huge:
		writeJSON(w, http.StatusOK, call.reply(call.message(strings.Repeat("x", HugeBytes))))
	case Hang:
		h.pause(r, 0)
	case Status201:
		writeJSON(w, http.StatusCreated, proper)
	case Status500:
		writeJSON(w, http.StatusInternalServerError, call.failure())
	case Trailing:
		writeJSON(w, http.StatusOK, proper+"\n{}")
	case Empty:
		w.WriteHeader(http.StatusOK)
	case Redirect:
		http.Redirect(w, r, h.other+"/elsewhere", http.StatusTemporaryRedirect)
	default:
		writeJSON(w, http.StatusOK, proper)
	}
}

// pause waits for the time, 0 being for ever, and tells whether the call goes on.
func (h *Hostile) pause(r *http.Request, d time.Duration) bool {
	var fired <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		fired = timer.C
	}
	select {
	case <-fired:
		return true
	case <-r.Context().Done():
		return false
	case <-h.stop:
		return false
	}
}

// hostileCall is a JSON-RPC call, read with little patience.
type hostileCall struct {
	Call

	id        string // as JSON
	method    string
	messageID string
	// rest is set for calls of HTTP+JSON, which have no envelope, old for those of 0.3.
	rest, old bool
}

func readCall(r *http.Request) hostileCall {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxHostileBody))
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	call := hostileCall{Call: Call{Header: header, Path: r.URL.Path, Body: body}, id: "null"}
	var envelope struct {
		ID     json.RawMessage
		Method string
		Params struct{ Message struct{ MessageID string } }
	}
	// What cannot be read is answered like anything else.
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&envelope); err == nil {
		call.method, call.messageID = envelope.Method, envelope.Params.Message.MessageID
		if len(envelope.ID) > 0 {
			call.id = string(envelope.ID)
		}
	}
	return call
}

// version is the protocol of a call by the name of its method.
func (c hostileCall) version() string {
	if c.old || strings.Contains(c.method, "/") {
		return Version03
	}
	return Version10
}

func (c hostileCall) streams() bool {
	switch c.method {
	case "SendStreamingMessage", "SubscribeToTask", "message/stream", "tasks/resubscribe":
		return true
	default:
		return false
	}
}

// oddReply is the reply of Odd.
func (c hostileCall) oddReply() string {
	if c.rest {
		return OddResult
	}
	return OddReply(c.version(), c.id)
}

func (c hostileCall) reply(result string) string {
	if c.rest {
		return result
	}
	return `{"jsonrpc":"2.0","id":` + c.id + `,"result":` + result + `}`
}

func (c hostileCall) failure() string {
	if c.rest {
		return c.restFailure()
	}
	return `{"jsonrpc":"2.0","id":` + c.id + `,"error":{"code":-32001,"message":"no such task"}}`
}

// message is a result with a direct message.
func (c hostileCall) message(text string) string {
	if c.rest {
		return c.restMessage(text)
	}
	if c.version() == Version03 {
		return `{"kind":"message","messageId":"h1","role":"agent","parts":[{"kind":"text","text":"` + text + `"}]}`
	}
	return `{"message":{"messageId":"h1","role":"ROLE_AGENT","parts":[{"text":"` + text + `"}]}}`
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

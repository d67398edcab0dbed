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
)

// Behaviours returns all of them.
func Behaviours() []Behaviour {
	return []Behaviour{
		Proper, HTML502, HTML200, Truncated, Odd, WrongID, Huge, Hang, Status201, Status500, Empty, Redirect,
		CutStream, CutEvent, BigEvent, CRLF, MultiLine, Pings, JSONStream, SlowHeaders, SlowFirst, ErrorFirst,
		NoLastBlank, OddStream,
	}
}

// ofStreams tells whether a behaviour is one of event streams.
func (b Behaviour) ofStreams() bool {
	return slices.Contains([]Behaviour{
		Proper, CutStream, CutEvent, BigEvent, CRLF, MultiLine, Pings, SlowHeaders, SlowFirst, ErrorFirst,
		NoLastBlank, OddStream,
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
		call := readCall(r)
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
	call := readCall(r)
	h.mu.Lock()
	h.calls = append(h.calls, call.Call)
	h.mu.Unlock()

	b := Behaviour(strings.Trim(r.URL.Path, "/"))
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
	for _, b := range Behaviours() {
		if strings.HasPrefix(name, string(b)) && len(b) > len(found) {
			found = b
		}
	}
	return found
}

func (h *Hostile) card(url string) string {
	const common = `"name":"hostile","description":"Misbehaves.","version":"1.0.0",` +
		`"capabilities":{"streaming":true},"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],` +
		`"skills":[{"id":"s","name":"S","description":"d","tags":["test"]}]`
	if h.cfg.Version == Version03 {
		return fmt.Sprintf(`{"protocolVersion":"0.3.0","url":%q,"preferredTransport":"JSONRPC",%s}`, url, common)
	}
	return fmt.Sprintf(`{"supportedInterfaces":[{"url":%q,"protocolBinding":"JSONRPC","protocolVersion":"1.0"}],%s}`, url, common)
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
		writeJSON(w, http.StatusOK, OddReply(call.version(), call.id))
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
	if strings.Contains(c.method, "/") {
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

func (c hostileCall) reply(result string) string {
	return `{"jsonrpc":"2.0","id":` + c.id + `,"result":` + result + `}`
}

func (c hostileCall) failure() string {
	return `{"jsonrpc":"2.0","id":` + c.id + `,"error":{"code":-32001,"message":"no such task"}}`
}

// message is a result with a direct message.
func (c hostileCall) message(text string) string {
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

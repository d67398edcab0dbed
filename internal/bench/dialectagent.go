package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/grpc"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
	"github.com/signalbox-dev/signalbox/internal/wire/rest"
	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// dialectPath is what the paths of the agents of all dialects begin with.
const dialectPath = "/dialect/"

// isDialectPath tells whether one of the agents of all dialects is at a path.
func isDialectPath(path string) bool {
	if strings.HasPrefix(path, dialectPath) {
		return true
	}
	_, ok := grpc.Known(path)
	return ok
}

// DialectAgent is an agent to register at a gateway.
type DialectAgent struct {
	// ID names it at the gateway.
	ID string
	// URL is its address; its card is below it.
	URL string
	// Dialect is the only one that it speaks.
	Dialect a2a.Dialect
}

// DialectAgents returns the agents that a handler of [NewDialectAgents] is at
// baseURL, one of each dialect.
func DialectAgents(baseURL string) []DialectAgent {
	agents := make([]DialectAgent, len(a2a.Dialects))
	for i, d := range a2a.Dialects {
		agents[i] = DialectAgent{ID: "bench-" + slug(d), URL: baseURL + dialectPath + slug(d), Dialect: d}
	}
	return agents
}

// NewDialectAgents returns an agent of each dialect. They answer a send with a
// message and a streaming send with a task and its events, all of which was
// written before and differs in the ids alone. The server must speak HTTP/1.1
// and unencrypted HTTP/2.
func NewDialectAgents() (http.Handler, error) {
	all := &dialectAgents{bodies: sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}}
	for _, d := range a2a.Dialects {
		to := translate.FormOf(d)
		reply, err := translate.Result(a2a.SendMessage, translate.JSON10, to, []byte(cannedReply))
		if err != nil {
			return nil, fmt.Errorf("reply in %s: %w", to, err)
		}
		events, err := cannedEvents(to)
		if err != nil {
			return nil, err
		}
		a := &dialectAgent{dialect: d, pool: &all.bodies, reply: newForm(reply)}
		for _, e := range events {
			a.events = append(a.events, newForm(e))
		}
		all.agents = append(all.agents, a)
	}
	return all, nil
}

type dialectAgents struct {
	agents []*dialectAgent
	bodies sync.Pool // *[]byte
}

// ServeHTTP finds the agent: those of gRPC by their service, which differs with
// the version, the others by their path.
func (all *dialectAgents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if op, v, ok := grpc.Method(r.URL.Path); ok {
		for _, a := range all.agents {
			if a.dialect == (a2a.Dialect{Binding: a2a.GRPC, Version: v}) {
				a.call(w, r, op)
				return
			}
		}
	}
	path, _ := strings.CutPrefix(r.URL.Path, dialectPath)
	for _, a := range all.agents {
		below, ok := strings.CutPrefix(path, slug(a.dialect))
		switch {
		case !ok:
		case below == pathCard:
			a.card(w, "http://"+r.Host)
			return
		case strings.HasSuffix(below, ":stream"):
			a.call(w, r, a2a.SendStreamingMessage)
			return
		default:
			a.call(w, r, a2a.SendMessage)
			return
		}
	}
	http.NotFound(w, r)
}

// dialectAgent speaks one dialect.
type dialectAgent struct {
	dialect a2a.Dialect
	pool    *sync.Pool
	reply   form
	events  []form
}

func (a *dialectAgent) card(w http.ResponseWriter, base string) {
	type object = map[string]any
	url := base + dialectPath + slug(a.dialect)
	if a.dialect.Binding == a2a.GRPC {
		url = base
	}
	card := object{
		"name": "bench-" + slug(a.dialect), "description": "Answers at once, to measure what stands before it.", "version": "1.0.0",
		"capabilities":      object{"streaming": true, "pushNotifications": false},
		"defaultInputModes": []string{"text/plain"}, "defaultOutputModes": []string{"text/plain"},
		"skills": []object{{"id": "canned", "name": "Canned", "description": "Says what it always says.", "tags": []string{"benchmark"}}},
	}
	if a.dialect.Version == a2a.V03 {
		card["protocolVersion"], card["url"], card["preferredTransport"] = "0.3.0", url, a.dialect.Binding.String()
	} else {
		card["supportedInterfaces"] = []object{{"url": url, "protocolBinding": a.dialect.Binding.String(), "protocolVersion": "1.0"}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(card) // the caller broke off
}

// call answers a call of gRPC or HTTP+JSON, or one of JSON-RPC, whose body
// tells the operation.
func (a *dialectAgent) call(w http.ResponseWriter, r *http.Request, op a2a.Operation) {
	buf, ok := a.pool.Get().(*[]byte)
	if !ok {
		panic("bench: the pool holds buffers only")
	}
	defer a.pool.Put(buf)
	body, err := readRequest(r, (*buf)[:0])
	if err != nil {
		return // the caller broke off
	}
	*buf = body
	id := findCall(body)
	if id == nil {
		http.Error(w, "the request has no id of a call", http.StatusBadRequest)
		return
	}
	var envelope []byte
	if a.dialect.Binding == a2a.JSONRPC {
		req, fault := jsonrpc.ParseRequest(body)
		if fault != nil {
			http.Error(w, fault.Error(), http.StatusBadRequest)
			return
		}
		op, _, _ = a2a.LookupMethod(req.Method)
		envelope = req.ID
	}
	switch op {
	case a2a.SendMessage:
		a.answer(w, envelope, id)
	case a2a.SendStreamingMessage:
		a.stream(w, envelope, id)
	default:
		http.NotFound(w, r)
	}
}

// answer sends the canned message.
func (a *dialectAgent) answer(w http.ResponseWriter, envelope, id []byte) {
	payload := a.reply.appendTo(make([]byte, 0, 2<<10), id)
	var out []byte
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	switch a.dialect.Binding {
	case a2a.GRPC:
		h["Content-Type"] = []string{grpc.ContentType}
		out = grpc.AppendFrame(nil, payload)
		defer grpc.SetTrailers(h, nil, a.dialect.Version)
	case a2a.REST:
		out = rest.AppendReply(nil, a2a.SendMessage, payload)
	default:
		out = jsonrpc.AppendResult(nil, envelope, payload)
	}
	if a.dialect.Binding != a2a.GRPC {
		h["Content-Length"] = []string{strconv.Itoa(len(out))}
	}
	_, _ = w.Write(out) // the caller broke off
}

// stream sends the canned events, each flushed on its own.
func (a *dialectAgent) stream(w http.ResponseWriter, envelope, id []byte) {
	h := w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	if a.dialect.Binding == a2a.GRPC {
		h["Content-Type"] = []string{grpc.ContentType}
		defer grpc.SetTrailers(h, nil, a.dialect.Version)
	}
	flusher := http.NewResponseController(w)
	var payload, result, out []byte
	for _, e := range a.events {
		payload = e.appendTo(payload[:0], id)
		switch a.dialect.Binding {
		case a2a.GRPC:
			out = grpc.AppendFrame(out[:0], payload)
		case a2a.REST:
			out = sse.AppendEvent(out[:0], payload)
		default:
			result = jsonrpc.AppendResult(result[:0], envelope, payload)
			out = sse.AppendEvent(out[:0], result)
		}
		if _, err := w.Write(out); err != nil {
			return // the caller left
		}
		if flusher.Flush() != nil {
			return
		}
	}
}

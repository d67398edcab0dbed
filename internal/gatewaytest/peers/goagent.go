package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
)

// rpcPath is where the agents in this process answer.
const rpcPath = "/rpc"

// startGoAgent serves an executor in this process.
func startGoAgent(t testing.TB, k Kind, name string, executor a2asrv.AgentExecutor) *Agent {
	t.Helper()
	capabilities := a2a.AgentCapabilities{Streaming: true}
	handler := a2asrv.NewHandler(executor,
		a2asrv.WithCapabilityChecks(&capabilities), a2asrv.WithLogger(slog.New(slog.DiscardHandler)))

	mux := http.NewServeMux()
	keeper := &headerKeeper{}
	mux.HandleFunc("GET /__headers", keeper.serve)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		// Streams that nobody reads any more must not hold up the end.
		srv.CloseClientConnections()
		srv.Close()
	})

	face := a2a.NewAgentInterface(srv.URL+rpcPath, a2a.TransportProtocolJSONRPC)
	card := &a2a.AgentCard{
		Name:                name,
		Description:         "Echoes, streams and waits, as it is told.",
		Version:             "1.0.0",
		SupportedInterfaces: []*a2a.AgentInterface{face},
		Capabilities:        capabilities,
		DefaultInputModes:   []string{"text/plain"},
		DefaultOutputModes:  []string{"text/plain"},
		Skills:              []a2a.AgentSkill{{ID: "echo", Name: "Echo", Description: "Says it again.", Tags: []string{"test"}}},
	}
	rpc, cards := a2asrv.NewJSONRPCHandler(handler), a2asrv.NewStaticAgentCardHandler(card)
	if k.Version() == Version03 {
		face.ProtocolVersion = Version03
		rpc = a2av0.NewJSONRPCHandler(handler)
		cards = a2asrv.NewAgentCardHandler(a2av0.NewStaticAgentCardProducer(card))
	}
	mux.Handle("POST "+rpcPath, keeper.keep(rpc))
	mux.Handle("POST /{$}", keeper.keep(rpc)) // for who has the base address only
	mux.Handle(a2asrv.WellKnownAgentCardPath, cards)
	return &Agent{Kind: k, URL: srv.URL, Version: k.Version()}
}

// headerKeeper keeps the headers of the last call.
type headerKeeper struct {
	mu   sync.Mutex
	last http.Header
}

func (k *headerKeeper) keep(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Clone()
		header.Set("Host", r.Host)
		k.mu.Lock()
		k.last = header
		k.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (k *headerKeeper) serve(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	header := k.last
	k.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(header)
}

// textExecutor does what the text of the message says.
type textExecutor struct {
	// stop ends the tasks that wait to be cancelled when nobody did.
	stop <-chan struct{}
}

var _ a2asrv.AgentExecutor = textExecutor{}

// Execute answers a message.
func (e textExecutor) Execute(ctx context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	text := partsText(ec.Message.Parts)
	return func(yield func(a2a.Event, error) bool) {
		say := func(events ...a2a.Event) bool {
			for _, event := range events {
				if !yield(event, nil) {
					return false
				}
			}
			return true
		}
		status := func(state a2a.TaskState) a2a.Event { return a2a.NewStatusUpdateEvent(ec, state, nil) }
		note := func(state a2a.TaskState, text string) a2a.Event {
			return a2a.NewStatusUpdateEvent(ec, state, a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart(text)))
		}

		if text == "message" {
			say(a2a.NewMessage(a2a.MessageRoleAgent, a2a.NewTextPart("reply: message")))
			return
		}
		if ec.StoredTask == nil && !say(a2a.NewSubmittedTask(ec, ec.Message)) {
			return
		}
		if !say(status(a2a.TaskStateWorking)) {
			return
		}
		switch text {
		case "slow":
			select {
			case <-ctx.Done():
			case <-e.stop:
			}
		case "stream":
			say(append(chunks(ec, "one ", "two ", "three"), status(a2a.TaskStateCompleted))...)
		case "file":
			sent := ec.Message.Parts[1:]
			got := a2a.NewTextPart(fmt.Sprintf("got: %x", sent[0].Raw()))
			artifact := a2a.NewArtifactEvent(ec, append([]*a2a.Part{got}, sent...)...)
			artifact.LastChunk = true
			say(artifact, status(a2a.TaskStateCompleted))
		case "fail":
			say(note(a2a.TaskStateFailed, "failed as asked"))
		case "input":
			say(note(a2a.TaskStateInputRequired, "what next?"))
		default:
			say(append(chunks(ec, "echo: "+text), status(a2a.TaskStateCompleted))...)
		}
	}
}

// Cancel cancels a task.
func (textExecutor) Cancel(_ context.Context, ec *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateCanceled, nil), nil)
	}
}

// chunks makes one artifact of several events.
func chunks(ec *a2asrv.ExecutorContext, texts ...string) []a2a.Event {
	id := a2a.NewArtifactID()
	events := make([]a2a.Event, len(texts))
	for i, text := range texts {
		event := a2a.NewArtifactUpdateEvent(ec, id, a2a.NewTextPart(text))
		event.Append = i > 0
		event.LastChunk = i == len(texts)-1
		event.Artifact.Name = "answer"
		events[i] = event
	}
	return events
}

// partsText joins the texts of parts.
func partsText(parts a2a.ContentParts) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text())
	}
	return b.String()
}

package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	grpcv0 "github.com/a2aproject/a2a-go/v2/a2agrpc/v0"
	grpcv1 "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/a2aproject/a2a-go/v2/a2asrv/push"
	"google.golang.org/grpc"

	wire "github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// restPath is where the agents in this process answer HTTP+JSON.
const restPath = "/rest"

// DialectAgent is an agent of a2a-go in this process that speaks one dialect and
// nothing else. It answers by the prefix of the message id, see [Script].
type DialectAgent struct {
	// Dialect is what it speaks.
	Dialect wire.Dialect
	// URL is its base address. An agent of gRPC answers no plain HTTP there, so that
	// its card must be given when it is registered.
	URL string
	// Base is the address below which its card is: URL, or that of a server of its own.
	Base string
	// Card is its card, as JSON.
	Card []byte

	mu         sync.Mutex
	received   map[string]*a2a.Message
	held       map[a2a.TaskID]chan struct{}
	subscribed map[a2a.TaskID]chan struct{}
	headers    http.Header
}

// StartDialectAgent starts an agent of a dialect. It ends with the test.
func StartDialectAgent(t testing.TB, d wire.Dialect) *DialectAgent {
	t.Helper()
	a := &DialectAgent{
		Dialect: d, received: map[string]*a2a.Message{},
		held: map[a2a.TaskID]chan struct{}{}, subscribed: map[a2a.TaskID]chan struct{}{},
	}
	capabilities := a2a.AgentCapabilities{Streaming: true, PushNotifications: true, ExtendedAgentCard: true}
	extended := &a2a.AgentCard{}
	executor := matrixExecutor{agent: a, stop: t.Context().Done()}
	var handler a2asrv.RequestHandler = failingHandler{agent: a, RequestHandler: a2asrv.NewHandler(executor,
		a2asrv.WithCapabilityChecks(&capabilities), a2asrv.WithLogger(slog.New(slog.DiscardHandler)),
		a2asrv.WithPushNotifications(push.NewInMemoryStore(), silent{}),
		a2asrv.WithExtendedAgentCard(extended), a2asrv.WithCallInterceptors(everybody{}))}
	old := d.Version == wire.V03

	if d.Binding == wire.GRPC {
		srv := grpc.NewServer(grpc.ChainUnaryInterceptor(a.keepUnary), grpc.ChainStreamInterceptor(a.keepStream))
		if old {
			grpcv0.NewHandler(handler).RegisterWith(srv)
		} else {
			grpcv1.NewHandler(handler).RegisterWith(srv)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(listener) }()
		t.Cleanup(func() {
			srv.Stop()
			if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Errorf("serve gRPC: %v", err)
			}
		})
		a.URL = "http://" + listener.Addr().String()
		a.Card = dialectCard(d, listener.Addr().String())
		*extended = *extendedCard(d, listener.Addr().String())
		cards := httptest.NewServer(http.HandlerFunc(a.serveCard))
		t.Cleanup(cards.Close)
		a.Base = cards.URL
		return a
	}

	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		// Streams that nobody reads any more must not hold up the end.
		srv.CloseClientConnections()
		srv.Close()
	})
	a.URL, a.Base = srv.URL, srv.URL
	face := srv.URL + rpcPath
	if d.Binding == wire.REST {
		face = srv.URL + restPath
	}
	a.Card = dialectCard(d, face)
	*extended = *extendedCard(d, face)
	switch {
	case d.Binding == wire.REST && old:
		mux.Handle(restPath+"/", a.keep(http.StripPrefix(restPath, a2av0.NewRESTHandler(handler))))
	case d.Binding == wire.REST:
		mux.Handle(restPath+"/", a.keep(http.StripPrefix(restPath, a2asrv.NewRESTHandler(handler))))
	case old:
		mux.Handle("POST "+rpcPath, a.keep(a2av0.NewJSONRPCHandler(handler)))
	default:
		mux.Handle("POST "+rpcPath, a.keep(a2asrv.NewJSONRPCHandler(handler)))
	}
	mux.HandleFunc("GET "+a2asrv.WellKnownAgentCardPath, a.serveCard)
	return a
}

func (a *DialectAgent) serveCard(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.Card)
}

// Release lets a task go on that waits for it, and tells whether there was one.
func (a *DialectAgent) Release(taskID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	held, ok := a.held[a2a.TaskID(taskID)]
	if ok {
		delete(a.held, a2a.TaskID(taskID))
		close(held)
	}
	return ok
}

// Subscribed waits until somebody has joined a task that waits to be released.
func (a *DialectAgent) Subscribed(ctx context.Context, taskID string) error {
	a.mu.Lock()
	joined := a.subscribed[a2a.TaskID(taskID)]
	a.mu.Unlock()
	select {
	case <-joined:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nobody joined task %q: %w", taskID, ctx.Err())
	}
}

func (a *DialectAgent) subscribe(taskID a2a.TaskID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if joined, ok := a.subscribed[taskID]; ok {
		select {
		case <-joined:
		default:
			close(joined)
		}
	}
}

// Received returns the parts of a message that the agent received.
func (a *DialectAgent) Received(messageID string) []Part {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.received[messageID]; m != nil {
		return partsOf(m.Parts)
	}
	return nil
}

// Headers returns the headers or metadata of the last call.
func (a *DialectAgent) Headers() http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.headers.Clone()
}

func (a *DialectAgent) receive(m *a2a.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.received[m.ID] = m
}

// hold makes what a task waits for.
func (a *DialectAgent) hold(taskID a2a.TaskID) <-chan struct{} {
	held := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[taskID], a.subscribed[taskID] = held, make(chan struct{})
	return held
}

func (a *DialectAgent) keep(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.setHeaders(r.Header.Clone())
		next.ServeHTTP(w, r)
	})
}

func (a *DialectAgent) setHeaders(h http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.headers = h
}

func (a *DialectAgent) keepUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	a.setHeaders(metadataOf(ctx))
	return next(ctx, req)
}

func (a *DialectAgent) keepStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	a.setHeaders(metadataOf(stream.Context()))
	return next(srv, stream)
}

// everybody makes every caller the same authenticated user: the store of a2a-go
// lists nothing to others.
type everybody struct {
	a2asrv.PassthroughCallInterceptor
}

// Before names the user.
func (everybody) Before(ctx context.Context, call *a2asrv.CallContext, _ *a2asrv.Request) (context.Context, any, error) {
	call.User = &a2asrv.User{Name: "everybody", Authenticated: true}
	return ctx, nil, nil
}

// cardName is the name in the cards of a dialect's agent.
func cardName(d wire.Dialect) string {
	return "matrix-" + strings.NewReplacer("/", "-", "+", "-").Replace(strings.ToLower(d.String()))
}

// extendedSkill is what only the extended card has.
const extendedSkill = "secret"

// extendedCard is the extended card of a dialect's agent.
func extendedCard(d wire.Dialect, face string) *a2a.AgentCard {
	i := a2a.NewAgentInterface(face, a2a.TransportProtocol(d.Binding.String()))
	i.ProtocolVersion = a2a.ProtocolVersion(d.Version.String())
	return &a2a.AgentCard{
		Name: cardName(d), Description: "All there is.", Version: "1.0.0", SupportedInterfaces: []*a2a.AgentInterface{i},
		Capabilities:      a2a.AgentCapabilities{Streaming: true, PushNotifications: true, ExtendedAgentCard: true},
		DefaultInputModes: []string{"text/plain"}, DefaultOutputModes: []string{"text/plain"},
		Skills: []a2a.AgentSkill{
			{ID: "echo", Name: "Echo", Description: "Says it again.", Tags: []string{"test"}},
			{ID: extendedSkill, Name: "Secret", Description: "Not for everybody.", Tags: []string{"test"}},
		},
	}
}

// dialectCard is the public card of a dialect's agent.
func dialectCard(d wire.Dialect, face string) []byte {
	skill := map[string]any{"id": "echo", "name": "Echo", "description": "Says it again.", "tags": []string{"test"}}
	capabilities := map[string]any{"streaming": true, "pushNotifications": true}
	card := map[string]any{
		"name": cardName(d), "description": "Follows a script.", "version": "1.0.0", "capabilities": capabilities,
		"defaultInputModes": []string{"text/plain"}, "defaultOutputModes": []string{"text/plain"}, "skills": []any{skill},
	}
	if d.Version == wire.V03 {
		card["protocolVersion"], card["url"], card["preferredTransport"] = "0.3.0", face, d.Binding.String()
		card["additionalInterfaces"] = []any{map[string]any{"url": face, "transport": d.Binding.String()}}
		card["supportsAuthenticatedExtendedCard"] = true
	} else {
		card["supportedInterfaces"] = []any{map[string]any{"url": face, "protocolBinding": d.Binding.String(), "protocolVersion": "1.0"}}
		capabilities["extendedAgentCard"] = true
	}
	b, err := json.Marshal(card)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return b
}

// Part is a part of a message or artifact in no dialect.
type Part struct {
	// Text, Data (as JSON) and URL are what the part carries, or Bytes.
	Text, Data, URL string
	Bytes           []byte
	// Filename and MediaType are those of files.
	Filename, MediaType string
}

// partsOf reads parts. What only one of the versions has for texts and data is
// left out.
func partsOf(parts a2a.ContentParts) []Part {
	read := make([]Part, 0, len(parts))
	for _, p := range parts {
		var r Part
		switch c := p.Content.(type) {
		case a2a.Text:
			r.Text = string(c)
		case a2a.Raw:
			r.Bytes, r.Filename, r.MediaType = []byte(c), p.Filename, p.MediaType
		case a2a.URL:
			r.URL, r.Filename, r.MediaType = string(c), p.Filename, p.MediaType
		case a2a.Data:
			b, err := json.Marshal(c.Value)
			if err != nil {
				b = []byte(err.Error())
			}
			r.Data = string(b)
		}
		read = append(read, r)
	}
	return read
}

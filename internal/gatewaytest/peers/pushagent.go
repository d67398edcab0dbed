package peers

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/a2aproject/a2a-go/v2/a2asrv/push"
)

// PushAgent is an agent of a2a-go in this process that takes push configs and tells
// which it has. It sends no notifications.
type PushAgent struct {
	// URL is its base address.
	URL string

	store *push.InMemoryPushConfigStore

	mu      sync.Mutex
	away    bool
	mute    bool
	refused int
	deletes int
}

// StartPushAgent starts a PushAgent of kind [Go] or [Go03]. It ends with the test.
func StartPushAgent(t testing.TB, k Kind) *PushAgent {
	t.Helper()
	p := &PushAgent{store: push.NewInMemoryStore()}
	capabilities := a2a.AgentCapabilities{Streaming: true, PushNotifications: true}
	handler := a2asrv.NewHandler(textExecutor{stop: t.Context().Done()},
		a2asrv.WithCapabilityChecks(&capabilities), a2asrv.WithLogger(slog.New(slog.DiscardHandler)),
		a2asrv.WithPushNotifications(countedStore{p.store, p}, silent{}))
	mux := http.NewServeMux()
	srv := httptest.NewServer(p.unlessAway(mux))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	p.URL = srv.URL
	face := a2a.NewAgentInterface(srv.URL+rpcPath, a2a.TransportProtocolJSONRPC)
	card := &a2a.AgentCard{
		Name: "push-" + string(k), Description: "Takes push configs.", Version: "1.0.0",
		SupportedInterfaces: []*a2a.AgentInterface{face}, Capabilities: capabilities,
		DefaultInputModes: []string{"text/plain"}, DefaultOutputModes: []string{"text/plain"},
		Skills: []a2a.AgentSkill{{ID: "echo", Name: "Echo", Description: "Says it again.", Tags: []string{"test"}}},
	}
	rpc, cards := a2asrv.NewJSONRPCHandler(handler), a2asrv.NewStaticAgentCardHandler(card)
	if k.Version() == Version03 {
		face.ProtocolVersion = Version03
		rpc = a2av0.NewJSONRPCHandler(handler)
		cards = a2asrv.NewAgentCardHandler(a2av0.NewStaticAgentCardProducer(card))
	}
	mux.Handle("POST "+rpcPath, rpc)
	mux.Handle(a2asrv.WellKnownAgentCardPath, cards)
	return p
}

// Configs returns the ids of the configs of a task, in order.
func (p *PushAgent) Configs(t testing.TB, taskID string) []string {
	t.Helper()
	configs, err := p.store.List(t.Context(), a2a.TaskID(taskID))
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(configs))
	for i, c := range configs {
		ids[i] = c.ID
	}
	slices.Sort(ids)
	return ids
}

// SetAway makes the agent close every connection instead of answering, or answer again.
func (p *PushAgent) SetAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// SetMute makes the agent do what it is asked but close the connection instead of
// answering, or answer again.
func (p *PushAgent) SetMute(mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
}

// Refused returns how many calls came while the agent was away.
func (p *PushAgent) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// Deletes returns how many configs the agent was asked to delete.
func (p *PushAgent) Deletes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deletes
}

func (p *PushAgent) unlessAway(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		away, mute := p.away, p.mute
		if away {
			p.refused++
		}
		p.mu.Unlock()
		if mute {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		if away || mute {
			panic(http.ErrAbortHandler) // cuts the connection
		}
		next.ServeHTTP(w, r)
	})
}

// countedStore counts deletions.
type countedStore struct {
	push.ConfigStore
	of *PushAgent
}

// Delete deletes a config.
func (s countedStore) Delete(ctx context.Context, taskID a2a.TaskID, configID string) error {
	s.of.mu.Lock()
	s.of.deletes++
	s.of.mu.Unlock()
	return s.ConfigStore.Delete(ctx, taskID, configID)
}

// silent sends no notifications.
type silent struct{}

// SendPush does nothing.
func (silent) SendPush(context.Context, *a2a.PushConfig, a2a.Event) error { return nil }

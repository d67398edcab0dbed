package dataplane_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/task"
	"github.com/signalbox-dev/signalbox/internal/upstream"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// adminKey is the one key that a [rig] knows.
const adminKey = "secret"

// rig is a data plane alone, for what the whole gateway leaves no room for: limits that
// have no setting, a record that can be held up, an agent without a network. It has one
// agent, "echo", and no database.
type rig struct {
	proxy  *dataplane.Proxy
	record *noted
}

// newRig makes a rig whose agent speaks one dialect at an address. No address is a place
// that nobody calls.
func newRig(t *testing.T, d a2a.Dialect, address string, change ...func(*dataplane.Config)) *rig {
	t.Helper()
	if address == "" {
		address = "http://127.0.0.1:9"
	}
	agent := &registry.Agent{
		UID: uuid.New(), ID: "echo", Team: "demo", Visibility: registry.VisibilityPublic, State: registry.StateApproved, Push: registry.PushOff,
		Card: fmt.Appendf(nil, `{"name":"e","supportedInterfaces":[{"url":%q,"protocolBinding":%q,"protocolVersion":%q}]}`,
			address, d.Binding, d.Version),
		Endpoints: []registry.Endpoint{{URL: address, Weight: 1}},
	}
	follower, err := snapshot.NewFollower(t.Context(), snapshot.Config{Source: fixed{agent}})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := task.NewLedger(task.Config{Store: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := upstream.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	record := &noted{}
	cfg := dataplane.Config{
		Snapshots: follower, Tasks: ledger, Recorder: record, Upstream: upstream.NewTransport(guard, 64<<10), Push: anywhere{}, PageSeal: seal,
		Limits: dataplane.Limits{SnapshotAge: time.Hour},
	}
	for _, f := range change {
		f(&cfg)
	}
	proxy, err := dataplane.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{proxy: proxy, record: record}
}

// serve serves the rig on loopback. Only the address of what it returns can be used.
func (g *rig) serve(t *testing.T) *gatewaytest.Gateway {
	t.Helper()
	srv := httptest.NewUnstartedServer(g.proxy)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return &gatewaytest.Gateway{URL: srv.URL}
}

// open makes a call of JSON-RPC without a network, for tests in a bubble of package
// synctest: what has come is in the reply once everybody waits.
func (g *rig) open(t *testing.T, method, params string) (*httptest.ResponseRecorder, <-chan struct{}) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/a2a/echo", strings.NewReader(gatewaytest.Request(method, params)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+adminKey)
	reply, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		g.proxy.ServeHTTP(reply, req)
	}()
	return reply, done
}

// fixed is a configuration of one agent and the admin key.
type fixed struct{ agent *registry.Agent }

func (fixed) Revision(context.Context) (int64, error) { return 1, nil }

func (fixed) Since(context.Context, int64, string) (snapshot.Delta, error) {
	return snapshot.Delta{}, errors.New("nothing changes")
}

func (f fixed) All(context.Context) (snapshot.Delta, error) {
	return snapshot.Delta{
		Revision: 1, Admins: [][32]byte{identity.HashSecret(adminKey)},
		Agents: map[uuid.UUID]*registry.Agent{f.agent.UID: f.agent},
	}, nil
}

// noted is a record in memory.
type noted struct {
	mu      sync.Mutex
	log     []string
	closing audit.Closing   // the last one
	refused []audit.Opening // of refusals
	gate    <-chan struct{} // closings wait until it is closed; nil means they do not
}

func (n *noted) note(text string, change func()) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, text)
	change()
	return nil
}

// entries are what was recorded, in order.
func (n *noted) entries() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.log, ", ")
}

// refusals are what the calls that were refused were recorded with.
func (n *noted) refusals() []audit.Opening {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.refused)
}

// hold lets closings wait until the channel is closed.
func (n *noted) hold(gate <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gate = gate
}

func (n *noted) Open(*audit.Opening) error { return n.note("open", func() {}) }

func (n *noted) Close(c *audit.Closing) error {
	n.mu.Lock()
	gate := n.gate
	n.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return n.note("close "+string(c.Outcome), func() { n.closing = *c })
}

func (n *noted) Refuse(o *audit.Opening, _ *audit.Closing) error {
	return n.note("refuse", func() { n.refused = append(n.refused, *o) })
}

func (n *noted) RefuseUnauthenticated(*audit.Opening, *audit.Closing) error {
	return n.note("refuse unauthenticated", func() {})
}

func (n *noted) RecordAnonymous(*audit.Opening, *audit.Closing) error {
	return n.note("anonymous", func() {})
}

func (n *noted) Ready() error { return nil }

// nowhere is a place for bindings that nobody asks.
type nowhere struct{ task.Store }

func (nowhere) Write(context.Context, []task.Entry) ([]task.Entry, error) { return nil, nil }

// anywhere lets push addresses be anything.
type anywhere struct{}

func (anywhere) CheckPublic(context.Context, string, bool) error { return nil }

// scripted is an agent of JSON-RPC without a network, for tests in a bubble of package
// synctest: the bodies of its replies, by the method.
type scripted map[string]func(context.Context) (io.Reader, error)

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	var call struct{ Method string }
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		return nil, err
	}
	say, ok := s[call.Method]
	if !ok {
		return nil, fmt.Errorf("nobody calls %q here", call.Method)
	}
	body, err := say(r.Context())
	if err != nil {
		return nil, err
	}
	media := "application/json"
	if m := strings.ToLower(call.Method); strings.Contains(m, "stream") || strings.Contains(m, "subscribe") {
		media = "text/event-stream"
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(body)}, nil
}

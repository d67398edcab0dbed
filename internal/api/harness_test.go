package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1/policyv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/task/v1/taskv1connect"
	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/task"
	"github.com/signalbox-dev/signalbox/internal/upstream"
)

const adminSecret = "admin-admin-admin-admin-admin-admin"

// plane is a management plane on a database of its own, over real HTTP.
type plane struct {
	pool     *pgxpool.Pool
	store    *store.Store
	follower *snapshot.Follower
	registry *registry.Service
	ring     *seal.Ring
	identity *identity.Service
	policies *admin.Service
	tasks    *task.Ledger
	record   *record
	url      string
	http     *http.Client
	clock    *steppedClock
	log      *logBuffer
	draining chan struct{}
	drain    func()
}

// forbidden is what the address checker of tests says of hosts named "forbidden".
type addresses struct{}

func (addresses) CheckURL(_ context.Context, raw string) error {
	if strings.Contains(raw, "//forbidden") {
		return fmt.Errorf("%w: it is private; add its network to upstream.allowed_networks", registry.ErrAddressForbidden)
	}
	return nil
}

// steppedClock runs with the machine's and can be moved.
type steppedClock struct {
	mu    sync.Mutex
	moved time.Duration
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.moved)
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += d
}

var _ clock.Clock = (*steppedClock)(nil)

type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type option func(*api.Config)

func newPlane(t *testing.T, options ...option) *plane {
	t.Helper()
	p := &plane{
		pool: pgtest.New(t), clock: &steppedClock{}, log: &logBuffer{}, draining: make(chan struct{}),
	}
	p.drain = sync.OnceFunc(func() { close(p.draining) })
	p.record = newRecord(t, p.clock)
	p.store = store.New(p.pool)
	log := slog.New(slog.NewTextHandler(p.log, nil))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup

	wake := make(chan struct{}, 1)
	hash := identity.HashSecret(adminSecret)
	var err error
	p.follower, err = snapshot.NewFollower(ctx, snapshot.Config{Source: p.store, Wake: wake, AdminSecret: &hash, Logger: log})
	must(t, err)
	p.identity, err = identity.New(identity.Config{Store: p.store, Clock: p.clock, Logger: log})
	must(t, err)
	transport := &http.Transport{}
	p.ring = newRing(t)
	p.registry, err = registry.New(registry.Config{
		Store: p.store, Cards: &upstream.Cards{Transport: transport}, Addresses: addresses{}, Verifier: signatures{}, Seal: p.ring, Clock: p.clock,
		FetchTimeout: 500 * time.Millisecond, RetryMin: 20 * time.Millisecond, RetryMax: 50 * time.Millisecond, Logger: log,
	})
	must(t, err)
	p.tasks, err = task.NewLedger(task.Config{Store: store.NewOwnership(p.pool), Clock: p.clock, Logger: log})
	must(t, err)
	key, err := p.store.SharedSecret(ctx, "page-token")
	must(t, err)
	listener := store.NewListener(p.pool, log)
	for _, run := range []func(context.Context) error{
		p.follower.Run, p.identity.Run, p.tasks.Run,
		func(ctx context.Context) error { return listener.Listen(ctx, wake) },
	} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("background: %v", err)
			}
		})
	}
	p.policies, err = admin.New(admin.Config{
		Store: p.store, Decisions: store.NewEvents(p.pool), Snapshot: p.follower.Current, Sync: p.follower.Sync, Clock: p.clock, Logger: log,
	})
	must(t, err)
	cfg := api.Config{
		Policies: p.policies,
		Identity: p.identity, Registry: p.registry, Tasks: p.tasks, Events: noEvents{}, Snapshot: p.follower.Current, Syncer: p.follower, PageTokenKey: key,
		Recorder: p.record.recorder, Draining: p.draining, TailPoll: 10 * time.Millisecond, Clock: p.clock, Logger: log,
	}
	for _, o := range options {
		o(&cfg)
	}
	handler, err := api.New(cfg)
	must(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	p.url = server.URL
	p.http = &http.Client{Transport: &http.Transport{Protocols: h2c()}}
	t.Cleanup(func() {
		p.drain()
		p.http.CloseIdleConnections()
		transport.CloseIdleConnections()
		server.Close()
		cancel()
		running.Wait()
	})
	return p
}

func h2c() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clients are the services as one caller has them.
type clients struct {
	identityv1connect.IdentityServiceClient
	registryv1connect.RegistryServiceClient
	auditv1connect.AuditServiceClient
	taskv1connect.TaskServiceClient
	policyv1connect.PolicyServiceClient
}

// as returns clients that send a secret; an empty one sends none.
func (p *plane) as(secret string, options ...connect.ClientOption) clients {
	options = append(options, connect.WithInterceptors(bearer(secret)))
	return clients{
		identityv1connect.NewIdentityServiceClient(p.http, p.url, options...),
		registryv1connect.NewRegistryServiceClient(p.http, p.url, options...),
		auditv1connect.NewAuditServiceClient(p.http, p.url, options...),
		taskv1connect.NewTaskServiceClient(p.http, p.url, options...),
		policyv1connect.NewPolicyServiceClient(p.http, p.url, options...),
	}
}

func (p *plane) admin() clients { return p.as(adminSecret) }

// bearer sends a secret with every call.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if b != "" {
			req.Header().Set("Authorization", "Bearer "+string(b))
		}
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		if b != "" {
			conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		}
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// team makes a team and a key of it, and returns the key's name and secret.
func (p *plane) team(t *testing.T, id string) (key, secret string) {
	t.Helper()
	ctx := t.Context()
	_, err := p.admin().CreateTeam(ctx, &identityv1.CreateTeamRequest{TeamId: id})
	must(t, err)
	res, err := p.admin().CreateKey(ctx, &identityv1.CreateKeyRequest{Parent: "teams/" + id, KeyId: "laptop"})
	must(t, err)
	return res.GetKey().GetName(), res.GetSecret()
}

// issuer makes an issuer of tokens.
func (p *plane) issuer(t *testing.T, id string, edit ...func(*identityv1.Issuer)) *identityv1.Issuer {
	t.Helper()
	i := &identityv1.Issuer{Url: "https://" + id + ".example.com", Audiences: []string{"signalbox"}}
	for _, e := range edit {
		e(i)
	}
	i, err := p.admin().CreateIssuer(t.Context(), &identityv1.CreateIssuerRequest{IssuerId: id, Issuer: i})
	must(t, err)
	return i
}

// user makes a user of an issuer.
func (p *plane) user(t *testing.T, issuer, subject string) *identityv1.User {
	t.Helper()
	u, err := p.admin().CreateUser(t.Context(), &identityv1.CreateUserRequest{User: &identityv1.User{Issuer: "issuers/" + issuer, Subject: subject}})
	must(t, err)
	return u
}

const plainCard = `{"name":"Echo","description":"repeats","supportedInterfaces":[{"url":"http://127.0.0.1:9/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"skills":[{"id":"s","name":"s","description":"s","tags":["Say It","say it","x"]}]}`

// agent makes an agent with an inline card.
func (p *plane) agent(t *testing.T, team, id string, edit ...func(*registryv1.Agent)) *registryv1.Agent {
	t.Helper()
	a := &registryv1.Agent{
		Team: "teams/" + team, DisplayName: id, CardJson: []byte(plainCard),
		Endpoints: []*registryv1.Endpoint{{Url: "http://127.0.0.1:9/"}},
	}
	for _, e := range edit {
		e(a)
	}
	a, err := p.admin().CreateAgent(t.Context(), &registryv1.CreateAgentRequest{AgentId: id, Agent: a})
	must(t, err)
	return a
}

// refused fails unless err has a code and a reason.
func refused(t *testing.T, err error, code connect.Code, reason string) *errdetails.ErrorInfo {
	t.Helper()
	if connect.CodeOf(err) != code || err == nil {
		t.Errorf("error %v, want code %v", err, code)
	}
	info := infoOf(err)
	if info.GetReason() != reason || info.GetDomain() != "signalbox.dev" {
		t.Errorf("error %v has reason %q of %q, want %q of signalbox.dev", err, info.GetReason(), info.GetDomain(), reason)
	}
	return info
}

func infoOf(err error) *errdetails.ErrorInfo {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil
	}
	for _, d := range e.Details() {
		if v, err := d.Value(); err == nil {
			if info, ok := v.(*errdetails.ErrorInfo); ok {
				return info
			}
		}
	}
	return nil
}

// post sends a body as it is and returns the answer.
func (p *plane) post(t *testing.T, path, contentType, secret, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", contentType)
	return p.do(t, req, secret)
}

func (p *plane) do(t *testing.T, req *http.Request, secret string) (*http.Response, string) {
	t.Helper()
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res, string(text)
}

// noEvents is an empty ledger.
type noEvents struct{ audit.Events }

// eventually waits for a condition that another goroutine makes true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

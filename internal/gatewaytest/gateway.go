// Package gatewaytest runs a whole gateway in a test's own process: real Postgres,
// real HTTP on loopback, nothing replaced.
package gatewaytest

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	"github.com/signalbox-dev/signalbox/internal/app"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

// Gateway is a gateway that runs until its test ends.
type Gateway struct {
	URL      string
	AdminKey string
	DataDir  string
	// DSN is the database's address.
	DSN string

	Registry registryv1connect.RegistryServiceClient
	Identity identityv1connect.IdentityServiceClient
	Audit    auditv1connect.AuditServiceClient

	t    testing.TB
	stop func() error
}

// testKEK is the key-encryption key of every gateway in tests.
const testKEK = "c2lnbmFsYm94IHRlc3RzIHNoYXJlIHRoaXMga2V5ISE="

// Start runs a gateway over a database of its own. Changes are made to its
// configuration before it starts.
func Start(t testing.TB, change ...func(*config.Config)) *Gateway {
	t.Helper()
	return StartOver(t, pgtest.ConnString(t), t.TempDir(), change...)
}

// StartOver runs a gateway over a given database and data folder: a second replica,
// or the same one once more.
func StartOver(t testing.TB, dsn, dataDir string, change ...func(*config.Config)) *Gateway {
	t.Helper()
	cfg, err := config.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.DatabaseURL, cfg.DataDir = "127.0.0.1:0", config.Secret(dsn), dataDir
	cfg.DrainTimeout = 6 * time.Second
	// Replicas share their key-encryption key as they share their database.
	cfg.KEKVariable = config.Secret(testKEK)
	for _, c := range change {
		c(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	<-a.Ready()
	g := &Gateway{URL: a.URL(), AdminKey: a.AdminKey(), DataDir: dataDir, DSN: dsn, t: t}
	g.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("the gateway stopped with %v", err)
		}
	})
	if g.AdminKey != "" {
		g.Registry, g.Identity, g.Audit = g.Clients(g.AdminKey)
	}
	return g
}

// Stop ends the gateway as an interrupt would.
func (g *Gateway) Stop() {
	g.t.Helper()
	if err := g.stop(); err != nil {
		g.t.Errorf("the gateway stopped with %v", err)
	}
}

// Clients returns clients of the management plane that use a key.
func (g *Gateway) Clients(key string) (registryv1connect.RegistryServiceClient, identityv1connect.IdentityServiceClient, auditv1connect.AuditServiceClient) {
	client := &http.Client{Transport: bearer{key}}
	return registryv1connect.NewRegistryServiceClient(client, g.URL),
		identityv1connect.NewIdentityServiceClient(client, g.URL),
		auditv1connect.NewAuditServiceClient(client, g.URL)
}

type bearer struct{ key string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.key != "" {
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Team makes sure that there is a team and returns a new key of it.
func (g *Gateway) Team(id string) (secret string) {
	g.t.Helper()
	_, err := g.Identity.CreateTeam(g.t.Context(), &identityv1.CreateTeamRequest{TeamId: id, Team: &identityv1.Team{DisplayName: id}})
	if err != nil && connect.CodeOf(err) != connect.CodeAlreadyExists {
		g.t.Fatalf("create team %s: %v", id, err)
	}
	key, err := g.Identity.CreateKey(g.t.Context(), &identityv1.CreateKeyRequest{Parent: "teams/" + id})
	if err != nil {
		g.t.Fatalf("create a key of team %s: %v", id, err)
	}
	return key.GetSecret()
}

// Agent registers an agent of a team at a URL, visible to everybody unless a change
// says otherwise.
func (g *Gateway) Agent(id, team, url string, change ...func(*registryv1.Agent)) *registryv1.Agent {
	g.t.Helper()
	agent := &registryv1.Agent{
		Team: "teams/" + team, DisplayName: id, Visibility: registryv1.Visibility_VISIBILITY_ORGANIZATION,
		Endpoints: []*registryv1.Endpoint{{Url: url}},
	}
	for _, c := range change {
		c(agent)
	}
	made, err := g.Registry.CreateAgent(g.t.Context(), &registryv1.CreateAgentRequest{AgentId: id, Agent: agent})
	if err != nil {
		g.t.Fatalf("create agent %s: %v", id, err)
	}
	return made
}

// AgentURL is where an agent is called.
func (g *Gateway) AgentURL(id string) string { return g.URL + "/a2a/" + id }

// quiet is how long no further event must come for [Gateway.Events] to end.
const quiet = 300 * time.Millisecond

// Events returns the events that a filter lets pass, the oldest first: at least n of
// them, and those that come right after.
func (g *Gateway) Events(filter string, n int) []*auditv1.Event {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	tail, err := g.Audit.TailEvents(ctx, &auditv1.TailEventsRequest{Filter: filter, AfterSequence: new(int64)})
	if err != nil {
		g.t.Fatalf("tail events: %v", err)
	}
	defer func() { _ = tail.Close() }()
	came := make(chan *auditv1.Event)
	go func() {
		defer close(came)
		for tail.Receive() {
			if e := tail.Msg().GetEvent(); e != nil {
				select {
				case came <- e:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	var events []*auditv1.Event
	for {
		var silence <-chan time.Time
		if len(events) >= n {
			silence = time.After(quiet)
		}
		select {
		case e, ok := <-came:
			if !ok {
				g.t.Fatalf("%d events for %q, want %d; the tail ended with %v", len(events), filter, n, tail.Err())
			}
			events = append(events, e)
		case <-silence:
			return events
		}
	}
}

// SpoolDir is the folder of the gateway's local record.
func (g *Gateway) SpoolDir() string { return filepath.Join(g.DataDir, "spool") }

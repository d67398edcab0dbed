// Package demo runs three small A2A agents beside a gateway, so that a person who has
// just started one has something real to call. The agents are deterministic and use no
// model; everything else about them is as with any agent: they serve a card, stream,
// can be cancelled, and are registered through the management plane. The planner calls
// the researcher as any client would, by the gateway and with a key of its own.
//
// It is for demonstrations: tasks are kept in memory and are gone after a restart.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"

	"connectrpc.com/connect"

	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
)

// Team is the id of the team that owns the agents and their keys.
const Team = "demo"

// Ids of the agents.
const (
	agentEcho       = "echo"
	agentResearcher = "researcher"
	agentPlanner    = "planner"
)

// Ids of the keys, and the files in the data folder that hold their secrets.
const (
	userKeyID      = "demo"
	userKeyFile    = "demo.key"
	plannerKeyID   = "planner"
	plannerKeyFile = "planner.key"
)

// Options say which gateway the agents are for.
type Options struct {
	// GatewayURL is where agents are called. Required.
	GatewayURL string
	// ManagementURL is where the management plane is; empty means GatewayURL.
	ManagementURL string
	// AdminKey makes the team, the keys and the agents. Required.
	AdminKey string
	// DataDir is where the keys are kept. Required; it must exist.
	DataDir string
	// Logger gets a line for each thing that is made; nil discards.
	Logger *slog.Logger
}

// Demo is the running agents.
type Demo struct {
	key     string
	keyFile string
	agents  []*agentServer
	client  *http.Client // of the planner
}

// Start starts the agents and makes, as far as they are missing, the team, its keys
// and the registrations. What an earlier start made is used again; the agents' new
// addresses are written to the registry.
func Start(ctx context.Context, o Options) (_ *Demo, err error) {
	switch {
	case o.GatewayURL == "":
		return nil, errors.New("demo: Options.GatewayURL is required")
	case o.AdminKey == "":
		return nil, errors.New("demo: Options.AdminKey is required")
	case o.DataDir == "":
		return nil, errors.New("demo: Options.DataDir is required")
	}
	if o.ManagementURL == "" {
		o.ManagementURL = o.GatewayURL
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // as documented
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	p := &provisioner{
		url: o.ManagementURL, client: client, log: o.Logger,
		identity: identityv1connect.NewIdentityServiceClient(client, o.ManagementURL, withKey(o.AdminKey)),
		registry: registryv1connect.NewRegistryServiceClient(client, o.ManagementURL, withKey(o.AdminKey)),
	}
	if err := p.ensureTeam(ctx); err != nil {
		return nil, err
	}
	d := &Demo{keyFile: filepath.Join(o.DataDir, userKeyFile)}
	if d.key, err = p.ensureKey(ctx, userKeyID, "Demo", d.keyFile); err != nil {
		return nil, err
	}
	plannerKey, err := p.ensureKey(ctx, plannerKeyID, "Planner agent", filepath.Join(o.DataDir, plannerKeyFile))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	d.client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()} //nolint:forcetypeassert // as documented
	for _, spec := range agents(o.GatewayURL, plannerKey, d.client) {
		s, err := startAgent(ctx, spec, o.Logger)
		if err != nil {
			return nil, err
		}
		d.agents = append(d.agents, s)
		if err := p.ensureAgent(ctx, s); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Key returns the secret of the key that a user of the demonstration calls with.
func (d *Demo) Key() string { return d.key }

// KeyFile returns the file that holds the key.
func (d *Demo) KeyFile() string { return d.keyFile }

// Agents returns the ids of the agents.
func (d *Demo) Agents() []string {
	ids := make([]string, len(d.agents))
	for i, a := range d.agents {
		ids[i] = a.spec.id
	}
	return ids
}

// Close stops the agents and waits for them. Their registrations stay.
func (d *Demo) Close() error {
	var errs []error
	// The planner calls the researcher, so the last started stops first.
	for _, a := range slices.Backward(d.agents) {
		if err := a.close(); err != nil {
			errs = append(errs, fmt.Errorf("stop agent %s: %w", a.spec.id, err))
		}
	}
	if d.client != nil {
		d.client.CloseIdleConnections()
	}
	return errors.Join(errs...)
}

// withKey adds a key to each call.
func withKey(key string) connect.ClientOption {
	return connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set("Authorization", "Bearer "+key)
			return next(ctx, req)
		}
	}))
}

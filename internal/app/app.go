// Package app puts a gateway together and runs it. It is the one package that knows
// all others.
package app

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/cardsign"
	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/postgres"
	"github.com/signalbox-dev/signalbox/internal/push"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/seal"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/task"
	"github.com/signalbox-dev/signalbox/internal/telemetry"
	"github.com/signalbox-dev/signalbox/internal/tlscert"
	"github.com/signalbox-dev/signalbox/internal/token"
	"github.com/signalbox-dev/signalbox/internal/upstream"
)

// Version is the version of the gateway.
const Version = "0.1.0"

// settleTime is what of the drain time is kept for writing the record.
const settleTime = 5 * time.Second

// App is a gateway that is ready to run.
type App struct {
	cfg    *config.Config
	logger *slog.Logger
	ready  chan struct{}

	listeners []net.Listener
	servers   []*http.Server
	private   *postgres.Server // nil when a database is configured
	pool      *pgxpool.Pool
	// reads is for what readers of the management plane make slow, so that no call
	// waits behind it.
	reads     *pgxpool.Pool
	spool     *spool.Spool
	recorder  *audit.SpoolRecorder
	shipper   *audit.Shipper
	follower  *snapshot.Follower
	listener  *store.Listener // nil when changes are polled for alone
	wake      chan struct{}
	ledger    *task.Ledger
	parts     *store.Partitions
	people    *identity.Service
	catalogue *registry.Service
	proxy     *dataplane.Proxy
	revoker   *push.Revoker
	transport *upstream.Transport
	agents    *upstream.Agents
	keys      *signkey.Keys
	signer    *cardsign.Signer
	tokenKeys *signkey.Keys // of identity tokens for agents
	tokens    *token.Verifier
	callers   *authn.Authenticator
	// certificate is nil without TLS.
	certificate *tlscert.Reloader
	tracing     *telemetry.Tracing
	metrics     *prometheus.Registry
	fresh       freshConnections
	admin       identity.AdminKey
	// draining is closed when the gateway begins to stop.
	draining chan struct{}
}

// New opens the database and everything that rests on it. Run must follow, or Close.
func New(ctx context.Context, cfg *config.Config, logger *slog.Logger) (_ *App, err error) {
	a := &App{
		cfg: cfg, logger: logger, ready: make(chan struct{}), wake: make(chan struct{}, 1),
		metrics: prometheus.NewRegistry(), draining: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	for _, step := range []func(context.Context) error{
		a.listen, a.openDatabase, a.openRecord, a.openConfiguration, a.openDataPlane, a.openServers,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// certificatePoll is how soon new certificates are found: a few small files are read.
const certificatePoll = time.Second

// listen takes the addresses first, so that a second gateway on them fails at once.
func (a *App) listen(ctx context.Context) (err error) {
	if c := a.cfg.TLS; c.CertFile != "" || c.KeyFile != "" {
		if a.certificate, err = tlscert.New(ctx, tlscert.Config{
			CertFile: c.CertFile, KeyFile: c.KeyFile, ClientCAFile: c.ClientCA, ClientCRLFile: c.ClientCRL, RequireClient: c.RequireClient(),
			Poll: certificatePoll, Logger: a.logger,
		}); err != nil {
			return err
		}
	}
	for i, address := range []string{a.cfg.Listen, a.cfg.ManagementListen} {
		if address == "" {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("%s %s: %w", []string{"--listen", "--management-listen"}[i], address, err)
		}
		a.listeners = append(a.listeners, l)
	}
	return nil
}

func (a *App) openDatabase(ctx context.Context) (err error) {
	dsn := string(a.cfg.DatabaseURL)
	if dsn == "" {
		if a.private, err = startPrivate(ctx, a.cfg, a.logger); err != nil {
			return err
		}
		dsn = a.private.ConnString()
	}
	if err := migrate(ctx, dsn, a.logger); err != nil {
		return err
	}
	if a.pool, err = newPool(ctx, dsn, a.cfg.Database.MaxConnections); err != nil {
		return err
	}
	if a.reads, err = newPool(ctx, dsn, max(2, a.cfg.Database.MaxConnections/4)); err != nil {
		return err
	}
	if a.cfg.Database.Listen {
		a.listener = store.NewListener(a.pool, a.logger)
	}
	a.parts, err = store.NewPartitions(store.PartitionsConfig{Pool: a.pool, Logger: a.logger})
	if err != nil {
		return err
	}
	return a.parts.Ensure(ctx)
}

func (a *App) openRecord(ctx context.Context) (err error) {
	a.spool, err = spool.Open(spool.Config{
		Dir: filepath.Join(a.cfg.DataDir, "spool"), MaxBytes: a.cfg.Audit.SpoolBytes, Logger: a.logger,
	})
	if err != nil {
		return fmt.Errorf("open the local record: %w", err)
	}
	instruments, err := newRecordMetrics(a.metrics, a.spool)
	if err != nil {
		return err
	}
	a.recorder, err = audit.NewRecorder(audit.RecorderConfig{Spool: a.spool, Logger: a.logger, Metrics: instruments})
	if err != nil {
		return err
	}
	a.shipper, err = audit.NewShipper(audit.ShipperConfig{
		Spool: a.spool, Ledger: store.NewEvents(a.pool), Replica: uuid.UUID(a.spool.Replica()), Epoch: a.spool.Epoch(),
		ServedRevision:  func() int64 { return a.follower.Current().Revision() },
		RevisionChanged: func() <-chan struct{} { return a.follower.Changed() },
		Logger:          a.logger, Metrics: instruments,
	})
	if err != nil {
		return err
	}
	return a.shipper.Start(ctx)
}

func (a *App) openConfiguration(ctx context.Context) (err error) {
	s := store.New(a.pool)
	a.admin, err = identity.EnsureAdminKey(ctx, s, a.AdminKeyFile(), string(a.cfg.AdminKey), a.logger)
	if err != nil {
		return err
	}
	a.follower, err = snapshot.NewFollower(ctx, snapshot.Config{
		Source: s, Wake: a.wake, AdminSecret: a.admin.Given, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	a.ledger, err = task.NewLedger(task.Config{
		Store: store.NewOwnership(a.pool), Timeout: a.cfg.Admit.DatabaseTimeout, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	guard, err := upstream.NewGuard(a.cfg.AllowedNetworks, a.addresses())
	if err != nil {
		return err
	}
	a.transport = upstream.NewTransport(guard, int64(a.cfg.Limits.HeaderBytes))
	kek, err := seal.Open(ctx, seal.Config{
		Setting: string(a.cfg.KEK), Env: string(a.cfg.KEKVariable), DataDir: a.cfg.DataDir, Logger: a.logger,
	})
	if err != nil {
		return fmt.Errorf("open the key-encryption key: %w", err)
	}
	// Those for cards come first: a replica with another key-encryption key than the others
	// fails on them before it makes any keys of its own.
	if err := a.openKeys(ctx, s, kek); err != nil {
		return err
	}
	identities, err := a.openIdentities(ctx, s, kek)
	if err != nil {
		return err
	}
	a.agents, err = upstream.NewAgents(upstream.AgentsConfig{
		Transport: a.transport, Guard: guard, Seal: kek, Registered: registered{a.follower}, Identities: identities,
		MaxHeaderBytes: int64(a.cfg.Limits.HeaderBytes), ExchangeOrigins: a.cfg.Upstream.TokenExchangeOrigins,
	})
	if err != nil {
		return err
	}
	a.people, err = identity.New(identity.Config{Store: s, Logger: a.logger})
	if err != nil {
		return err
	}
	a.catalogue, err = registry.New(registry.Config{
		Store: s, Cards: &upstream.Cards{Transport: a.transport, Agents: a.agents}, Addresses: guard, Verifier: cardVerifier{}, Seal: kek, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	if err := a.catalogue.Reseal(ctx); err != nil {
		return fmt.Errorf("seal the credentials of agents again: %w", err)
	}
	if err := a.openCallers(); err != nil {
		return err
	}
	return nil
}

// registered gives the agents of the newest snapshot.
type registered struct{ *snapshot.Follower }

// AgentOf returns the agent of a uid.
func (r registered) AgentOf(uid uuid.UUID) (*registry.Agent, bool) {
	agent, ok := r.Current().AgentByUID(uid)
	if !ok {
		return nil, false
	}
	return agent.Agent, true
}

// openKeys reads the keys that cards are signed with, which kek seals.
func (a *App) openKeys(ctx context.Context, s *store.Store, kek *seal.Ring) (err error) {
	if a.keys, err = signkey.Open(ctx, signkey.Config{Purpose: cardsign.Keys(), Store: s, Seal: kek, Logger: a.logger}); err != nil {
		return fmt.Errorf("open the keys for agent cards: %w", err)
	}
	if a.cfg.PublicURL == "" {
		a.logger.LogAttrs(ctx, slog.LevelInfo, "public_url is not set: agent cards are signed only for callers that use an address of a listener")
	}
	a.signer, err = cardsign.NewSigner(cardsign.SignerConfig{Keys: a.keys})
	return err
}

// cardVerifier verifies cards for the registry.
type cardVerifier struct{}

var _ registry.CardVerifier = cardVerifier{}

// VerifyCard returns the key of a JWKS that a signature of the card verifies with.
func (cardVerifier) VerifyCard(card, keys []byte) (string, error) { return cardsign.Verify(card, keys) }

// CheckKeys returns an error that says why a JWKS cannot be used.
func (cardVerifier) CheckKeys(keys []byte) error { return cardsign.CheckJWKS(keys) }

// ownHosts are the authorities that the gateway certainly has: its listeners, and the
// names of loopback.
func (a *App) ownHosts() []string {
	var hosts []string
	for _, at := range a.addresses() {
		port := strconv.Itoa(int(at.Port()))
		hosts = append(hosts, at.String())
		if at.Addr().IsLoopback() || at.Addr().IsUnspecified() {
			for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
				hosts = append(hosts, net.JoinHostPort(name, port))
			}
		}
	}
	return hosts
}

// addresses are those that the gateway listens on, which it must never dial.
func (a *App) addresses() []netip.AddrPort {
	var own []netip.AddrPort
	for _, l := range a.listeners {
		if to, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
			own = append(own, to)
		}
	}
	return own
}

func (a *App) openDataPlane(ctx context.Context) (err error) {
	a.tracing, err = telemetry.NewTracing(ctx, a.cfg.Telemetry.OTLPEndpoint, a.cfg.Telemetry.OTLPProtocol, Version, a.logger)
	if err != nil {
		return err
	}
	pages, err := pageSeal(ctx, store.New(a.pool))
	if err != nil {
		return err
	}
	guard, err := upstream.NewGuard(a.cfg.AllowedNetworks, a.addresses())
	if err != nil {
		return err
	}
	instruments, err := dataplane.NewMetrics(a.metrics)
	if err != nil {
		return err
	}
	a.revoker, err = push.NewRevoker(push.RevokerConfig{
		Store: store.NewPush(a.pool), Agents: &upstream.PushConfigs{Transport: a.transport, Agents: a.agents},
		Snapshots: a.follower, Recorder: a.recorder, Logger: a.logger,
	})
	if err != nil {
		return err
	}
	maxAge := a.cfg.Snapshot.MaxAge
	if maxAge == 0 {
		maxAge = -1 // no end
	}
	a.proxy, err = dataplane.New(dataplane.Config{
		Snapshots: a.follower, Tasks: a.ledger, Recorder: a.recorder, Upstream: a.transport, Agents: a.agents, Push: guard,
		PushNotes: a.revoker,
		PageSeal:  pages, PublicURL: a.cfg.PublicURL, CardSigner: a.signer, OwnHosts: a.ownHosts(),
		AuthoritySuffix: a.cfg.A2A.GRPCAuthoritySuffix, RequireVersion: a.cfg.A2A.RequireVersion, PushLoopback: a.cfg.Testing.PushLoopback,
		Limits: dataplane.Limits{
			RequestBytes: a.cfg.Limits.RequestBytes, ReplyBytes: a.cfg.Limits.ReplyBytes, EventBytes: a.cfg.Limits.EventBytes,
			UnaryTimeout: a.cfg.Unary.Timeout, StreamIdle: a.cfg.Stream.Idle, OrphanTimeout: a.cfg.Stream.OrphanTimeout,
			HeaderDelay: a.cfg.Stream.HeaderDelay, KeepAlive: a.cfg.Stream.KeepAlive,
			BodyGrace: a.cfg.Limits.SlowBody, BodyRate: a.cfg.Limits.BodyRate, SnapshotAge: maxAge,
		},
		Callers: a.callers, Tracer: a.tracing.Tracer(), Metrics: instruments,
		MirrorStatus: a.cfg.MirrorStatus(), Logger: a.logger,
	})
	return err
}

// pageSeal seals page tokens with a key that all replicas share.
func pageSeal(ctx context.Context, s *store.Store) (cipher.AEAD, error) {
	key, err := s.SharedSecret(ctx, "dataplane-page-tokens")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make the page token cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

// Ready is closed when the gateway serves.
func (a *App) Ready() <-chan struct{} { return a.ready }

// URL is the gateway's own address, "http://host:port", or https with TLS.
func (a *App) URL() string { return a.scheme() + a.listeners[0].Addr().String() }

// ManagementURL is the address of the management plane, which is URL unless it has a
// listener of its own.
func (a *App) ManagementURL() string {
	return a.scheme() + a.listeners[len(a.listeners)-1].Addr().String()
}

func (a *App) scheme() string {
	if a.certificate != nil {
		return "https://"
	}
	return "http://"
}

// AdminKey is the admin key's secret; empty when this replica does not know it.
func (a *App) AdminKey() string { return a.admin.Secret }

// AdminKeyMade tells whether the admin key was made by this start.
func (a *App) AdminKeyMade() bool { return a.admin.Made }

// AdminKeyFile is where the admin key is kept unless the environment gives it.
func (a *App) AdminKeyFile() string { return filepath.Join(a.cfg.DataDir, "admin.key") }

// Run serves until ctx ends, then drains and stops everything. It returns nil after
// a regular stop.
func (a *App) Run(ctx context.Context) error {
	defer a.Close()
	giveHeapRoom()
	// What keeps the record goes on until the last call has ended.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	work, background := errgroup.WithContext(background)
	for _, run := range []func(context.Context) error{
		a.follower.Run, a.recorder.Run, a.shipper.Run, a.ledger.Run, a.parts.Run, a.people.Run, a.catalogue.Run,
		a.revoker.Run, a.keys.Run, a.tokenKeys.Run, a.agents.Run, a.proxy.Run, a.tokens.Run, a.followIssuers,
	} {
		work.Go(func() error { return run(background) })
	}
	if a.listener != nil {
		work.Go(func() error { return a.listener.Listen(background, a.wake) })
	}
	if a.certificate != nil {
		work.Go(func() error { return a.certificate.Run(background) })
	}
	serving := make(chan error, len(a.servers))
	for i, s := range a.servers {
		go func() { serving <- a.serve(s, a.listeners[i]) }()
	}
	close(a.ready)

	var failure error
	select {
	case <-ctx.Done():
	case <-background.Done():
		failure = errors.New("a part of the gateway stopped")
	case failure = <-serving:
	case <-a.privateDone():
		failure = fmt.Errorf("the private Postgres cannot be kept running: %w", a.private.Err())
	}
	a.logger.LogAttrs(ctx, slog.LevelInfo, "stopping", slog.Duration("drain_timeout", a.cfg.DrainTimeout))
	// One limit for the whole of the stop, of which the record keeps a part.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(a.cfg.DrainTimeout, settleTime))
	defer cancel()
	a.drain(stop)
	stopBackground()
	if err := work.Wait(); err != nil {
		failure = err
	}
	a.settle(stop)
	return failure
}

func (a *App) privateDone() <-chan struct{} {
	if a.private == nil {
		return nil
	}
	return a.private.Done()
}

// drain ends calls: it waits for those that are open, then cuts what is left.
func (a *App) drain(ctx context.Context) {
	close(a.draining)
	wait, cancel := context.WithTimeout(ctx, max(a.cfg.DrainTimeout-settleTime, 0))
	defer cancel()
	// Calls that are cut get their error over a connection that is still there.
	connections, cancelConnections := context.WithTimeout(ctx, max(a.cfg.DrainTimeout-settleTime, 0)+time.Second)
	defer cancelConnections()
	a.fresh.closeAll()
	var g errgroup.Group
	for _, s := range a.servers {
		g.Go(func() error {
			if err := s.Shutdown(connections); err != nil {
				return s.Close()
			}
			return nil
		})
	}
	a.proxy.Drain(wait)
	if err := g.Wait(); err != nil {
		a.logger.LogAttrs(ctx, slog.LevelWarn, "connections were cut", slog.Any("error", err))
	}
}

// settle brings what is recorded into the database. What cannot be brought there now
// is in the spool and will be at the next start.
func (a *App) settle(ctx context.Context) {
	a.people.Flush(ctx)
	if err := a.recorder.Flush(); err != nil {
		a.logger.LogAttrs(ctx, slog.LevelError, "the last refusals were not recorded", slog.Any("error", err))
	}
	if err := a.shipper.Drain(ctx); err != nil {
		a.logger.LogAttrs(ctx, slog.LevelWarn, "the last records wait in the spool for the next start", slog.Any("error", err))
	}
	if err := a.shipper.Leave(ctx); err != nil {
		a.logger.LogAttrs(ctx, slog.LevelWarn, "other replicas do not know that this one stops", slog.Any("error", err))
	}
	if err := a.tracing.Stop(ctx); err != nil {
		a.logger.LogAttrs(ctx, slog.LevelWarn, "the last spans were not sent", slog.Any("error", err))
	}
}

// Close lets go of everything. It may be called more than once.
func (a *App) Close() {
	for _, l := range a.listeners {
		_ = l.Close() // closed already after a regular stop
	}
	if a.agents != nil {
		a.agents.Close()
	}
	if a.transport != nil {
		a.transport.CloseIdleConnections()
	}
	stopped, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = a.tracing.Stop(stopped) // done already after a regular stop
	if a.spool != nil {
		if err := a.spool.Close(); err != nil {
			a.logger.LogAttrs(context.Background(), slog.LevelError, "the local record was not closed", slog.Any("error", err))
		}
		a.spool = nil
	}
	// A pool waits for statements that are under way, and a database that hangs does
	// not end them.
	closed := make(chan struct{})
	go func(pools ...*pgxpool.Pool) {
		defer close(closed)
		for _, p := range pools {
			if p != nil {
				p.Close()
			}
		}
	}(a.reads, a.pool)
	a.pool, a.reads = nil, nil
	select {
	case <-closed:
	case <-time.After(time.Second):
		a.logger.LogAttrs(context.Background(), slog.LevelWarn, "the database does not end its statements")
	}
	if a.private != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.private.Stop(ctx); err != nil {
			a.logger.LogAttrs(ctx, slog.LevelError, "the private Postgres was not stopped", slog.Any("error", err))
		}
		a.private = nil
	}
}

package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signalbox-dev/signalbox/internal/api"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/dataplane"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/rollout"
	"github.com/signalbox-dev/signalbox/internal/signkey"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/token"
)

// openServers puts the planes on their listeners: both on one, or the management
// plane, health and metrics on a second.
func (a *App) openServers(ctx context.Context) error {
	management, err := a.management(ctx)
	if err != nil {
		return err
	}
	management = boundBodies(management, a.cfg.Limits.SlowBody, a.cfg.Limits.BodyRate, clock.System{}.Now)
	if len(a.listeners) == 1 {
		a.servers = []*http.Server{a.server(a.route(management))}
		return nil
	}
	health := boundBodies(a.health(), a.cfg.Limits.SlowBody, a.cfg.Limits.BodyRate, clock.System{}.Now)
	a.servers = []*http.Server{a.server(a.route(health)), a.server(management)}
	return nil
}

func (a *App) server(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	var secure *tls.Config
	if a.certificate != nil {
		secure = a.certificate.TLS()
	}
	return &http.Server{
		Handler: h, Protocols: protocols, TLSConfig: secure,
		// No limit on the whole of a request or reply: streams have none.
		ReadHeaderTimeout: a.cfg.Limits.SlowHeader,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    a.cfg.Limits.HeaderBytes,
		// Streams may be silent for long, so HTTP/2 itself looks whether the caller is there.
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 1000, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ConnState: a.fresh.changed,
		ErrorLog:  slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug),
	}
}

// serve serves a listener until it is closed.
func (a *App) serve(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(a.certificate.Listen(l), "", "")
	}
	return s.Serve(l)
}

// route sends calls to the data plane and everything else to rest. It looks at the
// path itself: http.ServeMux would redirect what it finds untidy.
func (a *App) route(rest http.Handler) http.Handler {
	keys := signkey.Handler(a.keys, a.tokenKeys)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case dataplane.Serves(path):
			a.proxy.ServeHTTP(w, r)
		case strings.HasPrefix(path, token.MetadataPath):
			a.protectedResource(w, r)
		case path == dataplane.JWKSPath:
			keys.ServeHTTP(w, r)
		default:
			rest.ServeHTTP(w, r)
		}
	})
}

// health serves liveness and readiness.
func (a *App) health() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", a.readyz)
	return mux
}

// stale tells whether the configuration could not be confirmed for too long.
func (a *App) stale() bool {
	limit := a.cfg.Snapshot.MaxAge
	return limit > 0 && a.follower.Age() > limit
}

// readiness is what /readyz answers.
type readiness struct {
	Ready    bool     `json:"ready"`
	Revision int64    `json:"revision"`
	Problems []string `json:"problems,omitempty"`
}

func (a *App) readyz(w http.ResponseWriter, _ *http.Request) {
	state := readiness{Revision: a.follower.Current().Revision()}
	select {
	case <-a.draining:
		state.Problems = append(state.Problems, "the gateway is shutting down")
	default:
	}
	if a.stale() {
		state.Problems = append(state.Problems, "the configuration could not be confirmed for too long")
	}
	if err := a.recorder.Ready(); err != nil {
		state.Problems = append(state.Problems, err.Error())
	}
	state.Ready = len(state.Problems) == 0
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Signalbox-Revision", strconv.FormatInt(state.Revision, 10))
	if !state.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(state) // a prober that has gone needs no answer
}

// management serves health, metrics and the management plane.
func (a *App) management(ctx context.Context) (http.Handler, error) {
	key, err := store.New(a.pool).SharedSecret(ctx, "management-page-tokens")
	if err != nil {
		return nil, err
	}
	replicas, err := rollout.New(rollout.Config{Store: store.New(a.pool), ServesFor: a.cfg.Snapshot.MaxAge})
	if err != nil {
		return nil, err
	}
	policies, err := admin.New(admin.Config{
		Store: store.New(a.pool), Decisions: store.NewEvents(a.reads), Snapshot: a.follower.Current, Sync: a.follower.Sync, Logger: a.logger,
	})
	if err != nil {
		return nil, err
	}
	services, err := api.New(api.Config{
		Policies: policies,
		Rollout:  replicas,
		Identity: a.people, Registry: a.catalogue, Tasks: a.ledger, Events: store.NewEvents(a.reads), Recorder: a.recorder,
		Callers:  a.callers,
		Snapshot: a.follower.Current, Syncer: a.follower, PageTokenKey: key, Draining: a.draining,
		Stale:     a.stale,
		PublicURL: a.cfg.PublicURL, GRPCAuthoritySuffix: a.cfg.A2A.GRPCAuthoritySuffix, TracerProvider: a.tracing.Provider(), Logger: a.logger,
	})
	if err != nil {
		return nil, err
	}
	mux := a.health()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	mux.Handle("/", services)
	return mux, nil
}

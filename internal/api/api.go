// Package api is the management plane: the services of Signalbox over Connect, gRPC
// and gRPC-Web on the same paths. Handlers read a request, ask the decision point,
// call the domain, and write the answer; they hold no rules of their own.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"connectrpc.com/otelconnect"
	"connectrpc.com/validate"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1/auditv1connect"
	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1/identityv1connect"
	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1/policyv1connect"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1/registryv1connect"
	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
	"github.com/signalbox-dev/signalbox/gen/signalbox/task/v1/taskv1connect"
	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/policy/admin"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/rollout"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// Defaults of a Config.
const (
	// DefaultMaxRequest holds a card of 1 MiB in base64, and what stands around it.
	DefaultMaxRequest = 2 << 20
	// DefaultTimeout bounds unary calls: a search for a card takes 3 s at most, the
	// rest is the database's.
	DefaultTimeout = 10 * time.Second
)

// syncTimeout bounds how long a write waits until this replica serves it, and the
// others when it can take rights away.
const syncTimeout = time.Second

// decisionEntries is how many decisions of this plane are remembered.
const decisionEntries = 1 << 13

// minTokenKey is the number of bytes that the key of page tokens needs.
const minTokenKey = 32

// Syncer waits until this replica serves a configuration revision.
type Syncer interface {
	// Sync returns nil as soon as the revision, or a later one, is served, and an
	// error when ctx ends before.
	Sync(ctx context.Context, revision int64) error
}

// Config says what the management plane is made of.
type Config struct {
	// Identity, Registry, Tasks, Events, Policies, Recorder, Snapshot and Syncer are required.
	Identity *identity.Service
	Registry *registry.Service
	Tasks    Tasks
	Events   audit.Events
	Policies *admin.Service
	// Recorder keeps the record of every call, refused ones too.
	Recorder audit.Recorder
	// Snapshot returns the configuration that this replica serves from; credentials
	// are looked up in it.
	Snapshot func() *snapshot.Snapshot
	Syncer   Syncer
	// Callers tells who calls; nil knows keys and certificates alone.
	Callers *authn.Authenticator
	// Rollout asks the replicas whether they serve a change; nil means that answers do not
	// say.
	Rollout *rollout.Watch
	// Stale tells that the database could not confirm the snapshot for too long, so
	// that its keys may have been revoked; calls are then refused. nil means never.
	Stale func() bool
	// PublicURL is where callers of agents reach the gateway; empty when it is not known,
	// and then the addresses of agents are shown as paths.
	PublicURL string
	// GRPCAuthoritySuffix follows an agent's name in authorities of gRPC; empty means that
	// they name no agent.
	GRPCAuthoritySuffix string
	// PageTokenKey seals page tokens; required, 32 bytes at least, the same on every replica.
	PageTokenKey []byte
	// Draining, when it is closed, ends tails and makes health answer NOT_SERVING;
	// nil means never.
	Draining <-chan struct{}
	// MaxRequest bounds a request message in bytes; 0 means DefaultMaxRequest.
	MaxRequest int
	// Timeout bounds unary calls; 0 means DefaultTimeout.
	Timeout time.Duration
	// TailPoll is the time between two looks of a tail; 0 means what package audit takes.
	TailPoll time.Duration
	// TailSilence is the silence of a tail after which it sends a response without an
	// event; 0 means what package audit takes.
	TailSilence time.Duration
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// TracerProvider, MeterProvider and Propagator are those of OpenTelemetry; nil
	// means the global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	Propagator     propagation.TextMapPropagator
	// Logger gets one line for each call, and causes that callers are not told; nil discards.
	Logger *slog.Logger
}

// api is what the handlers of all services share.
type api struct {
	identity *identity.Service
	registry *registry.Service
	tasks    Tasks
	events   audit.Events
	policies *admin.Service
	syncer   Syncer
	rollout  *rollout.Watch // may be nil
	snapshot func() *snapshot.Snapshot
	// decisions remembers decisions of this plane.
	decisions *policy.Cache
	public    publicAddress
	tokens    pageTokens
	draining  <-chan struct{}
	clock     clock.Clock
	log       *slog.Logger
	// tails looks for new events on behalf of all tails.
	tails       *audit.Watcher
	tailSilence time.Duration // 0 means what package audit takes
}

// validate names every fault of a configuration at once.
func (cfg *Config) validate() error {
	var errs []error
	required := func(ok bool, field string) {
		if !ok {
			errs = append(errs, fmt.Errorf("api: Config.%s is required", field))
		}
	}
	required(cfg.Identity != nil, "Identity")
	required(cfg.Registry != nil, "Registry")
	required(cfg.Tasks != nil, "Tasks")
	required(cfg.Events != nil, "Events")
	required(cfg.Policies != nil, "Policies")
	required(cfg.Recorder != nil, "Recorder")
	required(cfg.Snapshot != nil, "Snapshot")
	required(cfg.Syncer != nil, "Syncer")
	if len(cfg.PageTokenKey) < minTokenKey {
		errs = append(errs, fmt.Errorf("api: Config.PageTokenKey has %d bytes; it needs at least %d", len(cfg.PageTokenKey), minTokenKey))
	}
	return errors.Join(errs...)
}

// New returns the handler of the management plane. It serves the paths for which
// [Handles] is true.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Callers == nil {
		cfg.Callers = authn.New(authn.Config{KeyUsed: cfg.Identity.RecordUse})
	}
	if cfg.MaxRequest == 0 {
		cfg.MaxRequest = DefaultMaxRequest
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	a := &api{
		identity: cfg.Identity, registry: cfg.Registry, tasks: cfg.Tasks, events: cfg.Events, policies: cfg.Policies, syncer: cfg.Syncer, rollout: cfg.Rollout, snapshot: cfg.Snapshot, decisions: policy.NewCache(decisionEntries),
		public: newPublicAddress(cfg.PublicURL, cfg.GRPCAuthoritySuffix), tokens: pageTokens{key: cfg.PageTokenKey}, draining: cfg.Draining, clock: cfg.Clock, log: cfg.Logger,
		tailSilence: cfg.TailSilence, tails: audit.NewWatcher(cfg.Events, cfg.TailPoll),
	}
	telemetry, err := otelconnect.NewInterceptor(telemetryOptions(cfg)...)
	if err != nil {
		return nil, fmt.Errorf("api: telemetry: %w", err)
	}
	open := connect.WithHandlerOptions(
		connect.WithInterceptors(
			telemetry,
			&interceptor.Outer{Timeout: cfg.Timeout, Convert: a.toConnect, Logger: cfg.Logger},
			validate.NewInterceptor(),
		),
		connect.WithReadMaxBytes(cfg.MaxRequest),
		withStrictJSON(),
	)
	closed := connect.WithHandlerOptions(open, connect.WithRequestGate(interceptor.Gate{
		Callers: cfg.Callers, Current: cfg.Snapshot, Stale: cfg.Stale, Clock: cfg.Clock, PublicURL: strings.TrimRight(cfg.PublicURL, "/"),
	}.Request()))
	// Only agents bring cards, and adoptions many ids; all else is little.
	small := connect.WithHandlerOptions(closed, connect.WithReadMaxBytes(min(cfg.MaxRequest, smallRequest)))
	revision := func() int64 { return cfg.Snapshot().Revision() }
	f := &front{
		meter:    newMeter(cfg.MaxRequest, cfg.Timeout),
		services: map[string]service{},
		errors:   connect.NewErrorWriter(closed),
		revision: revision,
		record:   interceptor.RecordConfig{Recorder: cfg.Recorder, Clock: cfg.Clock, Logger: cfg.Logger},
		clock:    cfg.Clock,
		log:      cfg.Logger,
	}
	f.add(registryv1.File_signalbox_registry_v1_registry_service_proto)(registryv1connect.NewRegistryServiceHandler(registryHandler{a}, closed))
	f.add(identityv1.File_signalbox_identity_v1_identity_service_proto)(identityv1connect.NewIdentityServiceHandler(identityHandler{a}, small))
	f.add(auditv1.File_signalbox_audit_v1_audit_service_proto)(auditv1connect.NewAuditServiceHandler(auditHandler{a}, small))
	f.add(taskv1.File_signalbox_task_v1_task_service_proto)(taskv1connect.NewTaskServiceHandler(taskHandler{a}, closed))
	f.add(policyv1.File_signalbox_policy_v1_policy_service_proto)(policyv1connect.NewPolicyServiceHandler(policyHandler{a}, closed))
	names := []string{
		registryv1connect.RegistryServiceName, identityv1connect.IdentityServiceName, auditv1connect.AuditServiceName,
		taskv1connect.TaskServiceName, policyv1connect.PolicyServiceName,
	}
	reflector := grpcreflect.NewStaticReflector(append(names, grpchealth.HealthV1ServiceName)...)
	f.addNamed("ServerReflectionInfo")(grpcreflect.NewHandlerV1(reflector, small))
	f.addNamed("ServerReflectionInfo")(grpcreflect.NewHandlerV1Alpha(reflector, small))
	f.addHealth(grpchealth.NewHandler(health{names: names, draining: cfg.Draining}, open,
		connect.WithReadMaxBytes(min(cfg.MaxRequest, smallRequest))))
	return f, nil
}

// telemetryOptions continues the caller's trace.
func telemetryOptions(cfg Config) []otelconnect.Option {
	options := []otelconnect.Option{otelconnect.WithTrustRemote()}
	if cfg.TracerProvider != nil {
		options = append(options, otelconnect.WithTracerProvider(cfg.TracerProvider))
	}
	if cfg.MeterProvider != nil {
		options = append(options, otelconnect.WithMeterProvider(cfg.MeterProvider))
	}
	if cfg.Propagator != nil {
		options = append(options, otelconnect.WithPropagator(cfg.Propagator))
	}
	return options
}

// Handles tells whether a path belongs to the management plane.
func Handles(path string) bool {
	return strings.HasPrefix(path, "/signalbox.") || strings.HasPrefix(path, "/grpc.health.v1.") ||
		strings.HasPrefix(path, "/grpc.reflection.")
}

// add returns a function that adds the handler of a file's one service.
func (f *front) add(file protoreflect.FileDescriptor) func(path string, h http.Handler) {
	return func(path string, h http.Handler) {
		methods := map[string]methodKind{}
		list := file.Services().Get(0).Methods()
		for i := range list.Len() {
			m := list.Get(i)
			options, ok := m.Options().(*descriptorpb.MethodOptions)
			methods[string(m.Name())] = methodKind{
				streams: m.IsStreamingServer(),
				get:     ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS,
				large: file == registryv1.File_signalbox_registry_v1_registry_service_proto ||
					file == taskv1.File_signalbox_task_v1_task_service_proto ||
					file == policyv1.File_signalbox_policy_v1_policy_service_proto,
			}
		}
		f.services[path] = service{handler: h, methods: methods}
	}
}

// addNamed returns a function that adds a service with one streaming method.
func (f *front) addNamed(method string) func(path string, h http.Handler) {
	return func(path string, h http.Handler) {
		f.services[path] = service{handler: h, methods: map[string]methodKind{method: {streams: true}}}
	}
}

func (f *front) addHealth(path string, h http.Handler) {
	f.services[path] = service{handler: h, methods: map[string]methodKind{"Check": {}, "Watch": {streams: true}}}
}

// health says whether this replica wants calls.
type health struct {
	names    []string
	draining <-chan struct{}
}

// Check implements [grpchealth.Checker].
func (h health) Check(_ context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	known := req.Service == ""
	for _, name := range h.names {
		known = known || name == req.Service
	}
	if !known {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no service %q", clip(req.Service)))
	}
	select {
	case <-h.draining:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	default:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
	}
}

// sync waits until this replica serves what was just written, so that a new key or
// agent works at once. The write stands whether or not that comes true in time.
func (a *api) sync(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if err := a.syncer.Sync(ctx, revision); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "written configuration is not served yet",
			slog.Int64("revision", revision), slog.Any("error", err))
	}
}

// pageSize returns the size of a page; the schema has checked its bound.
func pageSize(asked uint32) int {
	if asked == 0 {
		return 50
	}
	return int(asked)
}

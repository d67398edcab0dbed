// Package dataplane is the way of a call through the gateway: authenticate, resolve,
// read, authorize, admit, route, forward and record, a file each. It serves A2A in
// six dialects, whichever the agent speaks, and never waits for the database but where
// package task says so.
//
// How payloads are translated is package translate's, and how they are framed that of
// the packages below wire. It does not administer anything.
package dataplane

import (
	"context"
	"crypto/cipher"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/authn"
	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/task"
)

// Snapshots gives the configuration to serve from.
type Snapshots interface {
	// Current returns the newest snapshot that this replica has.
	Current() *snapshot.Snapshot
	// Age returns how long ago it was confirmed to be the newest there is.
	Age() time.Duration
	// Changed returns a channel that is closed when the snapshot is replaced.
	Changed() <-chan struct{}
}

// PushAddresses decides whether a push address may be registered.
type PushAddresses interface {
	// CheckPublic refuses a URL whose host is, or resolves to, a loopback, private or
	// link-local address; loopback tells that loopback passes nevertheless.
	CheckPublic(ctx context.Context, rawURL string, loopback bool) error
}

// AgentTransports knows the way to each agent.
type AgentTransports interface {
	// For returns what carries requests to an agent together with the credential that
	// it wants. It follows no redirects.
	For(*registry.Agent) http.RoundTripper
}

// Limits bounds calls. A zero field has the default of its comment.
type Limits struct {
	RequestBytes  int64         // 16 MiB
	ReplyBytes    int64         // 32 MiB
	EventBytes    int           // 8 MiB
	UnaryTimeout  time.Duration // 15 min
	StreamIdle    time.Duration // 10 min; a comment of the agent counts as life
	OrphanTimeout time.Duration // 10 min: how long a stream is read after its caller left
	HeaderDelay   time.Duration // 2 s: how long a stream's headers wait for the agent's
	KeepAlive     time.Duration // 15 s of silence before a comment is sent
	BodyGrace     time.Duration // 10 s: time that any body may take
	BodyRate      int64         // 1 KiB/s: bytes a second that buy further time
	WriteTimeout  time.Duration // 60 s: how long a caller may leave a write unread
	SnapshotAge   time.Duration // 15 min; negative means no end
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if l.RequestBytes == 0 {
		l.RequestBytes = 16 << 20
	}
	if l.ReplyBytes == 0 {
		l.ReplyBytes = 32 << 20
	}
	if l.EventBytes == 0 {
		l.EventBytes = 8 << 20
	}
	if l.BodyRate == 0 {
		l.BodyRate = 1 << 10
	}
	set(&l.UnaryTimeout, 15*time.Minute)
	set(&l.StreamIdle, 10*time.Minute)
	set(&l.OrphanTimeout, 10*time.Minute)
	set(&l.HeaderDelay, 2*time.Second)
	set(&l.KeepAlive, 15*time.Second)
	set(&l.BodyGrace, 10*time.Second)
	set(&l.WriteTimeout, time.Minute)
	set(&l.SnapshotAge, 15*time.Minute)
	// A stream's deadline is moved on by writes, comments included, and HTTP/2 enforces
	// it even when nothing is written.
	l.WriteTimeout = max(l.WriteTimeout, 2*l.KeepAlive)
	return l
}

// Config says what a Proxy is made of.
type Config struct {
	Snapshots Snapshots         // required
	Tasks     *task.Ledger      // required
	Recorder  audit.Recorder    // required
	Upstream  http.RoundTripper // required; must follow no redirects
	// Agents is the way to each agent, with its credential; nil means Upstream for all.
	Agents AgentTransports
	Push   PushAddresses // required
	// PushNotes remembers push configs; nil means nobody does.
	PushNotes PushNotes
	// PageSeal seals page tokens; required. All replicas share its key.
	PageSeal cipher.AEAD
	// PublicURL is the gateway's address in cards; empty means the address that the
	// caller used.
	PublicURL string
	// AuthoritySuffix follows an agent's name in the authorities of gRPC,
	// ".agents.example.com"; empty means that authorities name no agents.
	AuthoritySuffix string
	// RequireVersion refuses calls of A2A 1.0 without A2A-Version, as the specification
	// would have it; many clients forget it.
	RequireVersion bool
	// CardSigner signs the cards that are served; nil means nobody does. Without PublicURL
	// only cards are signed that were asked for under one of OwnHosts, "host:port".
	CardSigner CardSigner
	OwnHosts   []string
	// PushLoopback lets push addresses name loopback hosts and plain http. For tests only.
	PushLoopback bool
	Limits       Limits
	// Callers tells who calls; nil knows keys and certificates alone.
	Callers *authn.Authenticator
	// Tracer makes a span of each call; nil means none.
	Tracer trace.Tracer
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
	// MirrorStatus sends refusals with an HTTP status of their own instead of 200.
	MirrorStatus bool
	Clock        clock.Clock  // nil means the machine's
	Logger       *slog.Logger // nil discards
}

// Proxy serves calls to agents.
type Proxy struct {
	cfg       Config
	limits    Limits
	instances instances
	open      openCalls
	decisions *policy.Cache
	revision  atomic.Pointer[revisionHeader]
	started   time.Time
	draining  atomic.Bool
	calls     sync.WaitGroup
}

var errShuttingDown = errors.New("the gateway is shutting down")

// New returns a Proxy.
func New(cfg Config) (*Proxy, error) {
	switch {
	case cfg.Snapshots == nil:
		return nil, errors.New("dataplane: Config.Snapshots is required")
	case cfg.Tasks == nil:
		return nil, errors.New("dataplane: Config.Tasks is required")
	case cfg.Recorder == nil:
		return nil, errors.New("dataplane: Config.Recorder is required")
	case cfg.Upstream == nil:
		return nil, errors.New("dataplane: Config.Upstream is required")
	case cfg.Push == nil:
		return nil, errors.New("dataplane: Config.Push is required")
	case cfg.PageSeal == nil:
		return nil, errors.New("dataplane: Config.PageSeal is required")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Callers == nil {
		cfg.Callers = authn.New(authn.Config{})
	}
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	p := &Proxy{cfg: cfg, limits: cfg.Limits.withDefaults(), started: cfg.Clock.Now(), decisions: policy.NewCache(decisionEntries)}
	p.instances.clock = cfg.Clock
	return p, nil
}

// ServeHTTP serves the paths at and below [Prefix].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(newHTTPExchange(w, r))
}

// Drain refuses new calls, waits for open ones until ctx ends, then ends those that
// are left with an error that says why. It returns when none is left.
func (p *Proxy) Drain(ctx context.Context) {
	p.draining.Store(true)
	done := make(chan struct{})
	go func() {
		p.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.open.stop() // draining has taken too long
		<-done
	}
}

// serve is the way of a call.
func (p *Proxy) serve(x exchange) {
	p.calls.Add(1)
	defer p.calls.Done()
	c := p.newCall(x)
	defer c.finish()
	// Until the body is read, or given up, this bounds how long a caller may take.
	if x.ContentLength() != 0 {
		_ = x.SetReadDeadline(c.start.Add(p.limits.BodyGrace))
	}
	if t := c.entry.target; t == targetCard || t == targetList {
		c.serveDiscovery()
		return
	}
	if f := c.admitted(); f != nil {
		c.refuse(f)
		return
	}
	c.forward()
}

// admitted takes a call through every stage before routing.
func (c *call) admitted() *fault {
	if f := c.authenticate(); f != nil {
		return f
	}
	if f := c.available(); f != nil {
		return f
	}
	name := c.entry.agent
	if c.entry.target == targetGRPC {
		var f *fault
		if name, f = c.selectAgent(); f != nil {
			return f
		}
		c.opening.Agent = name
	}
	if f := c.resolve(name); f != nil {
		return f
	}
	if f := c.read(); f != nil {
		return f
	}
	if f := c.authorize(); f != nil {
		return f
	}
	if f := c.routable(); f != nil {
		return f
	}
	if f := c.checkPush(); f != nil {
		return f
	}
	return c.checkOwnership()
}

package dataplane

import (
	"net"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// call is one call on its way. It lives on one goroutine; only the reply's writer is
// shared with timers, and guards itself.
type call struct {
	p     *Proxy
	x     exchange
	start time.Time
	snap  *snapshot.Snapshot
	entry entry

	trace       traceContext
	traceparent string     // the header for the agent
	span        trace.Span // nil when tracing is off

	principal     identity.Principal
	principalUID  policy.UID    // the principal as policies name it
	claims        policy.Claims // what its token says
	source        netip.Addr
	authenticated bool
	agent         *snapshot.Agent

	// down is what the caller speaks. Its version is 1.0 until it is known.
	down    a2a.Dialect
	body    []byte
	req     jsonrpc.Request // of JSON-RPC
	op      a2a.Operation
	known   bool   // the method was read, so op and the version of down hold
	payload []byte // the request as its dialect writes it, out of its envelope
	params  a2a.Call
	// up is how the agent is spoken to, which may be in another dialect.
	up *registry.Upstream
	// bare says that the answer must lose its history, which the caller does not want
	// and the agent's dialect could not be told.
	bare bool

	pinned string // the instance that holds the task or context

	decision audit.Decision
	opening  audit.Opening
	closing  audit.Closing
	opened   bool // an opening was recorded and awaits its closing
	recorded bool // the end was recorded
	headSent bool // the reply has begun
	bodyKept bool // a write failed, so the engine may hold on to what was written

	pushNoted bool // the push config of the call is in the notes
}

func (p *Proxy) newCall(x exchange) *call {
	c := &call{p: p, x: x, start: p.cfg.Clock.Now(), snap: p.cfg.Snapshots.Current(), entry: readPath(x.Path())}
	c.down = c.entry.dialect
	if c.down.Version == 0 {
		c.down.Version = a2a.V10
	}
	c.opening.Invocation = newInvocationID(c.start)
	c.opening.Time = c.start
	c.opening.Agent = c.entry.agent
	c.opening.Dialect = c.down.String()
	c.opening.SourceAddress = x.RemoteAddr()
	if at, err := netip.ParseAddrPort(c.opening.SourceAddress); err == nil {
		c.source = at.Addr()
	}
	if host, _, err := net.SplitHostPort(c.opening.SourceAddress); err == nil {
		c.opening.SourceAddress = host
	}
	c.opening.UserAgent = x.Header().Get("User-Agent")
	c.closing.Invocation = c.opening.Invocation
	c.beginTrace()
	return c
}

// translated tells whether the agent is spoken to in another dialect than the caller's.
func (c *call) translated() bool { return c.up.Dialect != c.down }

// elapsed is the time since the call began.
func (c *call) elapsed() time.Duration { return c.p.cfg.Clock.Now().Sub(c.start) }

package dataplane

import (
	"net"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
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
	trace traceContext
	span  trace.Span // nil when tracing is off

	principal     identity.Principal
	authenticated bool
	agent         *snapshot.Agent

	body    []byte
	req     jsonrpc.Request
	op      a2a.Operation
	version a2a.Version // what the caller speaks; V10 until it is known
	known   bool        // the method was read, so op and version hold
	params  a2a.Call
	iface   *registry.JSONRPC

	pinned string // the instance that holds the task or context

	opening  audit.Opening
	closing  audit.Closing
	opened   bool // an opening was recorded and awaits its closing
	recorded bool // the end was recorded
	headSent bool // the reply has begun
	bodyKept bool // a write failed, so the engine may hold on to what was written

	pushNoted bool // the push config of the call is in the notes
}

func (p *Proxy) newCall(x exchange) *call {
	c := &call{p: p, x: x, start: p.cfg.Clock.Now(), snap: p.cfg.Snapshots.Current(), version: a2a.V10}
	c.opening.Invocation = newInvocationID(c.start)
	c.opening.Time = c.start
	c.opening.Dialect = "JSONRPC/1.0"
	c.opening.SourceAddress = x.RemoteAddr()
	if host, _, err := net.SplitHostPort(c.opening.SourceAddress); err == nil {
		c.opening.SourceAddress = host
	}
	c.opening.UserAgent = x.Header().Get("User-Agent")
	c.closing.Invocation = c.opening.Invocation
	c.beginTrace()
	return c
}

// elapsed is the time since the call began.
func (c *call) elapsed() time.Duration { return c.p.cfg.Clock.Now().Sub(c.start) }

package dataplane

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// traceContext is the W3C trace context of a call (Trace Context level 1). It exists
// whether or not spans are exported, because the record and the agent need it.
type traceContext struct {
	trace  trace.TraceID
	span   trace.SpanID // the gateway's own
	parent trace.SpanID // the caller's; zero when there was none
	flags  trace.TraceFlags
	state  string
}

// beginTrace continues the caller's trace or begins one.
func (c *call) beginTrace() {
	t := readTraceparent(c.x.Header().Get("Traceparent"))
	if t.trace.IsValid() {
		t.state = strings.Join(c.x.Header()["Tracestate"], ",")
	}
	if tracer := c.p.cfg.Tracer; tracer != nil {
		ctx := c.x.Context()
		if t.trace.IsValid() {
			state, _ := trace.ParseTraceState(t.state) // one that is not valid is dropped, as the standard says
			ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: t.trace, SpanID: t.parent, TraceFlags: t.flags, TraceState: state, Remote: true,
			}))
		}
		//nolint:spancheck // endTrace ends it
		_, c.span = tracer.Start(ctx, "a2a", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.start))
		sc := c.span.SpanContext()
		t.trace, t.span, t.flags = sc.TraceID(), sc.SpanID(), sc.TraceFlags()
	} else {
		if !t.trace.IsValid() {
			binary.LittleEndian.PutUint64(t.trace[:8], rand.Uint64())
			binary.LittleEndian.PutUint64(t.trace[8:], rand.Uint64())
		}
		binary.LittleEndian.PutUint64(t.span[:], rand.Uint64()|1)
	}
	c.trace, c.traceparent = t, t.traceparent()
	c.opening.TraceID, c.opening.SpanID = c.traceparent[3:35], c.traceparent[36:52]
	if t.parent.IsValid() {
		c.opening.ParentSpanID = t.parent.String()
	}
}

// endTrace ends the span with what is known now.
func (c *call) endTrace() {
	if c.span == nil {
		return
	}
	o, e := &c.opening, &c.closing
	if o.Method != "" {
		c.span.SetName(o.Method)
	}
	attrs := []attribute.KeyValue{
		attribute.String("rpc.system", rpcSystem(c.down.Binding)),
		attribute.String("rpc.method", o.Method),
		attribute.String("gen_ai.operation.name", "invoke_agent"),
		attribute.String("gen_ai.agent.name", o.Agent),
		attribute.String("signalbox.invocation_id", o.Invocation.String()),
		attribute.String("signalbox.team", o.Team),
		attribute.String("signalbox.outcome", string(e.Outcome)),
		attribute.String("signalbox.dialect", o.Dialect),
		attribute.String("signalbox.upstream_dialect", o.UpstreamDialect),
		attribute.String("a2a.task.id", firstOf(e.TaskID, o.TaskID)),
		attribute.String("a2a.context.id", firstOf(e.ContextID, o.ContextID)),
		attribute.String("a2a.task.state", e.TaskState),
		attribute.Int64("a2a.stream.event.count", e.StreamEvents),
		attribute.Int("http.response.status_code", e.HTTPStatus),
	}
	if e.Error != nil {
		attrs = append(attrs, attribute.Int("a2a.error.code", e.Error.Code))
		if c.down.Binding == a2a.JSONRPC {
			attrs = append(attrs, attribute.Int("rpc.jsonrpc.error_code", e.Error.Code))
		}
		c.span.SetStatus(codes.Error, e.Error.Message)
	}
	c.span.SetAttributes(attrs...)
	c.span.End(trace.WithTimestamp(c.start.Add(c.elapsed())))
}

// rpcSystem is the name that OpenTelemetry has for a binding.
func rpcSystem(b a2a.Binding) string {
	switch b {
	case a2a.GRPC:
		return "grpc"
	case a2a.REST:
		return "http"
	default:
		return "jsonrpc"
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// traceparent is the header for the agent: the same trace, the gateway's span as the parent.
func (t traceContext) traceparent() string {
	var b [55]byte
	copy(b[:], "00-")
	hex.Encode(b[3:35], t.trace[:])
	b[35] = '-'
	hex.Encode(b[36:52], t.span[:])
	b[52] = '-'
	hex.Encode(b[53:55], []byte{byte(t.flags)})
	return string(b[:])
}

// readTraceparent reads a traceparent header; what is not one has no trace id.
func readTraceparent(h string) traceContext {
	var t traceContext
	if len(h) < 55 || h[2] != '-' || h[35] != '-' || h[52] != '-' || h[:2] == "ff" || (h[:2] == "00" && len(h) != 55) || (len(h) > 55 && h[55] != '-') {
		return t
	}
	var version, flags [1]byte
	for _, part := range []struct {
		dst []byte
		src string
	}{{version[:], h[:2]}, {t.trace[:], h[3:35]}, {t.parent[:], h[36:52]}, {flags[:], h[53:55]}} {
		if !lowerHex(part.src) {
			return traceContext{}
		}
		_, _ = hex.Decode(part.dst, []byte(part.src)) // every digit was checked
	}
	if !t.trace.IsValid() || !t.parent.IsValid() {
		return traceContext{}
	}
	t.flags = trace.TraceFlags(flags[0])
	return t
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// newInvocationID makes a UUIDv7 (RFC 9562): ordered by time, then random.
func newInvocationID(now time.Time) uuid.UUID {
	var id uuid.UUID
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16|0x7000|rand.Uint64()&0x0fff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	return id
}

package dataplane_test

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/config"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
)

// collector is an OTLP collector.
type collector struct {
	url string

	mu    sync.Mutex
	spans []*tracev1.Span
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("the collector got a bad body: %v", err)
				return
			}
			body = z
		}
		raw, err := io.ReadAll(body)
		var e collectorv1.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &e)
		}
		if err != nil {
			t.Errorf("the collector cannot read what it got: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range e.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				c.spans = append(c.spans, ss.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// of returns the spans of a trace.
func (c *collector) of(traceID string) []*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spans []*tracev1.Span
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == traceID {
			spans = append(spans, s)
		}
	}
	return spans
}

func attributes(s *tracev1.Span) map[string]string {
	attrs := map[string]string{}
	for _, a := range s.GetAttributes() {
		attrs[a.GetKey()] = a.GetValue().GetStringValue()
		if a.GetValue().GetStringValue() == "" && a.GetValue().GetIntValue() != 0 {
			attrs[a.GetKey()] = strconv.FormatInt(a.GetValue().GetIntValue(), 10)
		}
	}
	return attrs
}

// parentOf makes a traceparent header of a trace id.
func parentOf(traceID, spanID string) string { return "00-" + traceID + "-" + spanID + "-01" }

func TestTracing_ACallsSpanIsPartOfTheCallersTraceAndOfTheAgents(t *testing.T) {
	c := startCollector(t)
	g := gatewaytest.Start(t, func(cfg *config.Config) { cfg.Telemetry.OTLPEndpoint = c.url })
	key := g.Team("demo")
	agent := peers.StartAgent(t, peers.Go)
	g.Agent("echo", "demo", agent.URL)
	const (
		unary, stream, refused = "4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736", "6bf92f3577b34da6a3ce929d0e0e4736"
		unsampled              = "7bf92f3577b34da6a3ce929d0e0e4736"
		caller                 = "00f067aa0ba902b7"
	)
	if e := g.Call("echo", key, "SendMessage", gatewaytest.Message("m-1", "hi", ""),
		"Traceparent", parentOf(unary, caller), "Tracestate", "vendor=1").Error(t); e.Code != 0 {
		t.Fatalf("the call failed: %+v", e)
	}
	sent := agent.Headers(t)
	resp := g.Open(http.MethodPost, "/a2a/echo", key, gatewaytest.Request("SendStreamingMessage", gatewaytest.Message("m-2", "hi", "")),
		"Traceparent", parentOf(stream, caller))
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // read to its end
	g.Call("echo", key, "GetTask", `{"id":"no-such-task"}`, "Traceparent", parentOf(refused, caller))
	g.Call("echo", key, "SendMessage", gatewaytest.Message("m-3", "hi", ""), "Traceparent", strings.TrimSuffix(parentOf(unsampled, caller), "1")+"0")
	event := g.Events(`method="SendMessage"`, 2)[0]
	g.Stop() // sends what is left

	spans := c.of(unary)
	if len(spans) != 1 {
		t.Fatalf("%d spans of the trace, want 1: %v", len(spans), spans)
	}
	s := spans[0]
	own := hex.EncodeToString(s.GetSpanId())
	if hex.EncodeToString(s.GetParentSpanId()) != caller || s.GetName() != "SendMessage" || s.GetKind() != tracev1.Span_SPAN_KIND_SERVER {
		t.Errorf("the span is %v", s)
	}
	if s.GetEndTimeUnixNano() <= s.GetStartTimeUnixNano() || s.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_UNSET {
		t.Errorf("the span took from %d to %d, status %v", s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano(), s.GetStatus())
	}
	// The record and the agent know the same span.
	if event.GetTraceId() != unary || event.GetSpanId() != own || event.GetParentSpanId() != caller {
		t.Errorf("the event has trace %s, span %s, parent %s", event.GetTraceId(), event.GetSpanId(), event.GetParentSpanId())
	}
	if got, want := sent.Get("Traceparent"), parentOf(unary, own); got != want || sent.Get("Tracestate") != "vendor=1" {
		t.Errorf("the agent got %q and %q, want %q", got, sent.Get("Tracestate"), want)
	}
	attrs := attributes(s)
	for name, want := range map[string]string{
		"rpc.system": "jsonrpc", "rpc.method": "SendMessage", "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "echo",
		"signalbox.invocation_id": strings.TrimPrefix(event.GetName(), "events/"), "signalbox.team": "demo",
		"a2a.task.id": event.GetTaskId(), "a2a.context.id": event.GetContextId(), "a2a.task.state": event.GetTaskState(),
		"http.response.status_code": "200",
	} {
		if attrs[name] != want || want == "" {
			t.Errorf("attribute %s is %q, want %q", name, attrs[name], want)
		}
	}
	if attrs["signalbox.outcome"] == "" || attrs["rpc.jsonrpc.error_code"] != "" {
		t.Errorf("the outcome is %q, the error %q", attrs["signalbox.outcome"], attrs["rpc.jsonrpc.error_code"])
	}

	if spans := c.of(stream); len(spans) != 1 || spans[0].GetName() != "SendStreamingMessage" || attributes(spans[0])["a2a.stream.event.count"] == "" {
		t.Errorf("the stream's spans are %v", spans)
	}
	spans = c.of(refused)
	if len(spans) != 1 || spans[0].GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR || attributes(spans[0])["rpc.jsonrpc.error_code"] != "-32001" {
		t.Errorf("the refused call's spans are %v", spans)
	}
	if spans := c.of(unsampled); len(spans) != 0 {
		t.Errorf("a trace that its caller does not sample has %v", spans)
	}
}

func TestTracing_WithoutACollectorTheTraceGoesOnAllTheSame(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agent := peers.StartAgent(t, peers.Go)
	g.Agent("echo", "demo", agent.URL)
	const trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	g.Call("echo", key, "SendMessage", gatewaytest.Message("m-1", "hi", ""), "Traceparent", parentOf(trace, caller), "Tracestate", "vendor=1")
	sent := agent.Headers(t)
	event := g.Events(`method="SendMessage"`, 1)[0]
	if event.GetTraceId() != trace || event.GetParentSpanId() != caller || event.GetSpanId() == caller || len(event.GetSpanId()) != 16 {
		t.Errorf("the event has trace %s, span %s, parent %s", event.GetTraceId(), event.GetSpanId(), event.GetParentSpanId())
	}
	if got, want := sent.Get("Traceparent"), parentOf(trace, event.GetSpanId()); got != want || sent.Get("Tracestate") != "vendor=1" {
		t.Errorf("the agent got %q and %q, want %q", got, sent.Get("Tracestate"), want)
	}
	// A header that is none begins a new trace and carries no state on.
	g.Call("echo", key, "SendMessage", gatewaytest.Message("m-2", "hi", ""), "Traceparent", "00-"+strings.Repeat("0", 32)+"-"+caller+"-01", "Tracestate", "vendor=1")
	sent = agent.Headers(t)
	event = g.Events(`method="SendMessage"`, 2)[1]
	if id := event.GetTraceId(); len(id) != 32 || id == trace || strings.Trim(id, "0") == "" || event.GetParentSpanId() != "" {
		t.Errorf("the event of a bad header has trace %s, parent %s", id, event.GetParentSpanId())
	}
	if !strings.HasPrefix(sent.Get("Traceparent"), "00-"+event.GetTraceId()+"-"+event.GetSpanId()+"-") || sent.Get("Tracestate") != "" {
		t.Errorf("the agent got %q and %q of trace %s", sent.Get("Traceparent"), sent.Get("Tracestate"), event.GetTraceId())
	}
}

func TestTracing_ACollectorThatIsAwayHoldsNoCallUp(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	g := gatewaytest.Start(t, func(cfg *config.Config) { cfg.Telemetry.OTLPEndpoint = away.URL })
	key := g.Team("demo")
	g.Agent("echo", "demo", peers.StartAgent(t, peers.Go).URL)
	for i := range 5 {
		if e := g.Call("echo", key, "SendMessage", gatewaytest.Message("m-"+strconv.Itoa(i), "hi", "")).Error(t); e.Code != 0 {
			t.Errorf("call %d: %+v", i, e)
		}
	}
	g.Stop()
}

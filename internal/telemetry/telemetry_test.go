package telemetry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/telemetry"
)

func TestMain(m *testing.M) {
	// Collectors that are away are what some tests are about.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	goleak.VerifyTestMain(m)
}

func TestNewLogger_LevelAndFormatAreAsAsked(t *testing.T) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for i, level := range []string{"debug", "info", "warn", "error"} {
		for _, format := range []string{"text", "json", "auto"} {
			var out bytes.Buffer
			log, err := telemetry.NewLogger(&out, level, format)
			if err != nil {
				t.Fatalf("%s %s: %v", level, format, err)
			}
			for _, l := range levels {
				log.LogAttrs(t.Context(), l, "said", slog.String("word", "two words"))
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if want := len(levels) - i; len(lines) != want {
				t.Errorf("%s %s: %d lines, want %d:\n%s", level, format, len(lines), want, out.String())
			}
			for _, line := range lines {
				// A buffer is no terminal, so auto is for programs.
				if isJSON := json.Valid([]byte(line)); isJSON != (format != "text") {
					t.Errorf("%s %s: the line is %s", level, format, line)
				}
				if format == "text" && !strings.Contains(line, `msg=said word="two words"`) {
					t.Errorf("%s %s: the line is %s", level, format, line)
				}
			}
		}
	}
}

func TestNewLogger_AutoIsJSONInAFile(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	log, err := telemetry.NewLogger(file, "info", "auto")
	if err != nil {
		t.Fatal(err)
	}
	log.LogAttrs(t.Context(), slog.LevelInfo, "said")
	if line, err := os.ReadFile(file.Name()); err != nil || !json.Valid(line) {
		t.Errorf("the file has %s, %v", line, err)
	}
}

func TestNewLogger_RefusesAnUnknownLevel(t *testing.T) {
	for _, level := range []string{"", "loud", "5"} {
		if _, err := telemetry.NewLogger(io.Discard, level, "text"); err == nil || !strings.Contains(err.Error(), "debug, info, warn or error") {
			t.Errorf("level %q: %v", level, err)
		}
	}
}

// exported is one request that a collector got.
type exported struct {
	path string
	*collectorv1.ExportTraceServiceRequest
}

// collect is an OTLP collector over HTTP.
func collect(t *testing.T) (url string, got <-chan exported) {
	t.Helper()
	requests := make(chan exported, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("the body is not compressed as its header says: %v", err)
				return
			}
			body = z
		}
		raw, err := io.ReadAll(body)
		e := exported{r.URL.Path, &collectorv1.ExportTraceServiceRequest{}}
		if err == nil {
			err = proto.Unmarshal(raw, e)
		}
		if err != nil {
			t.Errorf("the collector cannot read what it got: %v", err)
		}
		requests <- e
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// span makes one span named "said".
func span(ctx context.Context, tracing *telemetry.Tracing) trace.SpanContext {
	_, s := tracing.Tracer().Start(ctx, "said", trace.WithAttributes(attribute.String("word", "yes")))
	s.End()
	return s.SpanContext()
}

// wantSpan checks that a request has the one span, and whose it is.
func wantSpan(t *testing.T, e *collectorv1.ExportTraceServiceRequest, want trace.SpanContext) {
	t.Helper()
	if len(e.GetResourceSpans()) != 1 || len(e.GetResourceSpans()[0].GetScopeSpans()) != 1 ||
		len(e.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()) != 1 {
		t.Fatalf("the collector got %v, want one span", e)
	}
	resource := map[string]string{}
	for _, a := range e.GetResourceSpans()[0].GetResource().GetAttributes() {
		resource[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if resource["service.name"] != "signalbox" || resource["service.version"] != "1.2.3" {
		t.Errorf("the span is of %v", resource)
	}
	s := e.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
	if id := trace.TraceID(s.GetTraceId()); s.GetName() != "said" || id != want.TraceID() || trace.SpanID(s.GetSpanId()) != want.SpanID() {
		t.Errorf("the span is %v, want %v", s, want)
	}
}

func TestTracing_SpansReachACollectorOverHTTP(t *testing.T) {
	for _, suffix := range []string{"", "/", "/v1/traces"} {
		t.Run("endpoint"+suffix, func(t *testing.T) {
			url, got := collect(t)
			tracing, err := telemetry.NewTracing(t.Context(), url+suffix, "http", "1.2.3", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			sc := span(t.Context(), tracing)
			if err := tracing.Stop(t.Context()); err != nil { // sends what is left
				t.Fatal(err)
			}
			if len(got) != 1 {
				t.Fatalf("the collector got %d requests, want 1", len(got))
			}
			e := <-got
			if e.path != "/v1/traces" {
				t.Errorf("the spans came to %s", e.path)
			}
			wantSpan(t, e.ExportTraceServiceRequest, sc)
		})
	}
}

// grpcCollector is an OTLP collector over gRPC.
type grpcCollector struct {
	collectorv1.UnimplementedTraceServiceServer
	got chan *collectorv1.ExportTraceServiceRequest
}

func (c *grpcCollector) Export(_ context.Context, e *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.got <- e
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func TestTracing_SpansReachACollectorOverGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &grpcCollector{got: make(chan *collectorv1.ExportTraceServiceRequest, 16)}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	tracing, err := telemetry.NewTracing(t.Context(), "http://"+listener.Addr().String(), "grpc", "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sc := span(t.Context(), tracing)
	if err := tracing.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.got) != 1 {
		t.Fatalf("the collector got %d requests, want 1", len(c.got))
	}
	wantSpan(t, <-c.got, sc)
}

// deaf is an address that takes connections and never answers.
func deaf(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, c := range open {
					_ = c.Close() // nobody reads from it
				}
				return
			}
			open = append(open, conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close() // ends the loop
		<-done
	})
	return "http://" + listener.Addr().String()
}

// refusing is an address that nobody listens on.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return "http://" + listener.Addr().String()
}

// awaitEnd waits until every goroutine that came since has ended.
func awaitEnd(t *testing.T, since goleak.Option) {
	t.Helper()
	t.Cleanup(func() { // after those of the test itself
		deadline := time.Now().Add(20 * time.Second)
		for {
			err := goleak.Find(since)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	})
}

func TestTracing_AnAbsentCollectorHoldsNothingUp(t *testing.T) {
	for name, address := range map[string]func(*testing.T) string{"refusing": refusing, "deaf": deaf} {
		for _, protocol := range []string{"http", "grpc"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				// An export that is under way when the time is up ends by its own bound.
				t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "400")
				t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "400")
				awaitEnd(t, goleak.IgnoreCurrent())
				begin := time.Now()
				tracing, err := telemetry.NewTracing(t.Context(), address(t), protocol, "1.2.3", slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatalf("the start needs the collector: %v", err)
				}
				for range 5000 { // more than the queue takes
					span(t.Context(), tracing)
				}
				if took := time.Since(begin); took > 5*time.Second {
					t.Errorf("making spans took %s", took)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				begin = time.Now()
				err = tracing.Stop(ctx)
				if took := time.Since(begin); took > 3*time.Second {
					t.Errorf("Stop took %s of a context of 300ms", took)
				}
				if name == "deaf" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Stop says %v though nothing was sent", err)
				}
			})
		}
	}
}

func TestTracing_WithoutACollectorThereIsNone(t *testing.T) {
	tracing, err := telemetry.NewTracing(t.Context(), "", "http", "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil || tracing != nil {
		t.Fatalf("there is a tracing without a collector: %v, %v", tracing, err)
	}
	// These must be nil interfaces, for whoever asks whether there is one.
	if tracing.Tracer() != nil || tracing.Provider() != nil {
		t.Error("a missing tracing has a tracer or provider")
	}
	if err := tracing.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewTracing_RefusesAnUnknownProtocol(t *testing.T) {
	if _, err := telemetry.NewTracing(t.Context(), "http://127.0.0.1:1", "udp", "1.2.3", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "http or grpc") {
		t.Errorf("protocol udp: %v", err)
	}
}

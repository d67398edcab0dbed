// Package telemetry sets up what the gateway says about itself: its log and, when a
// collector is configured, its traces. Metrics are made by the packages that they
// are about.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// NewLogger returns a logger of the given level ("debug", "info", "warn", "error")
// and format ("text", "json", or "auto": text on a terminal).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	if format == "text" || (format == "auto" && isTerminal(w)) {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Tracing sends spans to a collector.
type Tracing struct{ provider *sdktrace.TracerProvider }

// NewTracing returns a Tracing for an OTLP endpoint ("http://host:4318") and protocol
// ("http" or "grpc"); nil when the endpoint is empty. The collector need not answer.
// Failures to reach it are logged.
func NewTracing(ctx context.Context, endpoint, protocol, version string, logger *slog.Logger) (*Tracing, error) {
	if endpoint == "" {
		return nil, nil
	}
	// The SDK has one handler for the whole process; without it errors go to the
	// standard logger, whatever the format of the log.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "traces were not sent", slog.Any("error", err))
	}))
	var exporter sdktrace.SpanExporter
	var err error
	switch protocol {
	case "http":
		url := endpoint
		if !strings.HasSuffix(url, "/v1/traces") {
			url = strings.TrimRight(url, "/") + "/v1/traces"
		}
		exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(url))
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(endpoint))
	default:
		err = errors.New("telemetry: protocol must be http or grpc")
	}
	if err != nil {
		return nil, fmt.Errorf("set up the trace exporter: %w", err)
	}
	res := resource.NewSchemaless(
		attribute.String("service.name", "signalbox"),
		attribute.String("service.version", version),
	)
	return &Tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))}, nil
}

// Provider returns the provider for libraries, nil when t is nil.
func (t *Tracing) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Tracer returns the tracer of the data plane, nil when t is nil.
func (t *Tracing) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("github.com/signalbox-dev/signalbox/internal/dataplane")
}

// Stop sends what is left.
func (t *Tracing) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

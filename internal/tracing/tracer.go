package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// flushLimit bounds how long the end of a process waits for the collector.
const flushLimit = 3 * time.Second

// Process is who draws.
type Process struct {
	Service, Version string
	// Run and Worker are "" where there is none.
	Run, Worker string
}

// Tracer draws a process' spans. On nil nothing is drawn, at no cost.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	// sender is the provider's, which parts go to by themselves.
	sender sdktrace.SpanProcessor
	// cancel ends what is on its way to the collector.
	cancel context.CancelFunc
}

// Open begins to draw for a process, if the environment names a collector
// (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); it gives nil if
// not. A setting that can't be followed is logged, and the process goes on without
// traces: nothing is worth less than a run. The caller closes the result.
func Open(ctx context.Context, p Process, log *slog.Logger) *Tracer {
	if !wanted(os.Getenv) {
		return nil
	}
	exporter, err := export(ctx, protocol(os.Getenv))
	if err != nil {
		log.Warn("no traces are sent", "err", err)
		return nil
	}
	who, err := describe(ctx, p)
	if err != nil {
		log.Warn("traces tell less of this process than they should; see OTEL_RESOURCE_ATTRIBUTES", "err", err)
	}
	// The spans of a run's end are sent when ctx is over.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sender := sdktrace.NewBatchSpanProcessor(&quiet{SpanExporter: exporter, ctx: sending, log: log})
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(sender),
		sdktrace.WithResource(who), sdktrace.WithIDGenerator(identities{}),
	)
	log.Info("traces are sent", "to", endpoint(os.Getenv))
	return &Tracer{provider.Tracer("github.com/ddpm-cluster/ddpm-cluster"), provider, sender, cancel}
}

// Close sends what was drawn, for a bounded time.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, t.cancel)
	defer t.cancel()
	defer stop()
	_ = t.provider.Shutdown(ctx) // quiet has told what went wrong
}

// endpoint is where spans go.
func endpoint(getenv func(string) string) string {
	return either(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
}

func wanted(getenv func(string) string) bool {
	return endpoint(getenv) != "" && !strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") && getenv("OTEL_TRACES_EXPORTER") != "none"
}

// protocol is how the collector is spoken to; "" is the default.
func protocol(getenv func(string) string) string {
	return either(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
}

func either(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// export makes an exporter, which reads the rest of its settings from the environment
// by itself. It does not wait for the collector.
func export(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q: must be grpc or http/protobuf", protocol)
}

// describe tells of the process. What the environment says wins, but for the run and
// the worker, which are facts.
func describe(ctx context.Context, p Process) (*resource.Resource, error) {
	facts := []attribute.KeyValue{}
	if p.Run != "" {
		facts = append(facts, attribute.String("run", p.Run))
	}
	if p.Worker != "" {
		facts = append(facts, attribute.String("worker", p.Worker))
	}
	return resource.New(ctx,
		resource.WithHost(), resource.WithProcessPID(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", p.Service), attribute.String("service.version", p.Version)),
		resource.WithFromEnv(), resource.WithAttributes(facts...),
	)
}

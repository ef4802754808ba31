package tracing

import (
	"context"
	"log/slog"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// quiet is an exporter whose failures are told once: a collector that is away is no
// reason to fill a log.
type quiet struct {
	sdktrace.SpanExporter
	ctx  context.Context // ends what is under way
	log  *slog.Logger
	once sync.Once
}

// ExportSpans implements sdktrace.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.ctx, cancel)()
	if err := q.SpanExporter.ExportSpans(ctx, spans); err != nil {
		q.once.Do(func() {
			q.log.Warn("traces don't arrive, and are dropped; this is told once, see that the collector is there", "err", err)
		})
	}
	return nil
}

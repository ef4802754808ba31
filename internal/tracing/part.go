package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// part is a span within a root that the SDK has made, and has all of it that is not its
// own: the resource, the scope, the kind. A span by the SDK is made to be written to by
// many while it lasts; ours are over when they are drawn, and a step has dozens.
type part struct {
	sdktrace.ReadOnlySpan // the root's
	span                  *Span
	is, of                trace.SpanContext
}

// drawParts gives a span's parts, and theirs, to who sends them. The root's sampling is
// theirs too.
func (t *Tracer) drawParts(root sdktrace.ReadOnlySpan, of trace.SpanContext, parts []Span) {
	drawn := make([]part, len(parts)) // one piece of memory
	for i := range parts {
		p := &drawn[i]
		*p = part{root, &parts[i], of.WithSpanID(identities{}.NewSpanID(context.Background(), of.TraceID())), of}
		t.sender.OnEnd(p)
		t.drawParts(root, p.is, parts[i].Parts)
	}
}

// Name implements sdktrace.ReadOnlySpan, as those below do.
func (p *part) Name() string                     { return p.span.Name }
func (p *part) SpanContext() trace.SpanContext   { return p.is }
func (p *part) Parent() trace.SpanContext        { return p.of }
func (p *part) StartTime() time.Time             { return p.span.Begin }
func (p *part) EndTime() time.Time               { return p.span.End }
func (p *part) Attributes() []attribute.KeyValue { return p.span.Attributes }
func (p *part) ChildSpanCount() int              { return len(p.span.Parts) }

// Status implements sdktrace.ReadOnlySpan.
func (p *part) Status() sdktrace.Status {
	if p.span.Err != nil {
		return sdktrace.Status{Code: codes.Error, Description: p.span.Err.Error()}
	}
	return sdktrace.Status{}
}

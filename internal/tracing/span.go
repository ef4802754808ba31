package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Span is something that was done.
type Span struct {
	Name       string
	Begin, End time.Time
	// Err is why it failed; nil if it did not.
	Err        error
	Attributes []attribute.KeyValue
	// Parts are what it was made of.
	Parts []Span
}

// Since is a span that ends now.
func Since(begin time.Time, name string, err error, attributes ...attribute.KeyValue) Span {
	return Span{Name: name, Begin: begin, End: time.Now(), Err: err, Attributes: attributes}
}

// Step names the trace of a step: what the members do for it, and the checkpoint that
// follows it.
func Step(runID string, generation, step uint64) string {
	return fmt.Sprintf("step %s %d %d", runID, generation, step)
}

// Generation names the trace of a change of the membership.
func Generation(runID string, number uint64) string {
	return fmt.Sprintf("generation %s %d", runID, number)
}

// Task names the trace of a task of the sampling pool.
func Task(job string, number uint32) string { return fmt.Sprintf("task %s %d", job, number) }

// Draw draws a span, and its parts, into the trace of a name. It does not wait, and
// keeps the parts until they are sent: nobody may change them any more.
func (t *Tracer) Draw(name string, s Span) {
	if t == nil {
		return
	}
	ctx := context.WithValue(context.Background(), inTrace{}, traceID(name))
	_, root := t.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Begin), trace.WithAttributes(s.Attributes...))
	if s.Err != nil {
		root.SetStatus(codes.Error, s.Err.Error())
	}
	root.End(trace.WithTimestamp(s.End))
	if made, ok := root.(sdktrace.ReadOnlySpan); ok && root.SpanContext().IsSampled() {
		t.drawParts(made, root.SpanContext(), s.Parts)
	}
}

// inTrace is the context's key for the trace that a root is to be in.
type inTrace struct{}

// traceID is the same in every process.
func traceID(name string) trace.TraceID {
	sum := sha256.Sum256([]byte(name))
	return trace.TraceID(sum[:16])
}

// identities gives roots the trace that their context names. Spans' own are random:
// they decide nothing.
type identities struct{}

// NewIDs implements sdktrace.IDGenerator.
func (i identities) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, _ := ctx.Value(inTrace{}).(trace.TraceID)
	return id, i.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (identities) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.LittleEndian.PutUint64(id[:], rand.Uint64()|1) // 0 is none
	return id
}

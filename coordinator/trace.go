package coordinator

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
)

// trace draws spans from here on, if there is a collector, until the returned function
// is called.
func (s *start) trace(ctx context.Context) (stop func()) {
	s.tracer = tracing.Open(ctx, tracing.Process{Service: "ddpm-coordinator", Version: ddpmcluster.Version(), Run: s.plan.Run}, s.log)
	return s.tracer.Close
}

// traceChange draws a change of the generation when it is over: from when the members
// were to leave their ring, or there was none, until they train again.
func (l *loop) traceChange(g core.Generation, phase string) {
	switch training := phase == "training"; {
	case !training && l.changed.IsZero():
		l.changed = time.Now()
	case training && !l.changed.IsZero():
		l.tracer.Draw(tracing.Generation(l.plan.runID, g.Number), tracing.Since(l.changed, "change", nil, attributesOf(g)...))
		l.changed = time.Time{}
	}
}

// tracePersisted draws how long etcd took to take a generation.
func (l *loop) tracePersisted(g core.Generation, began time.Time) {
	l.tracer.Draw(tracing.Generation(l.plan.runID, g.Number), tracing.Since(began, "persist", nil, attributesOf(g)...))
}

func attributesOf(g core.Generation) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int64("generation", int64(g.Number)), attribute.Int64("step", int64(g.StartStep)),
		attribute.Int("members", len(g.Members)), attribute.String("reason", g.Reason),
	}
}

// tracePublished draws the commit of a checkpoint, beside what its members stored.
func (l *loop) tracePublished(o outcome) {
	e := o.checkpoint
	l.tracer.Draw(tracing.Step(l.plan.runID, e.Generation, e.Step), tracing.Span{
		Name: "publish", Begin: o.began, End: o.began.Add(o.took), Err: o.err,
		Attributes: []attribute.KeyValue{attribute.Int64("generation", int64(e.Generation)), attribute.Int64("step", int64(e.Step)), attribute.String("digest", e.Digest)},
	})
}

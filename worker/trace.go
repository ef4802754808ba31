package worker

import (
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// traceShard notes a shard that was computed; a step's spans are drawn at its end. The
// device tells the sums of a shard's stages, which are drawn one after the other.
func (t *trainer) traceShard(shard int, began time.Time, took time.Duration, in spent) {
	if t.tracer == nil {
		return
	}
	s := tracing.Span{Name: "shard", Begin: began, End: began.Add(took), Attributes: []attribute.KeyValue{attribute.Int("shard", shard)}}
	stages := [3]struct {
		name string
		ns   int64
	}{{"input", in.input}, {"forward", in.forward}, {"backward", in.backward}}
	s.Parts = make([]tracing.Span, 0, len(stages))
	for _, stage := range stages {
		if stage.ns > 0 { // a device without a clock has none
			end := began.Add(time.Duration(stage.ns))
			s.Parts = append(s.Parts, tracing.Span{Name: stage.name, Begin: began, End: end})
			began = end
		}
	}
	t.shards = append(t.shards, s)
}

// traceStep draws the step that is complete now: its shards and the stages that its
// clock has timed.
func (t *trainer) traceStep(g *generation, totals tail) {
	if t.tracer == nil {
		return
	}
	c := &g.clock
	s := t.stepSpan(g, t.state.Step, c.finished)
	if c.begun.After(c.ended) {
		s.Parts = append(s.Parts, tracing.Span{Name: "checkpoint", Begin: c.ended, End: c.begun})
	}
	s.Parts = append(append(s.Parts, t.shards...),
		tracing.Span{Name: "all-reduce", Begin: c.computed, End: c.reduced},
		tracing.Span{Name: "checkpoint", Begin: c.reduced, End: c.settled},
		tracing.Span{Name: "update", Begin: c.settled, End: c.finished},
	)
	if totals[laneOverflows] > 0 {
		s.Err = errOverflow
	}
	t.tracer.Draw(tracing.Step(t.run.id, g.number, t.state.Step), s)
	t.shards = t.shards[:0]
}

// errOverflow is why a step is skipped.
var errOverflow = errors.New("the gradient overflowed, and the step is skipped")

// traceBroken draws a step whose ring broke. Its shards are drawn with the step that
// they are kept for.
func (t *trainer) traceBroken(g *generation, err error) {
	if t.tracer == nil {
		return
	}
	reduce := tracing.Since(g.clock.computed, "all-reduce", err)
	s := t.stepSpan(g, t.state.Step+1, reduce.End)
	s.Parts, s.Err = []tracing.Span{reduce}, err
	t.tracer.Draw(tracing.Step(t.run.id, g.number, t.state.Step+1), s)
}

// stepSpan is the span of the step at hand, which ended so.
func (t *trainer) stepSpan(g *generation, step uint64, end time.Time) tracing.Span {
	begin := g.clock.ended
	if begin.IsZero() {
		begin = g.clock.computed // a generation's first: since its oldest shard
		for _, s := range t.shards {
			if s.Begin.Before(begin) {
				begin = s.Begin
			}
		}
	}
	return tracing.Span{Name: "step", Begin: begin, End: end, Attributes: append(g.attributes(), attribute.Int64("step", int64(step)))}
}

// traceEnter draws how the worker came to the start of a generation.
func (t *trainer) traceEnter(g *generation, began time.Time, err error) {
	if t.tracer == nil {
		return
	}
	from := g.assignment.GetGeneration().GetSource().String()
	if g.assignment.GetGeneration().GetSource() == ddpmv1.StateSource_STATE_SOURCE_MEMBERS {
		from = g.self.GetLack().String()
	}
	t.tracer.Draw(tracing.Generation(t.run.id, g.number), tracing.Since(began, "enter", err,
		append(g.attributes(), attribute.Int64("step", int64(g.startStep())), attribute.String("from", from))...))
}

// attributes tell the generation and the worker's place in it.
func (g *generation) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.Int64("generation", int64(g.number)), attribute.Int("rank", g.rank)}
}

// traceSaved draws a member's share of a checkpoint: the copy, which holds up the update
// alone, the wait for the shares before it, and what goes to the Store.
func (s *saver) traceSaved(c *snapshot, began, copied, turn time.Time, err error) {
	if s.tracer == nil {
		return
	}
	store := tracing.Since(turn, "store", err)
	s.tracer.Draw(tracing.Step(s.run.id, c.generation, c.step), tracing.Span{
		Name: "save", Begin: began, End: store.End, Err: err,
		Attributes: []attribute.KeyValue{
			attribute.Int64("generation", int64(c.generation)), attribute.Int("rank", c.rank), attribute.Int64("step", int64(c.step)),
		},
		Parts: []tracing.Span{{Name: "copy", Begin: began, End: copied}, {Name: "wait", Begin: copied, End: turn}, store},
	})
}

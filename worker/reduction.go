package worker

import (
	"context"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// reduction is an all-reduce that the loop has begun, and ends by complete or abandon.
type reduction struct {
	*allreduce.Reduction
	generation *generation
	// totals become the sums of the tails.
	totals tail
	// sent is what the meter said at the beginning.
	sent uint64
}

// beginReduction begins a step's all-reduce.
func (t *trainer) beginReduction(g *generation) {
	if t.alone && g.ring.Shared() {
		t.addTerm()
	}
	r := &reduction{generation: g, sent: t.meter.sent.Load()}
	v := allreduce.Vector{
		Tail: r.totals[:], Out: t.out(), Finish: t.fixed().Means(t.run.spec.Units()), Gather: gather(t.run.spec),
	}
	if t.alone {
		v.Term = &allreduce.Term{Values: t.grad, Fixed: t.fixed(), Terms: t.run.spec.Shards()}
	} else {
		v.Sum = t.sum
	}
	r.Reduction = g.ring.Begin(g.ctx, t.step, v)
	t.reduction = r
}

// gather is how a run's results travel.
func gather(s ddpm.Spec) allreduce.Gather {
	if s.GatherDtype == ddpm.GatherBF16 {
		return allreduce.GatherBF16
	}
	return allreduce.GatherFloat32
}

// reduce brings the own sums to the ring, as far as that has not been done, and waits
// for the totals. It takes at best as long as the last bucket: how long the others
// were hidden behind backward it says too.
func (t *trainer) reduce(g *generation, votes tail) (totals tail, hidden time.Duration, err error) {
	if t.reduction == nil {
		t.beginReduction(g)
	}
	began, r := time.Now(), t.reduction
	r.totals = votes
	err = r.Complete()
	t.reduction = nil
	hidden = r.Hidden()
	t.meter.sent.Add(uint64(r.Laid()))
	if err == nil {
		t.measured(t.meter.sent.Load()-r.sent, time.Since(began)+hidden)
	}
	return r.totals, hidden, err
}

// stale says that an all-reduce is under way that will not be completed: its
// generation is over. It is called under mu.
func (t *trainer) stale() bool {
	r := t.reduction
	return r != nil && (r.generation != t.generation || r.generation.left)
}

// abandon waits for the end of a stale all-reduce, which is near: its ring is broken.
// The sums are as they were, and what was made of them is overwritten.
func (t *trainer) abandon() error {
	t.reduction.Abandon(errLeft)
	t.reduction = nil
	return nil
}

// leaveReduction is for a loop that ends within an all-reduce. The ring is not broken
// for that before the coordinator has heard why.
func (t *trainer) leaveReduction() {
	if r := t.reduction; r != nil {
		g := r.generation
		g.group.Go(func() {
			<-g.ctx.Done()
			r.Abandon(context.Cause(g.ctx))
		})
	}
}

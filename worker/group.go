package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// grouped says that groups of shards take local steps: see ddpm.Local. What a worker has
// of a step goes with the generation then, since the others of its group may go too.
func (t *trainer) grouped() bool { return t.run.spec.Local.Groups > 0 }

// together is how many of the first shards take local steps together.
func (t *trainer) together(shards []int) int {
	size, n := t.run.spec.Shards()/t.run.spec.Units(), 1
	for n < len(shards) && shards[n]/size == shards[0]/size {
		n++
	}
	return n
}

// groupSteps are a group's local steps under way: what the worker's own shards of it come
// to, by shard.
type groupSteps struct {
	generation *generation
	ring       *allreduce.Ring // the group's; nil where the worker has all of its shards
	shards     []int
	losses     []float64 // sums over the local steps
	spent      []spent
	took       []time.Duration
	misfits    []*misfit // the first one, nil where all fit
}

// nextGroup are the local steps of the group that is next: of all of its shards, or of the
// worker's part of them.
func (t *trainer) nextGroup(g *generation) *groupSteps {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.together(t.todo)
	return &groupSteps{
		generation: g, ring: g.inner, shards: t.todo[:n:n],
		losses: make([]float64, n), spent: make([]spent, n), took: make([]time.Duration, n), misfits: make([]*misfit, n),
	}
}

// computeGroup takes the local steps of the next group, with the others who compute shards
// of it, and adds what comes of them to the sums: the first of these does, once for all. It
// ends early where the generation does.
func (t *trainer) computeGroup(ctx context.Context, g *generation) error {
	began := time.Now()
	t.prepare()
	w := t.nextGroup(g)
	err := t.local.Train(g.ctx, t.state.Weights, t.step, t.grad, func(i int, grad []float32) (bool, error) {
		return t.groupGradient(ctx, w, i, grad)
	})
	var broken *groupBroken
	switch {
	case err != nil && (ctx.Err() != nil || g.ctx.Err() != nil):
		return nil
	case errors.As(err, &broken):
		t.leave(g, t.broke(g, g.inGroup(broken.error)))
		t.traceBroken(g, err)
		return nil
	case err != nil:
		return fmt.Errorf("compute shards %v of step %d: %w", w.shards, t.step, err)
	}
	first, units := len(t.done) == 0, t.run.spec.Units()
	switch {
	case g.self.GetSeat().GetPlace() != 0:
		if first {
			clear(t.sum)
		}
	case !t.accumulate(t.sum, t.grad, units, first):
		t.tail[laneOverflows]++
		t.tellOverflow(w.shards[0], t.firstMisfit(t.grad, 0, len(t.grad), units))
	}
	for k, shard := range w.shards {
		t.addLoss(shard, w.losses[k]/float64(t.run.spec.Local.Steps), w.misfits[k])
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.todo, t.done = t.todo[len(w.shards):], append(t.done, w.shards...)
	for k, shard := range w.shards {
		t.rate.add(w.took[k])
		t.traceShard(shard, began, w.took[k], w.spent[k])
		began = began.Add(w.took[k])
	}
	return nil
}

// groupGradient overwrites grad with the mean gradient over the group's shards in local step
// i. It is false, for all who compute them, when a value did not fit.
func (t *trainer) groupGradient(ctx context.Context, w *groupSteps, i int, grad []float32) (bool, error) {
	g, plan := w.generation, ddpm.PlanBatch(t.run.spec, t.step, i)
	terms := t.run.spec.Shards() / t.run.spec.Units()
	var misfits [1]int64
	var r *allreduce.Reduction
	for k, shard := range w.shards {
		if err := errors.Join(ctx.Err(), g.ctx.Err()); err != nil {
			return false, err
		}
		if k == len(w.shards)-1 && w.ring != nil {
			// What of the sums is final goes round while the rest is computed.
			r = w.ring.Begin(g.ctx, t.step*t.run.spec.Batches()+uint64(i), allreduce.Vector{
				Sum: t.groupSum, Tail: misfits[:], Out: grad, Finish: t.fixed().Means(terms),
			})
		}
		fits, err := t.localGradient(w, k, plan.Shard(shard), grad, terms, r)
		if err != nil {
			if r != nil { // not broken for that before the coordinator has heard why
				t.reduction = &reduction{Reduction: r, generation: g}
			}
			return false, err
		}
		if !fits {
			misfits[0]++
		}
	}
	if r != nil {
		if err := r.Complete(); err != nil {
			return false, &groupBroken{err}
		}
		return misfits[0] == 0, nil
	}
	means := t.fixed().Means(terms)
	t.run.pool.For(len(grad), accumulateGrain, func(lo, hi int) { means(grad[lo:hi], t.groupSum[lo:hi]) })
	return misfits[0] == 0, nil
}

// localGradient adds the gradient of the worker's k-th shard to the group's sums, from the
// end on, and releases it to the group's all-reduce, if that has begun.
func (t *trainer) localGradient(w *groupSteps, k int, examples []ddpm.Example, grad []float32, terms int, r *allreduce.Reduction) (fits bool, err error) {
	began, hi := time.Now(), len(grad)
	fits = true
	loss, err := t.run.device.Gradient(examples, grad, func(lo int) {
		if !t.accumulate(t.groupSum[lo:hi], grad[lo:hi], terms, k == 0) {
			fits = false
			if w.misfits[k] == nil {
				m := t.firstMisfit(grad, lo, hi, terms)
				w.misfits[k] = &m
			}
		}
		if hi = lo; r != nil {
			r.Release(lo)
		}
	})
	if err != nil {
		return false, fmt.Errorf("shard %d: %w", w.shards[k], err)
	}
	w.losses[k] += loss
	w.spent[k].add(t.account(examples))
	w.took[k] += time.Since(began)
	return fits, nil
}

// groupBroken is what befell the ring of a group.
type groupBroken struct{ error }

// Unwrap gives what it was.
func (e *groupBroken) Unwrap() error { return e.error }

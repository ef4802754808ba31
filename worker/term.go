package worker

import (
	"sync/atomic"

	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// A worker that has one shard in a step, as all have where a cluster has as many workers
// as a step has shards, keeps no sums: its ring takes the shard's gradient as it is, and
// rounds it on its way (allreduce.Term). The gradient stays in grad until the step is
// complete, since a ring may break and another one ask for it, and so results have a
// memory of their own. Where the step's next ring gives the worker more shards, or takes
// sums alone, addTerm makes the sums after all.

// out is where the step's results come.
func (t *trainer) out() []float32 {
	if !t.alone {
		return t.grad // what of it is released has been added to the sums
	}
	if t.spare == nil {
		t.spare = hugepages.Make[float32](len(t.grad))
	}
	return t.spare
}

// take takes the elements [lo, hi) of a shard's gradient, one of so many terms and the first
// of the worker's or not. It is false when a value did not fit.
func (t *trainer) take(lo, hi, terms int, first bool) bool {
	if !t.alone {
		return t.accumulate(t.sum[lo:hi], t.grad[lo:hi], terms, first)
	}
	var misfits atomic.Bool
	t.run.pool.For(hi-lo, accumulateGrain, func(from, to int) {
		if !t.fixed().Fits(t.grad[lo+from:lo+to], terms) {
			misfits.Store(true)
		}
	})
	return !misfits.Load()
}

// addTerm makes sums of the only done shard. What of it does not fit has been told.
func (t *trainer) addTerm() {
	t.accumulate(t.sum, t.grad, t.run.spec.Shards(), true)
	t.alone = false
}

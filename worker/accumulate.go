package worker

import (
	"sync/atomic"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// accumulateGrain is how many elements a thread adds at least.
const accumulateGrain = 1 << 14

// accumulate adds the elements [from, to) of grad to sum in fixed point. It is false
// when a value did not fit.
func (t *trainer) accumulate(from, to int) bool {
	var overflowed atomic.Bool
	fixed, shards := t.fixed(), t.run.spec.Shards()
	sum, grad := t.sum[from:to], t.grad[from:to]
	t.run.pool.For(len(sum), accumulateGrain, func(lo, hi int) {
		if !fixed.Accumulate(sum[lo:hi], grad[lo:hi], shards) {
			overflowed.Store(true)
		}
	})
	return !overflowed.Load()
}

// misfit is a value of a shard that does not fit into fixed point, for people.
type misfit struct {
	tensor string
	value  float64
}

// firstMisfit finds the first that does not fit among the elements [from, to) of grad.
func (t *trainer) firstMisfit(from, to int) misfit {
	for _, p := range t.run.spec.Model.Params() {
		for i := max(from, p.Offset); i < min(to, p.Offset+p.Len()); i++ {
			if x := float64(t.grad[i]); !t.fits(x) {
				return misfit{p.Name, x}
			}
		}
	}
	return misfit{}
}

func (t *trainer) fits(x float64) bool {
	_, ok := t.fixed().FromFloat64(x, t.run.spec.Shards())
	return ok
}

// tellOverflow names a value of a shard that did not fit.
func (t *trainer) tellOverflow(shard int, m misfit) {
	o := &ddpmv1.Overflow{Step: t.step + 1, Shard: uint32(shard), Tensor: m.tensor, Value: m.value}
	t.log.Warn("a gradient does not fit into fixed point", "step", o.GetStep(), "shard", shard, "tensor", o.GetTensor(), "value", o.GetValue())
	t.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Overflow{Overflow: o}})
}

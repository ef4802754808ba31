package worker

import (
	"sync/atomic"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// accumulateGrain is how many elements a thread adds at least.
const accumulateGrain = 1 << 14

// accumulate adds grad, one of so many terms, to sum in fixed point; the first of them sets
// sum, whatever it was. It is false when a value did not fit.
func (t *trainer) accumulate(sum []int64, grad []float32, terms int, first bool) bool {
	var overflowed atomic.Bool
	add := t.fixed().Accumulate
	if first {
		add = t.fixed().Convert
	}
	t.run.pool.For(len(sum), accumulateGrain, func(lo, hi int) {
		if !add(sum[lo:hi], grad[lo:hi], terms) {
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

// firstMisfit finds the first that does not fit among the elements [from, to) of grad, one
// of so many terms.
func (t *trainer) firstMisfit(grad []float32, from, to, terms int) misfit {
	for _, p := range t.run.spec.Model.Params() {
		for i := max(from, p.Offset); i < min(to, p.Offset+p.Len()); i++ {
			if x := float64(grad[i]); !t.fits(x, terms) {
				return misfit{p.Name, x}
			}
		}
	}
	return misfit{}
}

func (t *trainer) fits(x float64, terms int) bool {
	_, ok := t.fixed().FromFloat64(x, terms)
	return ok
}

// addLoss adds a shard that is computed to the tail, with the first value of its gradient
// that did not fit, if one did not.
func (t *trainer) addLoss(shard int, loss float64, m *misfit) {
	fixed, ok := t.fixed().FromFloat64(loss, t.run.spec.Shards())
	t.tail[laneLoss] += fixed
	t.tail[laneShards]++
	if m == nil && ok {
		return
	}
	t.tail[laneOverflows]++
	if !ok {
		t.tail[laneMisfits]++
		m = &misfit{"the loss", loss}
	}
	t.tellOverflow(shard, *m)
}

// tellOverflow names a value of a shard that did not fit.
func (t *trainer) tellOverflow(shard int, m misfit) {
	o := &ddpmv1.Overflow{Step: t.step + 1, Shard: uint32(shard), Tensor: m.tensor, Value: m.value}
	t.log.Warn("a gradient does not fit into fixed point", "step", o.GetStep(), "shard", shard, "tensor", o.GetTensor(), "value", o.GetValue())
	t.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Overflow{Overflow: o}})
}

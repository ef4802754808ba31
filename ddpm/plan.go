package ddpm

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"

// Example is one training example of a step: everything that its L_simple
// depends on besides the weights.
type Example struct {
	// Step and Slot name the example's noise: Slot is its place in the batch.
	Step uint64
	Slot uint32
	// Index is the example's place in the dataset.
	Index uint64
	// T is the timestep, 0 … T-1.
	T int
	// Flip mirrors the image horizontally.
	Flip bool
}

// Plan is what one step computes: which examples, at which timesteps, cut into
// shards. It is a pure function of the config and the step, so nobody has to
// send it.
type Plan struct {
	spec Spec
	step uint64
}

// PlanStep returns the plan of the step that follows `step` completed ones.
func PlanStep(s Spec, step uint64) Plan { return Plan{spec: s, step: step} }

// Shard lists the examples of shard v, 0 <= v < Spec.Shards(): slots
// v·ShardSize to (v+1)·ShardSize of the batch.
func (p Plan) Shard(v int) []Example {
	examples := make([]Example, p.spec.ShardSize)
	for i := range examples {
		examples[i] = p.example(uint32(v*p.spec.ShardSize + i))
	}
	return examples
}

func (p Plan) example(slot uint32) Example {
	return Example{
		Step:  p.step,
		Slot:  slot,
		Index: p.index(slot),
		T:     p.timestep(slot),
		Flip:  p.spec.Flip && rng.Philox4x32(p.spec.Seed, rng.Counter(rng.Flip, p.step, slot, 0))[0]>>31 == 1,
	}
}

// index walks the dataset in a new keyed order each epoch, so that every example
// is seen exactly once an epoch.
func (p Plan) index(slot uint32) uint64 {
	n := uint64(p.spec.DatasetLen)
	position := p.step*uint64(p.spec.Batch) + uint64(slot)
	return rng.NewPermutation(p.spec.Seed, position/n, n).At(position % n)
}

// timestep draws t uniformly, as the paper does; stratified, slot k of B draws
// from the k-th of B equal slices of [0, T), which lowers the variance of the
// batch's mean loss and leaves its expectation.
func (p Plan) timestep(slot uint32) int {
	u := rng.Philox4x32(p.spec.Seed, rng.Counter(rng.Timestep, p.step, slot, 0))[0]
	T := uint32(p.spec.Diffusion.Steps)
	if p.spec.Timesteps == TimestepsUniform {
		return int(rng.Uint32n(u, T))
	}
	// floor(T·(slot + u/2^32)/B) in integers.
	return int((uint64(T) * (uint64(slot)<<32 | uint64(u)) / uint64(p.spec.Batch)) >> 32)
}

package ddpm

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// Local makes a run one of little communication, for links across the internet
// (DiLoCo: Douillard et al. 2023, algorithm 1). Each shard trains a copy of the weights
// on its own, for Steps local steps of Adam; by how much the copies moved, on average
// over the shards, is the gradient of one outer step, by Nesterov's momentum. So a step
// of such a run takes Steps batches, and goes round the ring once.
//
// A copy is a pure function of the weights, the step and the shard: whoever computes
// it, and again after a failure, gets the same bits. That is why Adam's moments begin at
// zero in every step instead of staying with a worker: a worker may go, and what only it
// had would go with it.
//
// With Groups the shards are cut into so many groups, each of equally many that follow one
// another, and a group has a copy in a shard's place: each of its local steps takes the
// mean gradient of the group's shards. That mean is of an exact sum, so that the bits depend
// neither on how many workers compute the group's shards nor on which.
type Local struct {
	// Steps is how many local steps a shard or a group takes; 0 for a run without them, in
	// which each batch's gradient is shared at once.
	Steps int `json:"steps"`
	// Groups counts the groups; 0: each shard is one of its own, whose gradient is not
	// rounded for a sum.
	Groups int `json:"groups,omitempty"`
	// OuterRate and OuterMomentum are those of the outer step.
	OuterRate     float64 `json:"outer_rate"`
	OuterMomentum float64 `json:"outer_momentum"`
}

// DiLoCo's own values (Douillard et al. 2023, section 3).
const (
	DefaultOuterRate     = 0.7
	DefaultOuterMomentum = 0.9
)

// maxLocalSteps bounds the batches of a step.
const maxLocalSteps = 1 << 16

// Validate reports what is wrong with the settings.
func (l Local) Validate() error {
	switch {
	case l.Steps == 0 && l != Local{}:
		return errors.New("local.steps 0: groups, outer_rate and outer_momentum are of a run with local steps")
	case l.Steps == 0:
		return nil
	case l.Steps < 0 || l.Steps > maxLocalSteps:
		return fmt.Errorf("local-steps %d: must be in 1 … %d, or left out", l.Steps, maxLocalSteps)
	case l.Groups < 0:
		return fmt.Errorf("local-groups %d: must be at least 1, or left out", l.Groups)
	case !(l.OuterRate > 0 && l.OuterRate <= 2):
		return fmt.Errorf("outer-lr %g: must be above 0 and at most 2", l.OuterRate)
	case !(l.OuterMomentum >= 0 && l.OuterMomentum < 1):
		return fmt.Errorf("outer-momentum %g: must be in [0, 1)", l.OuterMomentum)
	}
	return nil
}

// WithGroups sets how many groups of shards take local steps. As many groups as there are
// shards is what a run without the setting has, and the same config.
func (s Spec) WithGroups(groups int) Spec {
	if groups*s.ShardSize == s.Batch {
		groups = 0
	}
	s.Local.Groups = groups
	return s
}

// checkGroups says what is wrong with the groups of a batch that is well cut into shards.
func (s Spec) checkGroups() error {
	switch g, n := s.Local.Groups, s.Batch/s.ShardSize; {
	case g <= 0:
		return nil
	case g > n || n%g != 0:
		return fmt.Errorf("local-groups %d: each group has equally many of a step's %d shards; divisors near it: %v", g, n, divisorsNear(n, min(g, n)))
	case g == n:
		return fmt.Errorf("local.groups %d: there are as many shards; leave it out, which is the same", g)
	}
	return nil
}

// Units counts what a step's result is the mean of: groups, or else shards.
func (s Spec) Units() int {
	if s.Local.Groups > 0 {
		return s.Local.Groups
	}
	return s.Shards()
}

// Batches counts the batches that a step takes: 1, or the local steps.
func (s Spec) Batches() uint64 { return uint64(max(1, s.Local.Steps)) }

// PlanBatch returns the plan of batch i of the step that follows so many completed
// ones, 0 <= i < Batches(). Over a run the batches are those of a run without local
// steps, in their order.
func PlanBatch(s Spec, step uint64, i int) Plan { return PlanStep(s, step*s.Batches()+uint64(i)) }

// LocalSteps computes the outer gradient of a shard or of a group, on a device. It holds
// four vectors of the model's size: a copy of the weights, Adam's moments, and a gradient.
type LocalSteps struct {
	spec   Spec
	device Device
	pool   *kernel.Pool
	w      []float32
	m, v   []float32
	grad   []float32
}

// NewLocalSteps returns one that trains on the device. The pool is for the updates.
func NewLocalSteps(spec Spec, device Device, pool *kernel.Pool) *LocalSteps {
	n := spec.Model.ParamCount()
	s := EmptyState(n)
	return &LocalSteps{spec: spec, device: device, pool: pool, w: s.Weights, m: s.M, v: s.V, grad: s.EMA}
}

// Gradient overwrites outer with weights less what the shard's local steps make of them,
// and returns the mean of the local steps' losses. After each, computed is called with
// its examples. The device's weights are others afterwards. It ends early, with the
// context's error, where that ends.
func (l *LocalSteps) Gradient(ctx context.Context, weights []float32, step uint64, shard int, outer []float32, computed func([]Example)) (float64, error) {
	total := 0.0
	err := l.Train(ctx, weights, step, outer, func(i int, grad []float32) (bool, error) {
		examples := PlanBatch(l.spec, step, i).Shard(shard)
		loss, err := l.device.Gradient(examples, grad, nil)
		if err != nil {
			return false, err
		}
		computed(examples)
		total += loss
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	return total / float64(l.spec.Local.Steps), nil
}

// Train overwrites outer with weights less what local steps make of them whose gradients
// are what mean overwrites grad with. In local step i mean finds the device at the weights
// there. Where it is false, grad is no gradient, and the local step leaves the weights as
// they are. The device's weights are others afterwards. It ends early, with the context's
// error, where that ends, and with mean's.
func (l *LocalSteps) Train(ctx context.Context, weights []float32, step uint64, outer []float32, mean func(i int, grad []float32) (bool, error)) error {
	copy(l.w, weights)
	clear(l.m)
	clear(l.v)
	for i := range l.spec.Local.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.device.Begin(l.w)
		ok, err := mean(i, l.grad)
		if err != nil {
			return fmt.Errorf("local step %d: %w", i, err)
		}
		if !ok {
			continue
		}
		// Adam's step moves an average too. Nobody wants this one, so it goes where the
		// result will overwrite it.
		l.adam(step, i).Apply(l.pool, l.w, l.m, l.v, outer, l.grad)
	}
	l.pool.For(len(outer), elementGrain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			outer[i] = weights[i] - l.w[i]
		}
	})
	return nil
}

// adam is the update of local step i, whose gradient is in grad. The warm-up goes by
// all local steps of the run.
func (l *LocalSteps) adam(step uint64, i int) kernel.AdamStep {
	o := l.spec.Optimizer
	k := uint64(i)
	return kernel.AdamStep{
		LR:        learningRate(o, step*l.spec.Batches()+k),
		Beta1:     o.Beta1,
		Beta2:     o.Beta2,
		Eps:       o.Epsilon,
		Bias1:     1 - power(o.Beta1, k+1),
		Bias2:     1 - power(o.Beta2, k+1),
		GradScale: clipScale(o, math.Sqrt(kernel.SumSquares(l.pool, l.grad))),
	}
}

// elementGrain is how many elements of a vector a thread takes at least.
const elementGrain = 1 << 14

// outerStep is Nesterov's (as PyTorch's SGD has it): m = mu·m + delta, and then
// w = w - rate·(delta + mu·m). The average moves as over so many local steps.
func (s *State) outerStep(spec Spec, pool *kernel.Pool, delta []float32) {
	rate, mu := float32(spec.Local.OuterRate), float32(spec.Local.OuterMomentum)
	n := spec.Batches()
	gain := float32(1 - power(emaDecay(spec.Optimizer, s.Step*n), n))
	pool.For(len(delta), elementGrain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			m := float32(mu*s.M[i]) + delta[i]
			w := s.Weights[i] - float32(rate*(delta[i]+float32(mu*m)))
			s.M[i], s.Weights[i] = m, w
			s.EMA[i] += float32(gain * (w - s.EMA[i]))
		}
	})
}

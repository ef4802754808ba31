package ddpm

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// UpdateInfo is what an update did, for people.
type UpdateInfo struct {
	// GradientNorm is the averaged gradient's global norm before clipping; with local
	// steps, the averaged outer gradient's.
	GradientNorm float64
	// LearningRate is Adam's; with local steps, that of the last one.
	LearningRate float64
}

// Update completes a step: it clips the averaged gradient by its global norm
// (the norm of the whole batch's gradient, so that it does not depend on how the
// batch was split), applies Adam and moves the average. grad has one element a
// parameter.
//
// In a run with local steps grad is the mean of the shards' or groups' outer gradients, and
// the update an outer step.
func (s *State) Update(spec Spec, pool *kernel.Pool, grad []float32) UpdateInfo {
	o := spec.Optimizer
	norm := math.Sqrt(kernel.SumSquares(pool, grad))
	k, lr := s.Step, learningRate(o, s.updates(spec))
	if spec.Local.Steps > 0 {
		s.outerStep(spec, pool, grad)
		s.Step++
		return UpdateInfo{GradientNorm: norm, LearningRate: lr}
	}
	kernel.AdamStep{
		LR:        lr,
		Beta1:     o.Beta1,
		Beta2:     o.Beta2,
		Eps:       o.Epsilon,
		Bias1:     1 - power(o.Beta1, k+1),
		Bias2:     1 - power(o.Beta2, k+1),
		GradScale: clipScale(o, norm),
		EMADecay:  emaDecay(o, k),
	}.Apply(pool, s.Weights, s.M, s.V, s.EMA, grad)
	s.Step++
	return UpdateInfo{GradientNorm: norm, LearningRate: lr}
}

// Skip completes a step whose gradient overflowed: the weights stay. The gradient has no norm,
// NaN; the learning rate is what the update would have had.
func (s *State) Skip(spec Spec) UpdateInfo {
	info := UpdateInfo{GradientNorm: math.NaN(), LearningRate: learningRate(spec.Optimizer, s.updates(spec))}
	s.Step++
	return info
}

// updates is how many updates of Adam go before the step's last one.
func (s *State) updates(spec Spec) uint64 {
	if n := spec.Batches(); spec.Local.Steps > 0 {
		return s.Step*n + n - 1
	}
	return s.Step
}

// clipScale is by what a gradient of that norm is multiplied.
func clipScale(o Optimizer, norm float64) float64 {
	if o.ClipNorm > 0 && norm > o.ClipNorm {
		return o.ClipNorm / norm
	}
	return 1
}

// learningRate of the update that follows k completed steps.
func learningRate(o Optimizer, k uint64) float64 {
	if k >= uint64(o.WarmupSteps) {
		return o.LearningRate
	}
	return o.LearningRate * (float64(k) / float64(o.WarmupSteps))
}

// emaDecay of the update that follows k completed steps: with the warm-up an
// early average forgets the initial weights.
func emaDecay(o Optimizer, k uint64) float64 {
	return min(o.EMADecay, (1+float64(k))/(10+float64(k)))
}

// power is b^n by squaring: the same roundings everywhere, unlike math.Pow.
func power(b float64, n uint64) float64 {
	result := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result *= b
		}
		b *= b
	}
	return result
}

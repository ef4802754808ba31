package sampler

import (
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// dpmSolver is DPM-Solver++(2M) (Lu et al. 2022, "DPM-Solver++", algorithm 2): the
// exact solution of the linear part, and the data prediction extrapolated from the
// last two evaluations. The first step and the last are of first order.
type dpmSolver struct {
	timesteps []int
	points    []point
	before    []float32 // x̂_0 of the evaluation before
}

func newDPMSolver(ts []int, tables *diffusion.Tables) *dpmSolver {
	return &dpmSolver{timesteps: ts, points: points(ts, tables)}
}

func (s *dpmSolver) Timesteps() []int { return s.timesteps }

func (s *dpmSolver) Noisy(int) bool { return false }

func (s *dpmSolver) Step(k int, x, _, x0, _ []float32) {
	from, to := s.points[k], s.points[k+1]
	cx, c0 := to.sigma/from.sigma, -to.alpha*exponential(from, to)
	c1 := 0.0
	if k > 0 && k < len(s.timesteps)-1 {
		// D = x̂_0 + (x̂_0 - before)/(2r), r = h_before/h.
		r := (from.lambda - s.points[k-1].lambda) / (to.lambda - from.lambda)
		c1 = c0 / (2 * r)
	}
	if s.before == nil {
		s.before = slices.Clone(x0)
	}
	for i, v := range x {
		m0 := float64(x0[i])
		x[i] = float32(float64(cx*float64(v)) + float64(c0*m0) + float64(c1*(m0-float64(s.before[i]))))
	}
	copy(s.before, x0)
}

package sampler

import (
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// heun is Heun's method of second order on the probability flow as Karras et al.
// 2022 write it (algorithm 1 without churn): y = x/alpha moves by dy/ds = (y - x̂_0)/s
// with s = sigma/alpha. It works at the model's own timesteps, each evaluated twice
// but for the first and the last step, which is Euler's.
type heun struct {
	timesteps []int // of the evaluations
	points    []point
	start, d  []float32 // x and dy/ds where the step began
}

func newHeun(ts []int, tables *diffusion.Tables) *heun {
	evaluations := make([]int, 0, 2*len(ts)-1)
	for k, t := range ts {
		evaluations = append(evaluations, t)
		if k > 0 {
			evaluations = append(evaluations, t)
		}
	}
	return &heun{timesteps: evaluations, points: points(ts, tables)}
}

func (s *heun) Timesteps() []int { return s.timesteps }

func (s *heun) Noisy(int) bool { return false }

// Step 2j goes from point j to the next by Euler's method, and step 2j+1 makes that
// step again with the mean of the slopes at both ends.
func (s *heun) Step(k int, x, _, x0, _ []float32) {
	from, to := s.points[k/2], s.points[k/2+1]
	sFrom, sTo := from.sigma/from.alpha, to.sigma/to.alpha
	if k%2 == 1 {
		for i, v := range x {
			slope := float64(float64(v)/to.alpha-float64(x0[i])) / sTo
			mean := (float64(s.d[i]) + slope) / 2
			x[i] = float32(float64(to.alpha * (float64(s.start[i])/from.alpha + float64(mean*(sTo-sFrom)))))
		}
		return
	}
	if s.start == nil {
		s.start, s.d = slices.Clone(x), make([]float32, len(x))
	}
	copy(s.start, x)
	for i, v := range x {
		y := float64(v) / from.alpha
		slope := (y - float64(x0[i])) / sFrom
		s.d[i] = float32(slope)
		x[i] = float32(float64(to.alpha * (y + float64(slope*(sTo-sFrom)))))
	}
}

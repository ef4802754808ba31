package sampler

import (
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// uniPC is UniPC-2 with B₂(h) = e^h - 1 and data prediction (Zhao et al. 2023,
// algorithms 5 and 6). Each evaluation serves twice: it corrects the step that led
// to it (UniC), and predicts the next (UniP). The order is 1 for the first step and
// the last.
type uniPC struct {
	timesteps []int
	points    []point
	// Of the evaluations before: last is the corrected x of the one before, m1 and m2
	// are x̂_0 of the one before and of the one before that.
	last, m1, m2 []float32
}

func newUniPC(ts []int, tables *diffusion.Tables) *uniPC {
	return &uniPC{timesteps: ts, points: points(ts, tables)}
}

func (s *uniPC) Timesteps() []int { return s.timesteps }

func (s *uniPC) Noisy(int) bool { return false }

// order is that of the step from point k.
func (s *uniPC) order(k int) int { return min(2, k+1, len(s.timesteps)-k) }

func (s *uniPC) Step(k int, x, _, x0, _ []float32) {
	if s.last == nil {
		s.last, s.m1, s.m2 = make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	}
	correct, predict := s.corrector(k), s.predictor(k)
	for i, v := range x {
		m0, m1, m2 := float64(x0[i]), float64(s.m1[i]), float64(s.m2[i])
		y := float64(v)
		if k > 0 {
			y = float64(correct.x*float64(s.last[i])) + float64(correct.m*m1) +
				float64(correct.new*(m0-m1)) + float64(correct.old*(m2-m1))
		}
		s.last[i], s.m2[i], s.m1[i] = float32(y), s.m1[i], x0[i]
		x[i] = float32(float64(predict.x*y) + float64(predict.m*m0) + float64(predict.old*(m1-m0)))
	}
}

// bhStep is x·x + m·m + new·(m_new - m) + old·(m_old - m): m is the prediction where
// the step starts, m_new where it ends, m_old one before.
type bhStep struct{ x, m, new, old float64 }

func (s *uniPC) predictor(k int) bhStep {
	from, to := s.points[k], s.points[k+1]
	b := exponential(from, to)
	p := bhStep{x: to.sigma / from.sigma, m: -to.alpha * b}
	if s.order(k) == 2 {
		p.old = -to.alpha * b * 0.5 / s.ratio(k)
	}
	return p
}

// corrector makes the step to point k again, now that the prediction there is
// known.
func (s *uniPC) corrector(k int) bhStep {
	if k == 0 {
		return bhStep{}
	}
	from, to := s.points[k-1], s.points[k]
	b := exponential(from, to)
	c := bhStep{x: to.sigma / from.sigma, m: -to.alpha * b}
	if s.order(k-1) == 1 {
		c.new = -to.alpha * b * 0.5
		return c
	}
	// rhoOld + rhoNew = b1, r·rhoOld + rhoNew = b2.
	hh := from.lambda - to.lambda
	phi2 := b/hh - 1
	phi3 := phi2/hh - 0.5
	b1, b2 := phi2/b, 2*phi3/b
	r := s.ratio(k - 1)
	rhoOld := (b2 - b1) / (r - 1)
	c.new = -to.alpha * b * (b1 - rhoOld)
	c.old = -to.alpha * b * rhoOld / r
	return c
}

// ratio is r of the step from point k: where the point before lies, in lengths of
// the step, below 0.
func (s *uniPC) ratio(k int) float64 {
	from := s.points[k].lambda
	return (s.points[k-1].lambda - from) / (s.points[k+1].lambda - from)
}

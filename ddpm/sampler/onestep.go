package sampler

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// oneStep is a method that remembers nothing: Ancestral and DDIM.
type oneStep struct {
	timesteps []int
	moves     []move
}

// move is one step x_p = x0·x̂_0 + xt·x_t + eps·eps + sigma·z from t to p.
type move struct{ x0, xt, eps, sigma float64 }

// newOneStep computes the moves. The steps go from each timestep to the next that
// is visited, where diffusers' DDIMScheduler goes to t - T/Steps: for leading
// spacing the two agree.
func newOneStep(c Config, ts []int, tables *diffusion.Tables) *oneStep {
	s := &oneStep{timesteps: ts, moves: make([]move, len(ts))}
	for k, t := range ts {
		prev := -1
		if k+1 < len(ts) {
			prev = ts[k+1]
		}
		if c.Method == DDIM {
			s.moves[k] = ddimMove(tables.AlphaBar[t], tables.AlphaBarBefore(prev), c.Eta)
		} else {
			s.moves[k] = ancestralMove(tables, t, prev, c.Variance)
		}
	}
	return s
}

// ddimMove is equation 12 of Song et al. 2021, with the sigma of equation 16. Of
// the end it adds no noise: there is none left for eta to scale.
func ddimMove(bar, barPrev, eta float64) move {
	sigma := float64(eta*math.Sqrt((1-barPrev)/(1-bar))) * math.Sqrt(1-bar/barPrev)
	return move{x0: math.Sqrt(barPrev), eps: math.Sqrt(1 - barPrev - float64(sigma*sigma)), sigma: sigma}
}

// ancestralMove is Ho et al. 2020, algorithm 2, respaced: the jump from t to prev is
// a step of a process that visits only these. The last step adds no noise.
func ancestralMove(tables *diffusion.Tables, t, prev int, variance string) move {
	post := tables.Posterior(t, prev)
	m := move{x0: post.X0, xt: post.Xt}
	if prev >= 0 {
		m.sigma = math.Sqrt(post.Variance(variance))
	}
	return m
}

func (s *oneStep) Timesteps() []int { return s.timesteps }

func (s *oneStep) Noisy(k int) bool { return s.moves[k].sigma != 0 }

func (s *oneStep) Step(k int, x, eps, x0, z []float32) {
	m := s.moves[k]
	for i, v := range x {
		y := float64(m.x0*float64(x0[i])) + float64(m.xt*float64(v)) + float64(m.eps*float64(eps[i]))
		if m.sigma != 0 {
			y += float64(m.sigma * float64(z[i]))
		}
		x[i] = float32(y)
	}
}

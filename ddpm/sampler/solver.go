package sampler

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// Solver takes the images of one batch from x_T to x_0, element by element. It
// keeps what a method needs of the evaluations before, so it serves one batch.
type Solver interface {
	// Timesteps lists the timestep of every evaluation of the network, in order.
	Timesteps() []int
	// Noisy says whether Step k reads normals.
	Noisy(k int) bool
	// Step moves x in place from what the network saw in evaluation k to what it
	// shall see in the next; after the last x is the result. eps is the network's
	// answer, x0 the x̂_0 that follows from it, clipped or not; z are standard
	// normals, nil unless Noisy(k). All have one length, the same in every call.
	Step(k int, x, eps, x0, z []float32)
}

// NewSolver returns the solver of a valid config.
func NewSolver(c Config, tables *diffusion.Tables) (Solver, error) {
	ts, err := c.timesteps(tables.Config.Steps)
	if err != nil {
		return nil, err
	}
	switch c.Method {
	case DPMPP2M:
		return newDPMSolver(ts, tables), nil
	case UniPC:
		return newUniPC(ts, tables), nil
	case Heun:
		return newHeun(ts, tables), nil
	}
	return newOneStep(c, ts, tables), nil
}

// point is a place on the way from noise to image: x_t = alpha·x_0 + sigma·eps, and
// lambda = ln(alpha/sigma), +Inf at the end.
type point struct{ alpha, sigma, lambda float64 }

// points are those of the timesteps, and then the end.
func points(ts []int, tables *diffusion.Tables) []point {
	ps := make([]point, 0, len(ts)+1)
	for _, t := range ts {
		bar := tables.AlphaBar[t]
		ps = append(ps, point{
			alpha: math.Sqrt(bar), sigma: math.Sqrt(1 - bar),
			lambda: (rng.Log(bar) - rng.Log(1-bar)) / 2,
		})
	}
	return append(ps, point{alpha: 1, lambda: math.Inf(1)})
}

// predictX0 writes x̂_0 = (x - sigma·eps)/alpha at timestep t, clipped to [-1, 1] if
// that is asked for (Ho et al. 2020, equation 15).
func predictX0(x0, x, eps []float32, alphaBar float64, clip bool) {
	inv, sigma := 1/math.Sqrt(alphaBar), math.Sqrt(1-alphaBar)
	for i, v := range x {
		y := float64((float64(v) - float64(sigma*float64(eps[i]))) * inv)
		if clip {
			y = max(-1, min(1, y))
		}
		x0[i] = float32(y)
	}
}

// exponential returns e^-h - 1 for h = to.lambda - from.lambda, also at the end.
func exponential(from, to point) float64 {
	return float64(from.alpha*to.sigma)/float64(from.sigma*to.alpha) - 1
}

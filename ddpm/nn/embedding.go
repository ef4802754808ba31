package nn

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// Sinusoid returns the position embedding of the timesteps, [len(t), dim]:
// sin(t·f_j) for j < dim/2, then cos(t·f_j), with f_j = 10000^(-j/(dim/2-1))
// (Vaswani et al. 2017, in the form of Ho's code). dim is even and at least 4.
func (e *Engine) Sinusoid(t []int, dim int) Tensor {
	y := e.New(len(t), dim)
	ys, half := y.Float32s(), dim/2
	for j := range half {
		freq := rng.Exp(-math.Ln10 * 4 * float64(j) / float64(half-1))
		for i, step := range t {
			angle := float64(step) * freq
			ys[i*dim+j] = float32(rng.Sin(angle))
			ys[i*dim+half+j] = float32(rng.Cos(angle))
		}
	}
	return y
}

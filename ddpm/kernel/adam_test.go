package kernel

import (
	"math"
	"testing"
)

// TestAdam follows PyTorch's Adam in float64 for some steps.
func TestAdam(t *testing.T) {
	rng := newRand(t)
	const n, lr, beta1, beta2, eps, decay = 37, 1e-2, 0.9, 0.999, 1e-8, 0.99
	w := randoms(rng, n)
	m, v, ema := make([]float32, n), make([]float32, n), clone(w)
	w64, ema64, m64, v64 := widened(w), widened(w), make([]float64, n), make([]float64, n)
	p := NewPool(2)
	defer p.Close()
	for step := 1; step <= 20; step++ {
		g := randoms(rng, n)
		bias1, bias2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
		AdamStep{LR: lr, Beta1: beta1, Beta2: beta2, Eps: eps, Bias1: bias1, Bias2: bias2, GradScale: 0.5, EMADecay: decay}.
			Apply(p, w, m, v, ema, g)
		for i := range n {
			h := 0.5 * float64(g[i])
			m64[i] = beta1*m64[i] + (1-beta1)*h
			v64[i] = beta2*v64[i] + (1-beta2)*h*h
			w64[i] -= lr / bias1 * m64[i] / (math.Sqrt(v64[i])/math.Sqrt(bias2) + eps)
			ema64[i] = decay*ema64[i] + (1-decay)*w64[i]
		}
		compareClose(t, "w", w, w64)
		compareClose(t, "ema", ema, ema64)
		compareClose(t, "m", m, m64)
	}
}

// TestSumSquaresMeaning compares SumSquares with the text of its doc comment.
func TestSumSquaresMeaning(t *testing.T) {
	rng := newRand(t)
	for _, n := range []int{0, 1, 7, 8, 100, 4096, 4097, 9000} {
		x := randoms(rng, n)
		var want float64
		for c := 0; c < n; c += 4096 {
			var l [8]float64
			for i := c; i < min(c+4096, n); i++ {
				l[(i-c)%8] += float64(x[i]) * float64(x[i])
			}
			want += ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
		}
		if got := SumSquares(nil, x); got != want {
			t.Errorf("%d values: %v, want %v", n, got, want)
		}
	}
}

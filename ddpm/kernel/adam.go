package kernel

import "math"

// AdamStep holds the factors of one Adam update (Kingma and Ba, "Adam", 2015,
// algorithm 1, with eps where PyTorch has it) followed by a moving average of the
// weights. Bias1 is 1-Beta1^t and Bias2 is 1-Beta2^t for step t, counted from 1.
type AdamStep struct {
	LR, Beta1, Beta2, Eps, Bias1, Bias2 float64
	GradScale                           float64 // the gradient is multiplied by it first
	EMADecay                            float64
}

// Apply updates the weights w, the moments m and v and the moving average ema,
// all of one length, with the gradient g:
//
//	m = Beta1·m + (1-Beta1)·g;  v = Beta2·v + (1-Beta2)·g²
//	w = w - LR·(m/Bias1) / (sqrt(v/Bias2) + Eps)
//	ema = EMADecay·ema + (1-EMADecay)·w
//
// Meaning: for the step, c1 = 1-Beta1, c2 = 1-Beta2, ce = 1-EMADecay, rate = LR/Bias1
// and root = 1/sqrt(Bias2) in float64; these, and the other factors, rounded to
// float32. For each
// weight, h = g·GradScale; m = FMA(c1, h-m, m); v = FMA(c2·h, h, Beta2·v);
// u = m / FMA(sqrt(v), root, Eps); w = FMA(-rate, u, w); ema = FMA(ce, w-ema, ema).
func (s AdamStep) Apply(p *Pool, w, m, v, ema, g []float32) {
	need("m", m, len(w))
	need("v", v, len(w))
	need("ema", ema, len(w))
	need("g", g, len(w))
	k := adamFactors{
		scale: float32(s.GradScale), c1: float32(1 - s.Beta1), c2: float32(1 - s.Beta2), beta2: float32(s.Beta2),
		root: float32(1 / math.Sqrt(s.Bias2)), eps: float32(s.Eps),
		minusRate: -float32(s.LR / s.Bias1), ce: float32(1 - s.EMADecay),
	}
	p.run(len(w), sumChunk, func(_ *workspace, lo, hi int) {
		adam(w[lo:hi], m[lo:hi], v[lo:hi], ema[lo:hi], g[lo:hi], &k)
	})
}

// adamFactors are the constants of one step, in the order that the vector code
// reads them.
type adamFactors struct {
	scale, c1, c2, beta2, root, eps, minusRate, ce float32
}

// sumChunk is the number of elements that SumSquares sums on their own. It is
// part of its meaning.
const sumChunk = 4096

// SumSquares returns the sum of x[i]².
//
// Meaning, in float64: for chunks of 4096 elements, lane l of 8 sums the exact
// squares of elements l, l+8, ... ascending from 0, and the lanes are added by
// SoftmaxRows's tree; the chunks' sums are added ascending from 0.
func SumSquares(p *Pool, x []float32) float64 {
	sums := grow(&p.shared().doubles, (len(x)+sumChunk-1)/sumChunk)
	p.run(len(sums), 1, func(_ *workspace, lo, hi int) {
		for i := lo; i < hi; i++ {
			var lanes [8]float64
			squareLanes(&lanes, x[i*sumChunk:min((i+1)*sumChunk, len(x))])
			sums[i] = treeSum(&lanes)
		}
	})
	var total float64
	for _, s := range sums {
		total += s
	}
	return total
}

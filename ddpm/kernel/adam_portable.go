package kernel

import "math"

func adamPortable(w, m, v, ema, g []float32, k *adamFactors) {
	for i := range w {
		h := float32(g[i] * k.scale) // the conversion forbids fusing
		mi := FMA(k.c1, h-m[i], m[i])
		vi := FMA(k.c2*h, h, k.beta2*v[i])
		// The float64 square root of a float32 rounds to the right float32.
		u := mi / FMA(float32(math.Sqrt(float64(vi))), k.root, k.eps)
		wi := FMA(k.minusRate, u, w[i])
		m[i], v[i], w[i] = mi, vi, wi
		ema[i] = FMA(k.ce, wi-ema[i], ema[i])
	}
}

// squareLanesPortable adds the squares of x to the lanes. x[0] goes to lane 0.
func squareLanesPortable(lanes *[8]float64, x []float32) {
	for i, v := range x {
		lanes[i%8] += float64(float64(v) * float64(v))
	}
}

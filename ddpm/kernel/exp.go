package kernel

// Exp sets dst[i] = e^x[i], within 2 units in the last place. Results above the
// largest float32 are +Inf, those below the smallest subnormal 0, and NaN stays.
//
// Meaning, with c the nearest float32 to the constant in expScalar:
//
//	v = min(max(x, -104), 89), where a NaN stays
//	t = FMA(v, 1/ln 2, 3·2^22);  n = t - 3·2^22;  r = FMA(n, -ln2lo, FMA(n, -ln2hi, v))
//	q = c6;  q = FMA(q, r, c) for c = c5, c4, c3, c2, 1, 1
//	e^x = (q · 2^(n>>1)) · 2^(n-(n>>1))
func Exp(dst, x []float32) {
	need("dst", dst, len(x))
	expTo(dst[:len(x)], x)
}

// SiLU sets dst[i] = x·σ(x), the sigmoid-weighted linear unit.
//
// Meaning: x / (1 + Exp(-x)).
func SiLU(dst, x []float32) {
	need("dst", dst, len(x))
	silu(dst[:len(x)], x)
}

// SiLUGrad sets dx[i] = dy·σ(x)·(1 + x·(1-σ(x))), the gradient of SiLU's x.
//
// Meaning: s = 1 / (1 + Exp(-x));  dx = dy · (s · FMA(x, 1-s, 1)).
func SiLUGrad(dx, dy, x []float32) {
	need("dx", dx, len(x))
	need("dy", dy, len(x))
	siluGrad(dx[:len(x)], dy, x)
}

package kernel

import "math"

// The constants of Exp. ln 2 is split in two so that r keeps its low bits. The
// polynomial is 1 + r + c2·r² + ... + c6·r⁶ with c2 to c6 from a Remez exchange for
// the relative error on |r| <= ln(2)/2, which is 3.1e-9 before rounding.
const (
	expMin   = -104
	expMax   = 89
	log2e    = float32(0x1.715476p0)
	expMagic = float32(3 << 22) // adding it rounds to a whole number
	ln2Hi    = float32(0x1.62e430p-1)
	ln2Lo    = float32(-0x1.05c610p-29)
	expC2    = float32(0x1.fffffcp-2)
	expC3    = float32(0x1.555492p-3)
	expC4    = float32(0x1.5558f2p-5)
	expC5    = float32(0x1.123a20p-7)
	expC6    = float32(0x1.6a23d0p-10)
)

// expScalar is Exp of one value.
func expScalar(x float32) float32 {
	if x != x {
		return x
	}
	x = min(max(x, expMin), expMax)
	n := FMA(x, log2e, expMagic) - expMagic
	r := FMA(n, -ln2Lo, FMA(n, -ln2Hi, x))
	q := FMA(expC6, r, expC5)
	q = FMA(q, r, expC4)
	q = FMA(q, r, expC3)
	q = FMA(q, r, expC2)
	q = FMA(q, r, 1)
	q = FMA(q, r, 1)
	i := int32(n)
	return q * power2(i>>1) * power2(i-i>>1)
}

// power2 returns 2^n for a normal result.
func power2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// siluScalar is SiLU of one value.
func siluScalar(x float32) float32 { return x / (1 + expScalar(-x)) }

// siluGradScalar is the factor of dy in SiLUGrad.
func siluGradScalar(x float32) float32 {
	s := 1 / (1 + expScalar(-x))
	return s * FMA(x, 1-s, 1)
}

func expPortable(dst, x []float32) {
	for i, v := range x {
		dst[i] = expScalar(v)
	}
}

func siluPortable(dst, x []float32) {
	for i, v := range x {
		dst[i] = siluScalar(v)
	}
}

func siluGradPortable(dx, dy, x []float32) {
	for i, v := range x {
		dx[i] = dy[i] * siluGradScalar(v)
	}
}

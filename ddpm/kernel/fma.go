package kernel

import "math"

// FMA returns a·b+c rounded once to float32, on every architecture.
//
// The product of two float32 values is exact in float64, so only the float64
// sum may be inexact. Rounding that sum to float32 rounds a second time, which
// does harm only where the sum sits on a midpoint between two float32 values or
// where the result is subnormal; fmaExact handles those.
func FMA(a, b, c float32) float32 {
	p := float64(float64(a) * float64(b))
	s := p + float64(c)
	if u := math.Float64bits(s); u&0x1fffffff == 0x10000000 || u>>52&0x7ff-1 < 896 {
		return fmaExact(p, float64(c), s)
	}
	return float32(s)
}

// fmaExact rounds the exact sum p+c, whose float64 rounding is s, to float32. It
// first rounds to odd: where s is not exact and its last bit is even, the
// neighbour on the side of the true sum takes its place. A value rounded to odd
// keeps enough of the discarded part for the second rounding to be right
// (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
// The discarded part comes from Knuth's TwoSum.
func fmaExact(p, c, s float64) float32 {
	if s != s {
		return float32(s)
	}
	t := s - p
	e := (p - (s - t)) + (c - t)
	u := math.Float64bits(s)
	if e != 0 && u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return float32(math.Float64frombits(u))
}

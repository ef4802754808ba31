package rng

import "math"

// ln2 in two parts: the first has 32 trailing zero bits, so that its product
// with a small integer is exact.
const (
	ln2Hi = 0x1.62e42feep-1
	ln2Lo = 0x1.a39ef35793c76p-33
)

// Log returns the natural logarithm of a positive, finite, normal x, with an
// error of about one unit in the last place. Anything else is a bug of the
// caller and gives NaN.
//
// x = m·2^e with m in [√½, √2); ln m = 2·artanh(s), s = (m-1)/(m+1), by its
// series up to s^21 (|s| < 0.1716, so the rest is below 2^-60).
func Log(x float64) float64 {
	if !(x >= 0x1p-1022) || x > math.MaxFloat64 {
		return math.NaN()
	}
	b := math.Float64bits(x)
	e := int(b>>52) - 1023
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52)
	if m > math.Sqrt2 {
		m *= 0.5
		e++
	}
	s := (m - 1) / (m + 1)
	z := s * s
	sum := 0.0
	for n := 21; n >= 3; n -= 2 {
		sum = float64(sum*z) + 1/float64(n)
	}
	tail := float64(float64(2*s)*float64(sum*z)) + float64(float64(e)*ln2Lo)
	return float64(float64(e)*ln2Hi) + (float64(2*s) + tail)
}

// Exp returns e^x with an error of about one unit in the last place; x must be
// finite and |x| below 700.
//
// x = k·ln2 + r with |r| <= ln2/2; e^r by its Taylor series up to r^14.
func Exp(x float64) float64 {
	k := math.Floor(float64(x*(1/math.Ln2)) + 0.5)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	sum := 1.0
	for n := 14; n >= 1; n-- {
		sum = 1 + float64(sum*(r/float64(n)))
	}
	return sum * math.Float64frombits(uint64(1023+int(k))<<52)
}

// Sin returns the sine of x radians, |x| <= 2^20.
func Sin(x float64) float64 {
	s, _ := sinCos(x)
	return s
}

// Cos returns the cosine of x radians, |x| <= 2^20.
func Cos(x float64) float64 {
	_, c := sinCos(x)
	return c
}

// π/2 in three parts; the first two have 33 bits, so that their products with a
// quadrant number below 2^20 are exact (Cody and Waite 1980).
const (
	piHalf1 = 0x1.921fb544p0
	piHalf2 = 0x1.0b4611a6p-34
	piHalf3 = 0x1.3198a2e037073p-69
)

func sinCos(x float64) (sin, cos float64) {
	q := math.Floor(float64(x*(2/math.Pi)) + 0.5)
	r := ((x - float64(q*piHalf1)) - float64(q*piHalf2)) - float64(q*piHalf3)
	return rotate(r, int64(q))
}

// sinCosTurn returns sine and cosine of 2π·u for u in [0, 1]: the quadrant is
// taken exactly before anything is rounded.
func sinCosTurn(u float64) (sin, cos float64) {
	q := math.Floor(float64(4*u) + 0.5)
	r := float64((float64(4*u) - q) * (math.Pi / 2))
	return rotate(r, int64(q))
}

// rotate evaluates both Taylor series at |r| <= π/4 (up to r^17 and r^18) and
// turns the result by q quadrants.
func rotate(r float64, q int64) (sin, cos float64) {
	z := r * r
	s, c := 1.0, 1.0
	for n := 8; n >= 1; n-- {
		s = 1 - float64(s*(z/float64(2*n*(2*n+1))))
	}
	for n := 9; n >= 1; n-- {
		c = 1 - float64(c*(z/float64(2*n*(2*n-1))))
	}
	s *= r
	switch q & 3 {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	default:
		return -c, s
	}
}

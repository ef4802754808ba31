package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is a·b+c by exact arithmetic.
func exactFMA(a, b, c float32) float32 {
	s := float64(a)*float64(b) + float64(c)
	if math.IsNaN(s) || math.IsInf(s, 0) || s == 0 {
		return float32(s) // no finite rounding is involved
	}
	product := new(big.Float).SetPrec(64).Mul(big.NewFloat(float64(a)), big.NewFloat(float64(b)))
	sum := new(big.Float).SetPrec(1000).Add(product, big.NewFloat(float64(c)))
	r, _ := sum.Float32()
	return r
}

func checkFMA(t *testing.T, a, b, c float32) {
	t.Helper()
	if got, want := FMA(a, b, c), exactFMA(a, b, c); !sameBits(got, want) {
		t.Fatalf("FMA(%x, %x, %x) = %x, want %x", a, b, c, got, want)
	}
}

// fmaSpecials are values at the edges of the format.
var fmaSpecials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 3, 0x1.000002p0, 0x1.fffffep0, math.MaxFloat32, -math.MaxFloat32,
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, 0x1.fffffcp-127, 0x1p-75, 0x1p-24, -0x1p-24, 0x1p-25,
	0x1p-149, 0x1p-63, 0x1p64, 0x1p103, 0x1p-100, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

func TestFMASpecials(t *testing.T) {
	for _, a := range fmaSpecials {
		for _, b := range fmaSpecials {
			for _, c := range fmaSpecials {
				checkFMA(t, a, b, c)
			}
		}
	}
}

// TestFMARandom draws operands that often put the sum near a midpoint of float32,
// or into the subnormal or overflowing range.
func TestFMARandom(t *testing.T) {
	rng := newRand(t)
	hard := 0
	for range 100_000 {
		a, b := fewBits(rng, 60), fewBits(rng, 60)
		p := math.Abs(float64(a) * float64(b))
		// c is up to 2^60 larger or smaller than the product.
		c := float32(math.Ldexp(float64(fewBits(rng, 0)), math.Ilogb(p)+rng.IntN(120)-60))
		if rng.IntN(4) == 0 {
			down := rng.IntN(120)
			a, c = float32(math.Ldexp(float64(a), -down)), float32(math.Ldexp(float64(c), -down))
		}
		checkFMA(t, a, b, c)
		if s := float64(a)*float64(b) + float64(c); float32(s) != FMA(a, b, c) {
			hard++
		}
	}
	if hard == 0 {
		t.Error("no operands made rounding twice differ: the test draws too easy ones")
	}
}

// fewBits returns a value with few or many significant bits and an exponent
// within spread of 0.
func fewBits(rng *rand.Rand, spread int) float32 {
	m := rng.Uint32()&0x7fffff | 0x800000
	if rng.IntN(2) == 0 {
		m = 1<<23 | 1<<rng.IntN(24) | 1<<rng.IntN(24)
	}
	v := float32(m)
	if rng.IntN(2) == 0 {
		v = -v
	}
	return float32(math.Ldexp(float64(v), rng.IntN(2*spread+1)-spread-23))
}

func FuzzFMA(f *testing.F) {
	f.Add(uint32(0x3f800001), uint32(0x3f800001), uint32(0x33800000))
	f.Add(uint32(0x00000001), uint32(0x3f000000), uint32(0x80000000))
	f.Add(uint32(0x7f7fffff), uint32(0x3f800000), uint32(0x73000000))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		checkFMA(t, math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c))
	})
}

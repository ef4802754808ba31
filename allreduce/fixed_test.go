package allreduce

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFixedRoundsToNearestEven(t *testing.T) {
	tests := []struct {
		bits int
		x    float32
		want int64
	}{
		{1, 0.25, 0}, {1, 0.75, 2}, {1, 1.25, 2}, {1, -0.25, 0}, {1, -0.75, -2},
		{1, 0.26, 1}, {1, 0.24, 0},
		{40, 1, 1 << 40}, {40, -1, -1 << 40}, {40, 0x1p-40, 1}, {40, 0x1p-41, 0}, {40, 0x1.8p-40, 2},
		{40, 0x1p-149, 0}, {40, float32(math.Copysign(0, -1)), 0},
		{24, 0x1.fffffep-1, 1<<24 - 1},
	}
	for _, tt := range tests {
		dst := []int64{100}
		if ok := (Fixed{tt.bits}).Accumulate(dst, []float32{tt.x}, 1); !ok || dst[0] != 100+tt.want {
			t.Errorf("%d bits: %g adds %d (%v), want %d", tt.bits, tt.x, dst[0]-100, ok, tt.want)
		}
		if got, ok := (Fixed{tt.bits}).FromFloat64(float64(tt.x), 1); !ok || got != tt.want {
			t.Errorf("%d bits: FromFloat64(%g) = %d (%v), want %d", tt.bits, tt.x, got, ok, tt.want)
		}
	}
}

func TestFixedRefusesWhatDoesNotFit(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	below := math.Nextafter32(0x1p23, 0)
	tests := []struct {
		name  string
		x     float32
		terms int
		ok    bool
	}{
		{"NaN", nan, 1, false},
		{"infinity", inf, 1, false},
		{"negative infinity", -inf, 1, false},
		{"just below 2^63", below, 1, true},
		{"just above -2^63", -below, 1, true},
		{"2^63", 0x1p23, 1, false},
		{"-2^63, whose negative would not fit", -0x1p23, 1, false},
		{"half, twice", below / 2, 2, true},
		{"half of 2^63, twice", 0x1p22, 2, false},
		{"a third", 0x1p22, 3, false},
		{"largest float32", math.MaxFloat32, 1, false},
	}
	for _, tt := range tests {
		dst := []int64{5, 6, 7}
		ok := Fixed{40}.Accumulate(dst, []float32{1, tt.x, 2}, tt.terms)
		if ok != tt.ok {
			t.Errorf("%s: Accumulate is %v", tt.name, ok)
		}
		if dst[0] != 5+1<<40 || dst[2] != 7+2<<40 {
			t.Errorf("%s: its neighbours were not added: %d", tt.name, dst)
		}
		if !ok && dst[1] != 6 {
			t.Errorf("%s: it has added %d", tt.name, dst[1]-6)
		}
		set := []int64{5, 6, 7}
		if ok := (Fixed{40}).Convert(set, []float32{1, tt.x, 2}, tt.terms); ok != tt.ok || set[0] != 1<<40 || set[2] != 2<<40 {
			t.Errorf("%s: Convert is %v: %d", tt.name, ok, set)
		}
		if !ok && set[1] != 0 {
			t.Errorf("%s: it is converted to %d", tt.name, set[1])
		}
		if (Fixed{40}).Fits([]float32{1, tt.x, 2}, tt.terms) != tt.ok {
			t.Errorf("%s: Fits is %v", tt.name, !tt.ok)
		}
		if got, ok := (Fixed{40}).FromFloat64(float64(tt.x), tt.terms); ok != tt.ok || (!ok && got != 0) {
			t.Errorf("%s: FromFloat64 is %d, %v", tt.name, got, ok)
		}
	}
	if _, ok := (Fixed{40}).FromFloat64(math.MaxFloat64, 1); ok {
		t.Error("the largest float64 fits")
	}
}

func TestLargestIsTheLastThatFits(t *testing.T) {
	for _, terms := range []int{1, 2, 3, 5, 7, 16, 100, 1023, 1024, 1025, 1 << 20, 1<<20 + 1, math.MaxInt32} {
		f := largest(terms)
		sum := new(big.Int).Mul(big.NewInt(int64(f)), big.NewInt(int64(terms)))
		if f != math.Trunc(f) || !sum.IsInt64() {
			t.Errorf("%d terms of %g overflow", terms, f)
		}
		next := max(f+1, math.Nextafter(f, math.Inf(1)))
		exact, _ := big.NewFloat(next).Int(nil)
		if exact.Mul(exact, big.NewInt(int64(terms))).IsInt64() {
			t.Errorf("%d terms: %g fits too", terms, next)
		}
	}
}

// A sum must not depend on the order of its terms, nor on how they are split.
func TestFixedSumsDoNotDependOnOrder(t *testing.T) {
	r := newRand(t)
	f := Fixed{DefaultFractionBits}
	const n, terms = 50, 24
	shards := make([][]float32, terms)
	for i := range shards {
		shards[i] = randomFloats(r, n)
	}
	want := make([]int64, n)
	for _, s := range shards {
		if !f.Accumulate(want, s, terms) {
			t.Fatal("a value does not fit")
		}
	}
	for range 100 {
		r.Shuffle(terms, func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
		parts := make([][]int64, 1+r.IntN(5))
		for i := range parts {
			parts[i] = make([]int64, n)
		}
		for _, s := range shards {
			f.Accumulate(parts[r.IntN(len(parts))], s, terms)
		}
		got := make([]int64, n)
		for _, p := range parts {
			for i, x := range p {
				got[i] += x
			}
		}
		if !slices.Equal(got, want) {
			t.Fatal("the sum depends on the order")
		}
	}
}

// randomFloats are exact in their making, and the same on every machine.
func randomFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Ldexp(float64(r.Int32N(1<<24)-1<<23), -23-r.IntN(20)))
	}
	return x
}

func TestMeanRoundsAsItSays(t *testing.T) {
	r := newRand(t)
	for range 10000 {
		bits, terms := 24+r.IntN(25), 1+r.IntN(1000)
		sum := int64(r.Uint64()) >> r.IntN(63)
		a := new(big.Float).SetPrec(53).SetInt64(sum)
		a.SetMantExp(a, -bits)
		a.Quo(a, new(big.Float).SetInt64(int64(terms)))
		want, _ := a.Float32()
		f := Fixed{bits}
		got := []float32{0}
		f.Means(terms)(got, []int64{sum})
		if f.Mean(sum, terms) != want || got[0] != want {
			t.Fatalf("mean of %d with %d bits over %d: %g and %g, want %g", sum, bits, terms, f.Mean(sum, terms), got[0], want)
		}
	}
}

// Means of a power of two of terms divide no more, to the same bits.
func TestMeansOverAPowerOfTwo(t *testing.T) {
	r := newRand(t)
	for bits := range 62 {
		f := Fixed{bits + 1}
		for shift := range 31 {
			sums := sumsOf(r, 40)
			got := make([]float32, len(sums))
			f.Means(1<<shift)(got, sums)
			for i, sum := range sums {
				if want := f.Mean(sum, 1<<shift); math.Float32bits(got[i]) != math.Float32bits(want) {
					t.Fatalf("mean of %d with %d bits over 2^%d: %x, want %x", sum, f.FractionBits, shift, got[i], want)
				}
			}
		}
	}
}

func TestFixedFloat64ThereAndBack(t *testing.T) {
	r := newRand(t)
	f := Fixed{DefaultFractionBits}
	for range 1000 {
		x := math.Ldexp(float64(r.Int64N(1<<52)), -DefaultFractionBits)
		if r.IntN(2) == 0 {
			x = -x
		}
		sum, ok := f.FromFloat64(x, 8)
		if got := f.ToFloat64(sum); !ok || got != x {
			t.Fatalf("%g becomes %d (%v), then %g", x, sum, ok, got)
		}
	}
}

func TestFixedValidate(t *testing.T) {
	for bits, ok := range map[int]bool{-1: false, 0: false, 1: true, DefaultFractionBits: true, 62: true, 63: false} {
		if err := (Fixed{bits}).Validate(); (err == nil) != ok {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

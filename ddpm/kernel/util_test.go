package kernel

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes the clock")

// newRand returns a generator whose seed the test prints when it fails.
func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with -seed=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// randoms returns n values of a standard normal distribution.
func randoms(rng *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	return s
}

// garbage returns n values that an output must overwrite.
func garbage(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(math.NaN())
	}
	return s
}

// widened returns s in float64.
func widened(s []float32) []float64 {
	d := make([]float64, len(s))
	for i, v := range s {
		d[i] = float64(v)
	}
	return d
}

// sameBits tells whether two values are the same; all NaN are.
func sameBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// compareBits reports the first values that differ.
func compareBits(t testing.TB, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i, v := range want {
		if !sameBits(got[i], v) {
			t.Fatalf("%s[%d] = %x, want %x", name, i, got[i], v)
		}
	}
}

// guard is a word that no kernel computes, and guardWords how many stand on each
// side of a guarded slice.
const (
	guard      = 0x7fa5a5a5
	guardWords = 20
)

// guarded is a slice between guard words.
type guarded struct{ all, data []float32 }

// newGuarded copies s to a slice that starts offset words into a vector.
func newGuarded(s []float32, offset int) guarded {
	all := make([]float32, len(s)+2*guardWords+offset)
	for i := range all {
		all[i] = math.Float32frombits(guard)
	}
	data := all[guardWords+offset:][:len(s):len(s)]
	copy(data, s)
	return guarded{all, data}
}

// check reports guard words that have been written.
func (g guarded) check(t testing.TB, name string) {
	t.Helper()
	start := len(g.all) - guardWords - len(g.data)
	for i, v := range g.all {
		if (i < start || i >= start+len(g.data)) && math.Float32bits(v) != guard {
			t.Fatalf("%s: wrote element %d of %d", name, i-start, len(g.data))
		}
	}
}

// specials are the values that arithmetic treats in its own way.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -0x1.8p-130, 0x1p-126, 88.7, 88.8, -87.4, -103.9, -104.1, 1e4,
}

// withSpecials returns n random values, of which about one in eight is special.
func withSpecials(rng *rand.Rand, n int) []float32 {
	s := randoms(rng, n)
	for i := range s {
		switch rng.IntN(16) {
		case 0:
			s[i] = specials[rng.IntN(len(specials))]
		case 1:
			s[i] = math.Float32frombits(rng.Uint32())
		}
	}
	return s
}

// clone returns a copy of s.
func clone(s []float32) []float32 { return append([]float32(nil), s...) }

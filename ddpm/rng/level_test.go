package rng

import (
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
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

// atLevels runs a test at every level but the portable one, whose code is the
// meaning of the others.
func atLevels(t *testing.T, test func(t *testing.T)) {
	for _, l := range []cpulevel.Level{cpulevel.AVX2, cpulevel.AVX512} {
		t.Run(string(l), func(t *testing.T) {
			setLevel(t, l)
			test(t)
		})
	}
}

// guarded is a slice between guards that nothing may write.
type guarded[T comparable] struct {
	all, data []T
	guard     T
}

const guardLen = 16

// newGuarded makes a slice of n guards that starts offset elements into a vector.
func newGuarded[T comparable](n, offset int, guard T) guarded[T] {
	all := slices.Repeat([]T{guard}, n+2*guardLen+offset)
	return guarded[T]{all, all[guardLen+offset:][:n:n], guard}
}

func (g guarded[T]) check(t *testing.T, name string) {
	t.Helper()
	start := len(g.all) - guardLen - len(g.data)
	for i, v := range g.all {
		if (i < start || i >= start+len(g.data)) && v != g.guard {
			t.Fatalf("%s: wrote element %d of %d", name, i-start, len(g.data))
		}
	}
}

// compareFloats wants the same bits.
func compareFloats(t *testing.T, name string, got, want []float32, seed uint64, ctr [4]uint32) {
	t.Helper()
	for i, x := range want {
		if math.Float32bits(got[i]) != math.Float32bits(x) {
			t.Fatalf("%s of seed %#x, counter %#x: element %d is %x, want %x", name, seed, ctr, i, got[i], x)
		}
	}
}

// checkLevel compares what the level makes of n blocks, and of rest elements more,
// with the portable code.
func checkLevel(t *testing.T, n, rest, offset int, seed uint64, ctr [4]uint32, threshold uint32) {
	t.Helper()
	want, got := make([]float32, 4*n+rest), newGuarded[float32](4*n+rest, offset, -77)
	normalsPortable(want, seed, ctr)
	normals(got.data, seed, ctr)
	got.check(t, "normals")
	compareFloats(t, "normals", got.data, want, seed, ctr)
	a := math.Ldexp(float64(threshold)+1, -20)
	uniformsPortable(want, a, seed, ctr)
	uniforms(got.data, a, seed, ctr)
	got.check(t, "uniforms")
	compareFloats(t, "uniforms", got.data, want, seed, ctr)
	wantMasks, gotMasks := make([]uint8, n), newGuarded[uint8](n, offset, 0xa5)
	masksPortable(wantMasks, threshold, seed, ctr)
	masks(gotMasks.data, threshold, seed, ctr)
	gotMasks.check(t, "masks")
	if !slices.Equal(gotMasks.data, wantMasks) {
		t.Fatalf("masks of seed %#x, counter %#x, threshold %#x are %x, want %x", seed, ctr, threshold, gotMasks.data, wantMasks)
	}
}

func TestLevelsAgree(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for n := range 71 {
			for rest := range 4 {
				ctr := [4]uint32{r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()}
				checkLevel(t, n, rest, r.IntN(8), r.Uint64(), ctr, r.Uint32())
			}
		}
		// The number of the block runs over on its own.
		ctr := [4]uint32{math.MaxUint32 - 5, math.MaxUint32, math.MaxUint32, math.MaxUint32}
		checkLevel(t, 40, 1, 3, math.MaxUint64, ctr, 1<<31)
		checkLevel(t, 200_000, 0, 0, r.Uint64(), Counter(Noise, 3, 4, 0), 1<<28)
	})
}

// counterOf is the counter of which Philox makes the words: a round can be undone,
// since its factors are odd.
func counterOf(key uint64, words [4]uint32) [4]uint32 {
	inverse := func(m uint32) uint32 {
		x := m // right in 3 bits, and in twice as many after each turn
		for range 4 {
			x *= 2 - m*x
		}
		return x
	}
	c := words
	for round := uint32(rounds); round > 0; round-- {
		k0, k1 := uint32(key)+(round-1)*philoxW0&math.MaxUint32, uint32(key>>32)+(round-1)*philoxW1&math.MaxUint32
		c0, c2 := c[3]*inverse(philoxM0), c[1]*inverse(philoxM1)
		hi0, hi1 := uint32(uint64(philoxM0)*uint64(c0)>>32), uint32(uint64(philoxM1)*uint64(c2)>>32)
		c = [4]uint32{c0, c[0] ^ hi1 ^ k0, c2, c[2] ^ hi0 ^ k1}
	}
	return c
}

// edges are words at which a branch of the portable code turns: the ends, the
// quadrants' borders and middles, and where a logarithm's mantissa passes √2.
func edges() []uint32 {
	words := []uint32{0, math.MaxUint32}
	for _, x := range []float64{0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, math.Sqrt2 / 2, math.Sqrt2 / 4, math.Sqrt2 / 8, 0x1p-31, 0x1p-30, 0x1.8p-31, 0x1p-20} {
		word := uint32(x * (1 << 32))
		words = append(words, word-2, word-1, word, word+1, word+2)
	}
	return words
}

func TestLevelsAgreeOnEdges(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for _, a := range edges() {
			for _, b := range edges() {
				seed, words := r.Uint64(), [4]uint32{a, b, b, a}
				ctr := counterOf(seed, words)
				if got := Philox4x32(seed, ctr); got != words {
					t.Fatalf("the counter's words are %x, want %x", got, words)
				}
				before := ctr
				before[0] -= uint32(r.IntN(8)) // the block in any lane
				checkLevel(t, 8, 0, 0, seed, before, b)
			}
		}
	})
}

// TestDropoutMasks checks what a mask means, word by word.
func TestDropoutMasks(t *testing.T) {
	const first, threshold = 1000, 0x20000000
	dst := slices.Repeat([]uint8{0xff}, 300)
	Masks(dst, threshold, 5, Dropout, 7, 9, first)
	kept := 0
	for j, m := range dst {
		for i, w := range Philox4x32(5, Counter(Dropout, 7, 9, first+uint32(j))) {
			if (m>>i&1 == 1) != (w >= threshold) {
				t.Fatalf("mask %d is %x, its word %d %#x", j, m, i, w)
			}
			kept += int(m >> i & 1)
		}
		if m > 15 {
			t.Fatalf("mask %d is %x", j, m)
		}
	}
	if share := float64(kept) / 1200; math.Abs(share-0.875) > 0.05 {
		t.Errorf("%.3f stay, want 0.875", share)
	}
}

// FuzzLevels compares each kernel with the portable code, on chosen words.
func FuzzLevels(f *testing.F) {
	f.Add(uint64(1), uint32(0), uint32(0), uint32(math.MaxUint32), uint32(math.MaxUint32), uint32(1<<29), uint8(8))
	f.Add(uint64(math.MaxUint64), uint32(1<<31), uint32(1<<30), uint32(3<<30), uint32(1<<29), uint32(0), uint8(31))
	f.Fuzz(func(t *testing.T, seed uint64, a, b, c, d, threshold uint32, n uint8) {
		for _, l := range cpulevel.Available()[1:] {
			setLevel(t, l)
			checkLevel(t, int(n)/4, int(n)%4, int(n)%8, seed, counterOf(seed, [4]uint32{a, b, c, d}), threshold)
		}
	})
}

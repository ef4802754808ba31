package allreduce

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

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

// newGuarded copies s to where it starts offset elements into a vector.
func newGuarded[T comparable](s []T, offset int, guard T) guarded[T] {
	all := slices.Repeat([]T{guard}, len(s)+2*guardLen+offset)
	data := all[guardLen+offset:][:len(s):len(s)]
	copy(data, s)
	return guarded[T]{all, data, guard}
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

// specialFloats are what a conversion treats in its own way, at 40 fraction bits
// and few terms.
var specialFloats = []float32{
	0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 0x1p-41, -0x1p-41, 0x1.8p-40, -0x1.8p-40, 0x1.4p-39,
	0x1p22, -0x1p22, 0x1p23, -0x1p23, 0x1.fffffep22, -0x1.fffffep22, 0x1.fffffep21, 0x1p21, 0x1p-9, 0x1.fffffep-9, 0x1p11, 0x1.800002p12,
}

// valuesToRound are n values of many sizes, of which every one that special asks
// for is a special one.
func valuesToRound(r *rand.Rand, n int, special bool) []float32 {
	x := make([]float32, n)
	for i := range x {
		switch x[i] = float32(math.Ldexp(r.NormFloat64(), -r.IntN(60)+18)); {
		case special && r.IntN(4) == 0:
			x[i] = specialFloats[r.IntN(len(specialFloats))]
		case special && r.IntN(8) == 0:
			x[i] = math.Float32frombits(r.Uint32())
		}
	}
	return x
}

// sumsOf are n sums of every size.
func sumsOf(r *rand.Rand, n int) []int64 {
	x := make([]int64, n)
	for i := range x {
		switch x[i] = int64(r.Uint64()) >> r.IntN(64); r.IntN(16) {
		case 0:
			x[i] = []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1<<53 + 1, -1<<53 - 1, 1<<32 - 1, -1 << 32, 1 << 31}[r.IntN(10)]
		}
	}
	return x
}

func checkAccumulate(t *testing.T, sums []int64, values []float32, bits, terms, offset int) {
	t.Helper()
	scale, limit := Fixed{bits}.scale(), largest(terms)
	want := slices.Clone(sums)
	wantOK := accumulatePortable(want, values, scale, limit)
	dst, src := newGuarded(sums, offset%4, 77), newGuarded(values, offset%8, -3)
	ok := accumulate(dst.data, src.data, scale, limit)
	dst.check(t, "sums")
	src.check(t, "values")
	if ok != wantOK || !slices.Equal(dst.data, want) {
		t.Fatalf("%d values %v at %d bits, %d terms: %v, %v; want %v, %v", len(values), values, bits, terms, dst.data, ok, want, wantOK)
	}

	if fits := (Fixed{bits}).Fits(src.data, terms); fits != wantOK {
		t.Fatalf("%d values %v at %d bits, %d terms fit: %v", len(values), values, bits, terms, fits)
	}

	// Set, they are what is added to sums of 0, whatever they were.
	clear(want)
	wantOK = accumulatePortable(want, values, scale, limit)
	dst = newGuarded(sums, offset%4, 77)
	ok = convert(dst.data, src.data, scale, limit)
	dst.check(t, "converted sums")
	if ok != wantOK || !slices.Equal(dst.data, want) {
		t.Fatalf("%d values %v at %d bits, %d terms converted: %v, %v; want %v, %v", len(values), values, bits, terms, dst.data, ok, want, wantOK)
	}
}

func TestLevelsAccumulateAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for n := range 71 {
			for trial := range 6 {
				checkAccumulate(t, sumsOf(r, n), valuesToRound(r, n, trial%2 > 0), 1+r.IntN(62), 1+r.IntN(9), r.IntN(8))
				checkAccumulate(t, sumsOf(r, n), valuesToRound(r, n, trial%2 > 0), DefaultFractionBits, 1+r.IntN(3), r.IntN(8))
			}
		}
		// A single value that does not fit shows wherever it stands.
		for i := range 24 {
			values := make([]float32, 24)
			values[i] = float32(math.NaN())
			checkAccumulate(t, make([]int64, 24), values, DefaultFractionBits, 1, 0)
		}
	})
}

func checkMeans(t *testing.T, sums []int64, bits, terms, offset int) {
	t.Helper()
	want := make([]float32, len(sums))
	meansPortable(want, sums, Fixed{bits}.resolution(), float64(terms))
	dst, src := newGuarded(make([]float32, len(sums)), offset%8, -3), newGuarded(sums, offset%4, 77)
	means(dst.data, src.data, Fixed{bits}.resolution(), float64(terms))
	dst.check(t, "means")
	for i, x := range want {
		if math.Float32bits(dst.data[i]) != math.Float32bits(x) {
			t.Fatalf("mean of %d at %d bits over %d is %x, want %x", sums[i], bits, terms, dst.data[i], x)
		}
	}
}

func TestLevelsMakeMeansAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for n := range 71 {
			for range 6 {
				checkMeans(t, sumsOf(r, n), 1+r.IntN(62), 1+r.IntN(1<<r.IntN(31)), r.IntN(8))
			}
		}
		checkMeans(t, sumsOf(r, 100_000), DefaultFractionBits, 48, 0)
		checkMeans(t, sumsOf(r, 100_000), DefaultFractionBits, 1, 0)
	})
}

// checkBlock packs and unpacks a block by the functions of the level and by the
// portable ones.
func checkBlock(t *testing.T, values, local []int64, offset int) {
	t.Helper()
	var z, wantZ [blockLen]uint64
	block := newGuarded(values, offset%4, 77)
	all := zigzagBlock(&z, (*[blockLen]int64)(block.data))
	if want := zigzagBlockPortable(&wantZ, (*[blockLen]int64)(values)); all != want || z != wantZ {
		t.Fatalf("zigzag forms of %v: %x, all %x; want %x, all %x", values, z, all, wantZ, want)
	}
	width := 64
	for width > 1 && all>>(width-1) == 0 {
		width--
	}
	for _, w := range []int{width, min(width+offset, maxWidth)} { // a block may be wider than it needs
		packed := newGuarded(make([]byte, rowBytes*w), offset, 0xa5)
		packLanes(packed.data, &z, allRows, uint(w))
		packed.check(t, "packed")
		want := make([]byte, rowBytes*w)
		packLanesPortable(want, &z, allRows, uint(w))
		if !bytes.Equal(packed.data, want) {
			t.Fatalf("%v at %d bits: packed as %x, want %x", values, w, packed.data, want)
		}
		back := newGuarded(make([]int64, blockLen), offset%4, 77)
		rest := unpackLanes((*[blockLen]int64)(back.data), packed.data, allRows, uint(w))
		back.check(t, "unpacked")
		if rest != 0 || !slices.Equal(back.data, values) {
			t.Fatalf("%v at %d bits comes back as %v, rest %x", values, w, back.data, rest)
		}
		unpackAddLanes((*[blockLen]int64)(back.data), packed.data, (*[blockLen]int64)(local), uint(w))
		back.check(t, "sums")
		for i, x := range back.data {
			if x != values[i]+local[i] {
				t.Fatalf("%d + %d at %d bits is %d", values[i], local[i], w, x)
			}
		}
	}
}

func TestLevelsPackAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for w := 0; w <= maxWidth; w++ {
			for offset := range 8 {
				checkBlock(t, withWidth(r, blockLen, w), sumsOf(r, blockLen), offset)
			}
		}
	})
}

// Words that no packing wrote are read alike too: they come from elsewhere.
func TestLevelsUnpackAnythingAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for w := 1; w <= maxWidth; w++ {
			words := make([]byte, rowBytes*w)
			for i := range words {
				words[i] = byte(r.Uint32())
			}
			var got, want [blockLen]int64
			unpackLanes(&got, words, allRows, uint(w))
			unpackLanesPortable(&want, words, allRows, uint(w))
			if got != want {
				t.Fatalf("words of %d bits are %v, want %v", w, got, want)
			}
		}
	})
}

// FuzzLevels compares each kernel with the portable code.
func FuzzLevels(f *testing.F) {
	f.Add([]byte("values that are rounded, summed, averaged and packed"), uint8(40), uint16(3), uint8(1))
	f.Add(bytes.Repeat([]byte{0xff, 0, 0x80, 0x7f, 0x5a}, 500), uint8(62), uint16(1000), uint8(7))
	f.Add(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.NaN()))), uint8(1), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, raw []byte, bits uint8, terms uint16, shift uint8) {
		fractionBits, n := 1+int(bits)%62, 1+int(terms)
		values := make([]float32, len(raw)/4)
		getFloat32s(values, raw)
		sums, block, local := make([]int64, len(raw)/8), make([]int64, blockLen), make([]int64, blockLen)
		getInt64s(sums, raw)
		for i, x := range sums {
			block[i%blockLen] = x >> (shift % 64)
			local[(i+1)%blockLen] = x
		}
		for _, l := range cpulevel.Available()[1:] {
			setLevel(t, l)
			checkAccumulate(t, make([]int64, len(values)), values, fractionBits, n, int(shift))
			checkMeans(t, sums, fractionBits, n, int(shift))
			checkBlock(t, block, local, int(shift%8))
		}
	})
}

// The order of a message's bytes is the portable code's.
func TestFloat32sOfMessages(t *testing.T) {
	r := newRand(t)
	for n := range 20 {
		values := valuesToRound(r, n, true)
		got, want := newGuarded(make([]byte, 4*n), r.IntN(4), 0xa5), make([]byte, 4*n)
		putFloat32s(got.data, values)
		got.check(t, "bytes")
		if putFloat32sPortable(want, values); !bytes.Equal(got.data, want) {
			t.Fatalf("%v are %x, want %x", values, got.data, want)
		}
		for _, get := range []func([]float32, []byte){getFloat32s, getFloat32sPortable} {
			back := newGuarded(make([]float32, n), 0, -3)
			get(back.data, want)
			back.check(t, "values")
			for i, x := range values {
				if math.Float32bits(back.data[i]) != math.Float32bits(x) {
					t.Fatalf("%x come back as %v, want %v", want, back.data, values)
				}
			}
		}
	}
}

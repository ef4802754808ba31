package allreduce

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// lowerHalves are those of a float32 about which rounding to bfloat16 turns: nothing,
// a half and its neighbours, all, and a NaN's payload that is nowhere else.
var lowerHalves = []uint32{0, 1, 0x0040, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xbfff, 0xc000, 0xfffe, 0xffff}

// checkBF16 rounds values, writes them and reads them back, by the functions of the
// level and by the portable ones. The values' bytes are all that is compared.
func checkBF16(t *testing.T, values []float32, offset int) {
	t.Helper()
	n, guard := len(values), float32(-3)
	want, wantBytes := slices.Clone(values), make([]byte, 2*n)
	roundBF16Portable(want)
	rounded := newGuarded(values, offset%16, guard)
	roundBF16s(rounded.data)
	rounded.check(t, "rounded")
	equalBits(t, "rounded", rounded.data, want)

	for _, x := range [][]float32{values, want} { // writing drops what rounding would
		src, dst := newGuarded(x, offset%16, guard), newGuarded(make([]byte, 2*n), offset, 0xa5)
		putBF16s(dst.data, src.data)
		dst.check(t, "bytes")
		if putBF16Portable(wantBytes, x); !bytes.Equal(dst.data, wantBytes) {
			t.Fatalf("%x are %x, want %x", x, dst.data, wantBytes)
		}
		got := newGuarded(make([]float32, n), (offset+3)%16, guard)
		getBF16s(got.data, dst.data)
		got.check(t, "values")
		back := make([]float32, n)
		getBF16Portable(back, wantBytes)
		equalBits(t, "read", got.data, back)
	}
	// A rounded value travels whole.
	back := make([]float32, n)
	getBF16s(back, wantBytes)
	equalBits(t, "back", back, want)
}

func equalBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i, x := range want {
		if g, w := math.Float32bits(got[i]), math.Float32bits(x); g != w {
			t.Fatalf("%s: element %d of %d is %08x, want %08x", name, i, len(want), g, w)
		}
	}
}

// anyFloats are n floats of any bits, every other one about where rounding turns.
func anyFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		b := r.Uint32()
		if r.IntN(2) == 0 {
			b = b&^0xffff | lowerHalves[r.IntN(len(lowerHalves))]
		}
		x[i] = math.Float32frombits(b)
	}
	return x
}

// Every upper half there is: all exponents, signs, denormals, infinities and NaNs.
func TestLevelsRoundEveryUpperHalfAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		x := make([]float32, 1<<16)
		for _, lower := range append(lowerHalves, newRand(t).Uint32()&0xffff) {
			for i := range x {
				x[i] = math.Float32frombits(uint32(i)<<16 | lower)
			}
			checkBF16(t, x, 0)
		}
	})
}

func TestLevelsHandleBF16OfEveryLengthAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for n := range 201 {
			for range 4 {
				checkBF16(t, anyFloats(r, n), r.IntN(64))
			}
		}
		for offset := range 64 { // every start within a line of the cache
			checkBF16(t, anyFloats(r, 160), offset)
		}
	})
}

// FuzzLevelsBF16 compares the kernels of bfloat16 with the portable code.
func FuzzLevelsBF16(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0, 0x80, 0x80, 0x3f, 1, 0, 0x80, 0x7f}, 30), uint8(1))
	f.Add([]byte{0xff, 0x7f, 0, 0, 1, 0, 0x80, 0xff}, uint8(0))
	f.Fuzz(func(t *testing.T, raw []byte, offset uint8) {
		values := make([]float32, len(raw)/4)
		getFloat32s(values, raw)
		for _, l := range cpulevel.Available()[1:] {
			setLevel(t, l)
			checkBF16(t, values, int(offset%64))
		}
	})
}

package allreduce

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sumsOfWidth are n sums of so many bits, one of them of all of these.
func sumsOfWidth(r *rand.Rand, n, width int) []int64 {
	sums := make([]int64, n)
	for i := range sums {
		sums[i] = int64(r.Uint64()) >> (64 - width)
	}
	sums[0] = 1<<(width-1) - 1
	return sums
}

// Results travel in the shortest form, and all forms give the same values.
func TestResultsTakeTheShortestForm(t *testing.T) {
	const n = 1000
	for _, tt := range []struct {
		name   string
		width  int // of the sums, in bits
		known  bool
		gather Gather
		bits   float64 // of each result, at most
		summed bool
	}{
		{"narrow sums", 20, true, GatherFloat32, 20.5, true},
		{"narrow sums that are not known", 20, false, GatherFloat32, 31, false},
		{"wide sums", 60, true, GatherFloat32, 30, false},
		{"wide sums that are not known", 60, false, GatherFloat32, 30, false},
		{"sums narrower than bfloat16", 10, true, GatherBF16, 10.5, true},
		{"sums wider than bfloat16", 20, true, GatherBF16, 14, false},
		{"wide sums as bfloat16", 60, false, GatherBF16, 14, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sums := sumsOfWidth(newRand(t), n, tt.width)
			v := Vector{Finish: Fixed{DefaultFractionBits}.Means(6), Gather: tt.gather}
			b := checkResults(t, v, sums, tt.known, tt.summed)
			if got := float64(8*len(b)) / n; got > tt.bits {
				t.Errorf("%.1f bits for each result, want at most %.1f", got, tt.bits)
			}
		})
	}
}

// checkResults has results travel, and returns them as they do.
func checkResults(t *testing.T, v Vector, sums []int64, known, summed bool) []byte {
	t.Helper()
	want := make([]float32, len(sums))
	v.results(want, sums)
	all := sums
	if !known {
		sums = nil
	}
	prefix := []byte("tail")
	room := slices.Grow(slices.Clone(prefix), v.resultBound(len(want)))
	b := v.appendResult(room, sums, want)
	if &b[0] != &room[0] {
		t.Errorf("%d bytes for %d results, more than the bound of %d", len(b)-len(prefix), len(want), v.resultBound(len(want)))
	}
	b = b[len(prefix):]
	if len(b) > v.Gather.bytes(len(want)) {
		t.Errorf("%d bytes for %d results", len(b), len(want))
	}
	got, gotSums := make([]float32, len(want)), make([]int64, len(want))
	is, err := v.takeResult(got, gotSums, b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }) {
		t.Error("other values than the owner's")
	}
	if is != summed || summed && !slices.Equal(gotSums, all) {
		t.Errorf("summed: %v, want %v", is, summed)
	}
	return b
}

// Any values come back to the bit, in blocks that are whole or not.
func TestAnyResultsComeBack(t *testing.T) {
	r := newRand(t)
	for _, gather := range []Gather{GatherFloat32, GatherBF16} {
		for _, n := range []int{0, 1, 3, 8, 255, 256, 257, 300, 511, 512, 700} {
			for _, special := range []bool{false, true} {
				values := valuesToRound(r, n, special)
				v := Vector{Gather: gather, Finish: func(dst []float32, _ []int64) { copy(dst, values) }}
				checkResults(t, v, make([]int64, n), false, n == 0)
			}
			same := slices.Repeat([]float32{-1.5}, n)
			v := Vector{Gather: gather, Finish: func(dst []float32, _ []int64) { copy(dst, same) }}
			checkResults(t, v, make([]int64, n), false, n == 0)
		}
	}
}

// Of sums of many sizes, each block takes its own form.
func TestBlocksOfResultsDiffer(t *testing.T) {
	r := newRand(t)
	v := Vector{Finish: Fixed{DefaultFractionBits}.Means(2)}
	sums := slices.Concat(sumsOfWidth(r, blockLen, 12), sumsOfWidth(r, blockLen, 50), sumsOfWidth(r, 40, 20))
	b := checkResults(t, v, sums, true, false)
	if want := blockLen*12/8 + blockLen*30/8 + 40*4; len(b) > want {
		t.Errorf("%d bytes, want at most %d", len(b), want)
	}
}

func TestMalformedResults(t *testing.T) {
	const n = 2 * blockLen
	for _, gather := range []Gather{GatherFloat32, GatherBF16} {
		v := Vector{Finish: Fixed{DefaultFractionBits}.Means(1), Gather: gather}
		sums := sumsOfWidth(newRand(t), n, 50)
		values := make([]float32, n)
		v.results(values, sums)
		whole := v.appendResult(nil, sums, values)
		change := func(at int, to byte) []byte {
			b := slices.Clone(whole)
			b[at] = to
			return b
		}
		for name, b := range map[string][]byte{
			"nothing":             nil,
			"half a head":         whole[:3],
			"half a block":        whole[:100],
			"one byte short":      whole[:len(whole)-1],
			"one byte more":       append(slices.Clone(whole), 0),
			"more than plain":     make([]byte, gather.bytes(n)+1),
			"a width too large":   change(0, offsetBlock|byte(gather.width()+1)),
			"sums too wide":       change(0, maxWidth+1),
			"more than any value": change(4, 0xff),
		} {
			if _, err := v.takeResult(make([]float32, n), make([]int64, n), b); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestBF16RoundsToNearestEven(t *testing.T) {
	for _, tt := range []struct{ x, want uint32 }{
		{0x3f800000, 0x3f800000}, {0x80000000, 0x80000000},
		{0x3f807fff, 0x3f800000}, {0x3f808000, 0x3f800000}, {0x3f808001, 0x3f810000}, // about half a unit above 1
		{0x3f818000, 0x3f820000}, {0xbf818000, 0xbf820000}, // ties, to even
		{0x3fffffff, 0x40000000}, {0x00000001, 0}, {0x0000c000, 0x00010000}, // a carry; subnormals
		{0x7f7fffff, 0x7f800000}, {0x7f800000, 0x7f800000}, {0xff800000, 0xff800000},
		{0x7f800001, 0x7fc00000}, {0xffffffff, 0xffff0000}, // NaN
	} {
		got := []float32{math.Float32frombits(tt.x)}
		GatherBF16.round(got)
		if bits := math.Float32bits(got[0]); bits != tt.want {
			t.Errorf("%08x becomes %08x, want %08x", tt.x, bits, tt.want)
		}
		b, back := make([]byte, 2), make([]float32, 1)
		GatherBF16.put(b, got)
		if GatherBF16.get(back, b); math.Float32bits(back[0]) != tt.want {
			t.Errorf("%08x comes back as %08x", tt.want, math.Float32bits(back[0]))
		}
	}
}

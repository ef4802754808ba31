package allreduce

import (
	"math"
	"slices"
	"testing"
)

// A result travels in the shorter of its forms, and both give the same values.
func TestResultTakesTheShorterForm(t *testing.T) {
	for _, tt := range []struct {
		name   string
		width  int // of the sums, in bits
		narrow bool
		gather Gather
		packed bool
	}{
		{"narrow sums", 20, true, GatherFloat32, true},
		{"narrow sums that nobody foretold", 20, false, GatherFloat32, false},
		{"sums as wide as float32", 32, true, GatherFloat32, false},
		{"wide sums after a narrow part", 60, true, GatherFloat32, false},
		{"wide sums", 60, false, GatherFloat32, false},
		{"sums narrower than bfloat16", 12, true, GatherBF16, true},
		{"sums wider than bfloat16", 20, true, GatherBF16, false},
		{"wide sums as bfloat16", 60, false, GatherBF16, false},
	} {
		t.Run(tt.name, func(t *testing.T) { checkResultForm(t, tt.width, tt.narrow, tt.gather, tt.packed) })
	}
}

func checkResultForm(t *testing.T, width int, narrow bool, gather Gather, packed bool) {
	const n = 1000
	r := newRand(t)
	sums := make([]int64, n)
	for i := range sums {
		sums[i] = int64(r.Uint64()) >> (64 - width)
	}
	sums[0] = 1<<(width-1) - 1
	v := Vector{Sum: sums, Out: make([]float32, n), Finish: Fixed{DefaultFractionBits}.Means(6), Gather: gather}
	want := make([]float32, n)
	v.results(want, sums)

	s := newStep(&Ring{cfg: Config{Member: Member{World: 2}, SegmentElems: n, InFlight: 1, BucketElems: n}}, 1, v)
	prefix := []byte("tail")
	b := s.appendResult(slices.Grow(slices.Clone(prefix), s.resultBound(n, narrow)), sums, want, narrow)
	if got := len(b) - len(prefix); got > gather.bytes(n) || got < gather.bytes(n) != packed {
		t.Errorf("%d bytes for %d results", got, n)
	}
	if err := s.takeResult(place{span: span{0, n}}, b[len(prefix):]); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(v.Out, want) {
		t.Error("other values than the owner's")
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

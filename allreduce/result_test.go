package allreduce

import (
	"slices"
	"testing"
)

// A result travels in the shorter of its forms, and both give the same values.
func TestResultTakesTheShorterForm(t *testing.T) {
	const n = 1000
	for _, tt := range []struct {
		name   string
		width  int // of the sums, in bits
		narrow bool
		packed bool
	}{
		{"narrow sums", 20, true, true},
		{"narrow sums that nobody foretold", 20, false, false},
		{"sums as wide as float32", 32, true, false},
		{"wide sums after a narrow part", 60, true, false},
		{"wide sums", 60, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRand(t)
			sums := make([]int64, n)
			for i := range sums {
				sums[i] = int64(r.Uint64()) >> (64 - tt.width)
			}
			sums[0] = 1<<(tt.width-1) - 1
			v := Vector{Sum: sums, Out: make([]float32, n), Finish: Fixed{DefaultFractionBits}.Means(6)}
			want := make([]float32, n)
			v.Finish(want, sums)

			prefix := []byte("tail")
			b := appendResult(slices.Grow(slices.Clone(prefix), resultBound(n, tt.narrow)), sums, want, tt.narrow)
			if got := len(b) - len(prefix); got > 4*n || got < 4*n != tt.packed {
				t.Errorf("%d bytes for %d results", got, n)
			}
			s := newStep(&Ring{cfg: Config{Member: Member{World: 2}, SegmentElems: n, InFlight: 1}}, 1, v)
			if err := s.takeResult(place{span: span{0, n}}, b[len(prefix):]); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(v.Out, want) {
				t.Error("other values than the owner's")
			}
		})
	}
}

package allreduce

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// withTerms gives some of the ranks a term in the place of their sums.
func withTerms(r *rand.Rand, vs []Vector) []Vector {
	for rank := range vs {
		if v := &vs[rank]; r.IntN(2) == 0 {
			v.Term = &Term{Values: valuesToRound(r, len(v.Sum), true), Fixed: Fixed{FractionBits: 1 + r.IntN(50)}, Terms: 1 + r.IntN(9)}
			v.Sum = nil
		}
	}
	return vs
}

// sumsBrought are a rank's own sums.
func sumsBrought(v Vector) []int64 {
	if v.Term == nil {
		return v.Sum
	}
	sums := make([]int64, len(v.Term.Values))
	accumulatePortable(sums, v.Term.Values, v.Term.Fixed.scale(), largest(v.Term.Terms))
	return sums
}

// bitsBrought are a copy of what a rank brings, of NaNs too.
func bitsBrought(v Vector) []uint64 {
	var b []uint64
	for _, x := range v.Sum {
		b = append(b, uint64(x))
	}
	if v.Term != nil {
		for _, x := range v.Term.Values {
			b = append(b, uint64(math.Float32bits(x)))
		}
	}
	return b
}

func TestOwnIsTakenInBlocks(t *testing.T) {
	r := newRand(t)
	for _, n := range []int{0, 1, blockLen - 1, blockLen, blockLen + 9, 5*blockLen + 100} {
		v := Vector{Term: &Term{Values: valuesToRound(r, n, true), Fixed: Fixed{FractionBits: 40}, Terms: 3}}
		want := sumsBrought(v)
		for name, v := range map[string]Vector{"term": v, "sums": {Sum: want}} {
			lo := r.IntN(n + 1)
			hi := lo + r.IntN(n-lo+1)
			if got := v.own(lo, hi).appendTo([]int64{7}); !slices.Equal(got[1:], want[lo:hi]) || got[0] != 7 {
				t.Errorf("%s: elements %d to %d of %d are %d, want %d", name, lo, hi, n, got, want[lo:hi])
			}
			if got := appendOwn(nil, v.own(lo, hi)); !slices.Equal(got, AppendPacked(nil, want[lo:hi])) {
				t.Errorf("%s: elements %d to %d of %d are packed otherwise", name, lo, hi, n)
			}
		}
	}
}

// A vector that brings what can't be is refused, and the ring breaks for all.
func TestTermsThatAreRefused(t *testing.T) {
	term := &Term{Values: make([]float32, 4), Fixed: Fixed{FractionBits: 40}, Terms: 1}
	finish := Fixed{FractionBits: 40}.Means(1)
	for text, v := range map[string]Vector{
		"both sums and a term":   {Sum: make([]int64, 4), Term: term, Out: make([]float32, 4), Finish: finish},
		"4 sums and 3 results":   {Term: term, Out: make([]float32, 3), Finish: finish},
		"reduces through memory": {Term: term, Out: make([]float32, 4), Finish: finish},
	} {
		rings := newRings(t, Config{}, NewMemoryRing(2))
		if strings.Contains(text, "memory") {
			shareAll(t, rings)
		}
		each(2, func(rank int) {
			if err := rings[rank].AllReduce(testContext(t), 0, v); err == nil || rank == 0 && !strings.Contains(err.Error(), text) {
				t.Errorf("rank %d: %v, want an error with %q", rank, err, text)
			}
		})
	}
}

// What a level converts without halves goes as far as 2^51, either way.
func TestLevelsConvertSmallAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		scale := Fixed{40}.scale()
		for _, most := range []float32{0x1p11, 0x1p-39, 1} {
			x := make([]float32, 64)
			for i := range x {
				x[i] = most * (2*r.Float32() - 1)
			}
			x[5], x[6], x[7], x[8] = most, -most, math.Nextafter32(most, 0), -math.Nextafter32(most, 0)
			for _, last := range []float32{0, math.Nextafter32(most, 8*most), float32(math.NaN())} {
				x[60] = last
				got, want := make([]int64, len(x)), make([]int64, len(x))
				ok := convert(got, x, scale, largest(3))
				if wantOK := convertPortable(want, x, scale, largest(3)); ok != wantOK || !slices.Equal(got, want) {
					t.Errorf("up to %g: %v %d, want %v %d", most, ok, got, wantOK, want)
				}
			}
		}
	})
}

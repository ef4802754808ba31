package allreduce

import (
	"slices"
	"testing"
)

// Results become offsets, and these results, at every level alike, whatever they are.
func TestLevelsMakeOffsetsAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for n := 1; n <= blockLen; n++ {
			values := valuesToRound(r, n, true)
			in := newGuarded(values, n%8, 7)
			least, most := magnitudes(in.data)
			if l, m := magnitudesPortable(values); l != least || m != most {
				t.Fatalf("magnitudes of %d values are %x … %x, want %x … %x", n, least, most, l, m)
			}
			for _, gather := range []Gather{GatherFloat32, GatherBF16} {
				base, shift := uint64(least>>gather.shift()), gather.shift()
				got, want := newGuarded(make([]uint64, n), n%4, 7), make([]uint64, n)
				offsets(got.data, in.data, base, shift)
				offsetsPortable(want, values, base, shift)
				got.check(t, "offsets")
				if !slices.Equal(got.data, want) {
					t.Fatalf("other offsets of %d values", n)
				}
				mixed := make([]int64, n)
				for i, z := range want { // also such as no values have
					if mixed[i] = unzigzag(z); r.IntN(8) == 0 {
						mixed[i] = int64(r.Uint64()) >> r.IntN(64)
					}
				}
				back, wantBack := newGuarded(make([]float32, n), n%8, 7), make([]float32, n)
				all := fromOffsets(back.data, mixed, base, shift)
				wantAll := fromOffsetsPortable(wantBack, mixed, base, shift)
				back.check(t, "values of offsets")
				if all != wantAll || !slices.Equal(bytesOfValues(back.data), bytesOfValues(wantBack)) {
					t.Fatalf("other values of %d offsets", n)
				}
			}
		}
	})
}

func TestLevelsUnpackOffsetsAlike(t *testing.T) {
	atLevels(t, func(t *testing.T) {
		r := newRand(t)
		for w := uint(1); w <= maxWidth; w++ {
			src := make([]byte, int(w)*rowBytes)
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			for _, gather := range []Gather{GatherFloat32, GatherBF16} {
				base := uint64(r.Uint32() >> r.IntN(32))
				got, want := newGuarded(make([]float32, blockLen), int(w%8), 7), make([]float32, blockLen)
				var block [blockLen]int64
				all := unpackOffsets((*[blockLen]float32)(got.data), &block, src, w, base, gather.shift())
				unpackLanesPortable(&block, src, allRows, w)
				wantAll := fromOffsetsPortable(want, block[:], base, gather.shift())
				got.check(t, "values")
				if all != wantAll || !slices.Equal(bytesOfValues(got.data), bytesOfValues(want)) {
					t.Fatalf("other values of offsets of %d bits", w)
				}
			}
		}
	})
}

// bytesOfValues are values to the bit.
func bytesOfValues(x []float32) []byte {
	b := make([]byte, 4*len(x))
	putFloat32sPortable(b, x)
	return b
}

package kernel

import "testing"

// TestColSumMeaning compares ColSum with the text of its doc comment.
func TestColSumMeaning(t *testing.T) {
	rng := newRand(t)
	for _, rows := range []int{0, 1, 64, 65, 200} {
		const cols = 19
		x, dst := randoms(rng, rows*cols), randoms(rng, cols)
		for _, accumulate := range []bool{false, true} {
			want := make([]float32, cols)
			for j := range want {
				if accumulate {
					want[j] = dst[j]
				}
				for r0 := 0; r0 < rows; r0 += 64 {
					var p float32
					for r := r0; r < min(r0+64, rows); r++ {
						p += x[r*cols+j]
					}
					want[j] += p
				}
			}
			got := append([]float32(nil), dst...)
			ColSum(nil, got, x, 1, rows, cols, accumulate)
			compareBits(t, "dst", got, want)
		}
	}
}

// TestElementwise checks values against plain Go.
func TestElementwise(t *testing.T) {
	rng := newRand(t)
	const n = 29
	a, b := randoms(rng, n), randoms(rng, n)
	sum, to, scaled, axpy, rows := make([]float32, n), clone(a), clone(a), clone(a), clone(a)
	Add(sum, a, b)
	AddTo(to, b)
	Scale(scaled, -3)
	Axpy(axpy, 0.7, b)
	AddRow(rows, b, 2, 14)
	for i := range n {
		row := a[i]
		if i < 28 {
			row += b[i%14]
		}
		for _, c := range []struct {
			name      string
			got, want float32
		}{
			{"Add", sum[i], a[i] + b[i]},
			{"AddTo", to[i], a[i] + b[i]},
			{"Scale", scaled[i], a[i] * -3},
			{"Axpy", axpy[i], FMA(0.7, b[i], a[i])},
			{"AddRow", rows[i], row},
		} {
			if c.got != c.want {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, c.got, c.want)
			}
		}
	}
}

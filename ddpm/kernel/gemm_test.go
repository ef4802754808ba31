package kernel

import (
	"fmt"
	"testing"
)

// chain is the meaning of one output of a product: term gives term k's factors,
// and reports false for a term that is left out.
func chain(c float32, add bool, terms int, term func(k int) (a, b float32, ok bool)) float32 {
	for k0 := 0; k0 < terms; k0 += KBlock {
		var acc float32
		for k := k0; k < min(k0+KBlock, terms); k++ {
			if a, b, ok := term(k); ok {
				acc = FMA(a, b, acc)
			}
		}
		if add || k0 > 0 {
			acc = c + acc
		}
		c = acc
	}
	if terms == 0 && !add {
		return 0
	}
	return c
}

// TestGemmMeaning compares Gemm with the text of its doc comment.
func TestGemmMeaning(t *testing.T) {
	rng := newRand(t)
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {7, 17, 256}, {13, 16, 257}, {6, 33, 700}, {100, 20, 300}, {4, 4, 0}} {
		for _, accumulate := range []bool{false, true} {
			t.Run(fmt.Sprint(s, accumulate), func(t *testing.T) {
				m, n, k := s[0], s[1], s[2]
				a, b, c := randoms(rng, m*k), randoms(rng, k*n), randoms(rng, m*n)
				want := make([]float32, m*n)
				for i := range want {
					want[i] = chain(c[i], accumulate, k, func(l int) (float32, float32, bool) {
						return a[i/n*k+l], b[l*n+i%n], true
					})
				}
				Gemm(nil, Mat{a, m, k, k, 1}, Mat{b, k, n, n, 1}, c, n, accumulate)
				compareBits(t, "c", c, want)
			})
		}
	}
}

// TestGemmCopies compares products whose left operand is copied, since its lines are
// crowdedStride apart, with those of the same matrix without gaps.
func TestGemmCopies(t *testing.T) {
	rng := newRand(t)
	const m, k, n = 43, 300, 70
	tight, b := randoms(rng, m*k), randoms(rng, k*n)
	for _, l := range []Level{LevelPortable, LevelAVX2, LevelAVX512} {
		t.Run(string(l), func(t *testing.T) {
			setLevel(t, l)
			want := make([]float32, m*n)
			Gemm(nil, Mat{tight, m, k, k, 1}, Mat{b, k, n, n, 1}, want, n, false)
			rows, columns := make([]float32, (m-1)*crowdedStride+k), make([]float32, (k-1)*crowdedStride+m)
			for i, v := range tight {
				rows[i/k*crowdedStride+i%k], columns[i%k*crowdedStride+i/k] = v, v
			}
			for name, a := range map[string]Mat{
				"rows":    {rows, m, k, crowdedStride, 1},
				"columns": {columns, m, k, 1, crowdedStride},
			} {
				c := garbage(m * n)
				Gemm(nil, a, Mat{b, k, n, n, 1}, c, n, false)
				compareBits(t, name, c, want)
			}
		})
	}
}

// TestGemmPanics checks that operands which are too small are refused before the
// assembly can reach past them.
func TestGemmPanics(t *testing.T) {
	s := make([]float32, 100)
	for name, call := range map[string]func(){
		"a":      func() { Gemm(nil, Mat{s, 10, 11, 11, 1}, Mat{s, 11, 2, 2, 1}, s, 2, false) },
		"b":      func() { Gemm(nil, Mat{s, 5, 10, 10, 1}, Mat{s, 10, 11, 11, 1}, s, 11, false) },
		"c":      func() { Gemm(nil, Mat{s, 10, 10, 10, 1}, Mat{s, 10, 10, 10, 1}, s, 11, false) },
		"ldc":    func() { Gemm(nil, Mat{s, 10, 10, 10, 1}, Mat{s, 10, 10, 10, 1}, s, 9, false) },
		"inner":  func() { Gemm(nil, Mat{s, 10, 9, 9, 1}, Mat{s, 10, 10, 10, 1}, s, 10, false) },
		"conv":   func() { Conv{N: 1, H: 2, W: 2, Cin: 1, Cout: 1, K: 3, Stride: 1}.Forward(nil, s, new(Packed), nil, s) },
		"packed": func() { Conv{N: 1, H: 3, W: 3, Cin: 1, Cout: 1, K: 3, Stride: 1}.Forward(nil, s, new(Packed), nil, s) },
		"groups": func() { GroupNorm{N: 1, HW: 1, C: 5, Groups: 2}.Forward(nil, s, s, s, s, s, s) },
		"short":  func() { SiLU(s[:4], s) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
}

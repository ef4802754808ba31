package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// The fuzz tests compare the products and convolutions with the texts of their doc
// comments at every level, with unaligned operands between guard words. Their seeds
// are ordinary tests; for more:
//
//	go test ./ddpm/kernel -run xxx -fuzz FuzzGemm

// FuzzGemm draws sizes, and strides by way of transposes.
func FuzzGemm(f *testing.F) {
	f.Add(uint16(9), uint16(70), uint16(300), uint8(3), uint64(1))
	f.Add(uint16(8), uint16(96), uint16(512), uint8(4), uint64(2))
	f.Add(uint16(512), uint16(64), uint16(5), uint8(1), uint64(3))
	f.Add(uint16(1), uint16(1), uint16(0), uint8(7), uint64(4))
	f.Fuzz(func(t *testing.T, m16, n16, k16 uint16, flags uint8, seed uint64) {
		m, n, k := int(m16%520)+1, int(n16%100)+1, int(k16%600)
		if m*n*k > 1<<20 {
			t.Skip("too large to be worth it")
		}
		transA, transB, accumulate := flags&1 > 0, flags&2 > 0, flags&4 > 0
		rng := rand.New(rand.NewPCG(seed, 1))
		c := kernelCase{"Gemm", []int{m * k, k * n, m * n}, func(p *Pool, s [][]float32) {
			a, b := Mat{s[0], m, k, k, 1}, Mat{s[1], k, n, n, 1}
			if transA {
				a.RowStride, a.ColStride = 1, m
			}
			if transB {
				b.RowStride, b.ColStride = 1, k
			}
			Gemm(p, a, b, s[2], n, accumulate)
		}}
		atEveryLevel(t, c, operandsFor(rng, c, seed%2 > 0), int(flags>>3), func(s [][]float32) {
			for i := range s[2] {
				s[2][i] = chain(s[2][i], accumulate, k, func(l int) (float32, float32, bool) {
					at, bt := i/n*k+l, l*n+i%n
					if transA {
						at = l*m + i/n
					}
					if transB {
						bt = i%n*k + l
					}
					return s[0][at], s[1][bt], true
				})
			}
		})
	})
}

// FuzzConv draws a convolution's sizes for the direct sums' three passes.
func FuzzConv(f *testing.F) {
	f.Add(uint8(2), uint8(5), uint8(7), uint8(20), uint8(33), uint16(0), uint64(1))
	f.Add(uint8(1), uint8(9), uint8(8), uint8(40), uint8(16), uint16(0x155), uint64(2))
	f.Add(uint8(3), uint8(4), uint8(4), uint8(63), uint8(47), uint16(0x2a6), uint64(3))
	f.Add(uint8(2), uint8(11), uint8(10), uint8(4), uint8(5), uint16(0x3ff), uint64(4))
	f.Fuzz(func(t *testing.T, n, h, w, cin, cout uint8, window uint16, seed uint64) {
		c := Conv{N: int(n % 4), H: int(h%12) + 1, W: int(w%12) + 1, Cin: int(cin%64) + 1, Cout: int(cout%64) + 1}
		c.K = int(window%5) + 1
		c.Stride, c.Pad, c.PadEnd = int(window>>3%3)+1, int(window>>5)%c.K, int(window>>8)%c.K
		if min(c.H, c.W)+c.Pad+c.PadEnd < c.K {
			t.Skip("no such convolution")
		}
		if c.pixelsOut()*c.weights() > 1<<20 {
			t.Skip("too large to be worth it")
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		x, weights, bias := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights()), randoms(rng, c.Cout)
		dy, dw := randoms(rng, c.pixelsOut()*c.Cout), randoms(rng, c.weights())
		wantY, wantX, wantW := c.meaning(x, weights, bias, dy, dw)
		offset := int(seed % 8)
		passes := convKernelCases(c)
		atEveryLevel(t, passes[0], [][]float32{x, weights, bias, garbage(len(dy))}, offset, func(s [][]float32) { copy(s[3], wantY) })
		atEveryLevel(t, passes[1], [][]float32{dy, weights, garbage(len(x))}, offset, func(s [][]float32) { copy(s[2], wantX) })
		atEveryLevel(t, passes[2], [][]float32{x, dy, dw}, offset, func(s [][]float32) { copy(s[2], wantW) })
	})
}

// FuzzWinograd draws the sizes of a convolution for Winograd's three passes, whose
// meaning is what portable Go computes, and near to the direct sums.
func FuzzWinograd(f *testing.F) {
	f.Add(uint8(2), uint8(8), uint8(9), uint8(0), uint8(1), uint64(1))
	f.Add(uint8(1), uint8(14), uint8(14), uint8(2), uint8(2), uint64(2))
	f.Add(uint8(2), uint8(0), uint8(3), uint8(17), uint8(0), uint64(3))
	// So many tiles that they are transformed on the way.
	f.Add(uint8(15), uint8(26), uint8(26), uint8(0), uint8(0), uint64(4))
	f.Fuzz(func(t *testing.T, n, h, w, cin, cout uint8, seed uint64) {
		c := same3(int(n%48), 6+int(h%28), 6+int(w%28), 16*(1+int(cin%20)), 16*(1+int(cout%20)))
		work := c.pixelsOut() * c.weights()
		if work > 1<<26 {
			t.Skip("too large to be worth it")
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		x, weights, bias, dy := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights()), randoms(rng, c.Cout), randoms(rng, c.pixelsOut()*c.Cout)
		operands := [][][]float32{
			{x, weights, bias, garbage(len(dy))},
			{dy, weights, garbage(len(x))},
			{x, dy, randoms(rng, len(weights))},
		}
		direct := convKernelCases(c)
		for i, pass := range winogradKernelCases(c) {
			last := len(operands[i]) - 1
			// Once only: Go's fuzzing gives an input 10 s, and portable Go is slow.
			portable := runCase(t, LevelPortable, 1, pass, operands[i], 0)
			if work < 1<<24 {
				sums := runCase(t, ActiveLevel(), 0, direct[i], operands[i], 0)
				compareNear(t, pass.name, portable[last], sums[last])
			}
			for _, l := range cpulevel.Available() {
				if l == LevelPortable {
					continue
				}
				got := runCase(t, l, 1, pass, operands[i], int(seed%8))
				for j := range portable {
					compareBits(t, fmt.Sprintf("%s at %s, operand %d", pass.name, l, j), got[j], portable[j])
				}
			}
		}
	})
}

// atEveryLevel compares a kernel's results at each level that there is with what want
// makes of the operands.
func atEveryLevel(t *testing.T, k kernelCase, operands [][]float32, offset int, want func(s [][]float32)) {
	t.Helper()
	expected := make([][]float32, len(operands))
	for i, o := range operands {
		expected[i] = clone(o)
	}
	want(expected)
	for _, l := range cpulevel.Available() {
		got := runCase(t, l, 1, k, operands, offset)
		for i := range expected {
			compareBits(t, fmt.Sprintf("%s at %s, operand %d", k.name, l, i), got[i], expected[i])
		}
	}
}

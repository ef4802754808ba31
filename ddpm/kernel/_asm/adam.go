package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// adam generates the update of the weights and the sum of squares.
func adam() {
	function("adam", "w *float32, m *float32, v *float32, ema *float32, grad *float32, k *float32, n int",
		"is adamPortable for n values, a multiple of 8; k points to an adamFactors.")
	p := pointers("w", "m", "v", "ema", "grad", "k")
	var k [8]VecVirtual // scale, c1, c2, beta2, root, eps, minusRate, ce
	for i := range k {
		k[i] = YMM()
		VBROADCASTSS(Mem{Base: p[5], Disp: 4 * i}, k[i])
	}
	each("vector", "n", func(off Register) {
		h := YMM()
		VMULPS(at(p[4], off), k[0], h)
		m, d := load(at(p[1], off)), YMM()
		VSUBPS(m, h, d)
		VFMADD231PS(d, k[1], m)
		VMOVUPS(m, at(p[1], off))
		v, c := YMM(), YMM()
		VMULPS(at(p[2], off), k[3], v)
		VMULPS(h, k[2], c)
		VFMADD231PS(h, c, v)
		VMOVUPS(v, at(p[2], off))
		VSQRTPS(v, v)
		VFMADD213PS(k[5], k[4], v)
		VDIVPS(v, m, m)
		w := load(at(p[0], off))
		VFMADD231PS(m, k[6], w)
		VMOVUPS(w, at(p[0], off))
		ema := load(at(p[3], off))
		VSUBPS(ema, w, w)
		VFMADD231PS(w, k[7], ema)
		VMOVUPS(ema, at(p[3], off))
	})
	end()

	function("squareLanes", "sum *float64, x *float32, n int", "is squareLanesPortable for n values, a multiple of 8.")
	p2 := pointers("sum", "x")
	var sum [2]VecVirtual
	for i := range sum {
		sum[i] = YMM()
		VMOVUPD(Mem{Base: p2[0], Disp: 32 * i}, sum[i])
	}
	each("vector", "n", func(off Register) {
		for i := range sum {
			from := at(p2[1], off)
			from.Disp = 16 * i
			v := YMM()
			VCVTPS2PD(from, v)
			VFMADD231PD(v, v, sum[i]) // the square is exact, so fusing changes nothing
		}
	})
	for i := range sum {
		VMOVUPD(sum[i], Mem{Base: p2[0], Disp: 32 * i})
	}
	end()
}

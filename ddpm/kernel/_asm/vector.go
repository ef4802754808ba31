package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// vectors generates the plain elementwise operations and column sums.
func vectors() {
	function("add", "dst *float32, a *float32, b *float32, n int", "is addPortable for n values, a multiple of 8.")
	p := pointers("dst", "a", "b")
	each("vector", "n", func(off Register) {
		v := load(at(p[1], off))
		VADDPS(at(p[2], off), v, v)
		VMOVUPS(v, at(p[0], off))
	})
	end()

	function("scale", "dst *float32, s float32, n int", "is scalePortable for n values, a multiple of 8.")
	p = pointers("dst")
	s := broadcast("s")
	each("vector", "n", func(off Register) {
		v := YMM()
		VMULPS(at(p[0], off), s, v)
		VMOVUPS(v, at(p[0], off))
	})
	end()

	function("axpy", "dst *float32, s float32, x *float32, n int", "is axpyPortable for n values, a multiple of 8.")
	p = pointers("dst", "x")
	s = broadcast("s")
	each("vector", "n", func(off Register) {
		v := load(at(p[0], off))
		VFMADD231PS(at(p[1], off), s, v)
		VMOVUPS(v, at(p[0], off))
	})
	end()

	function("addRow", "x *float32, row *float32, rows int, cols int, stride int", "is addRowPortable for cols columns, a multiple of 8.")
	row := pointers("row")[0]
	grid(pointers("x"), func(x []Register, off Register) {
		v := load(at(row, off))
		VADDPS(at(x[0], off), v, v)
		VMOVUPS(v, at(x[0], off))
	})
	end()

	function("colSumTo", "dst *float32, x *float32, rows int, cols int, stride int", "is colSumToPortable for cols columns, a multiple of 8.")
	dst := pointers("dst")[0]
	columns(pointers("x"), func(Register, int) any {
		return []VecVirtual{zero(), zero()}
	}, func(state any, x []Register, disp, i int) {
		acc := state.([]VecVirtual)[i]
		VADDPS(displaced(x[0], disp), acc, acc)
	}, func(state any, off Register, width int) {
		for i, v := range state.([]VecVirtual)[:width] {
			to := at(dst, off)
			to.Disp = 4 * lanes * i
			VADDPS(to, v, v)
			VMOVUPS(v, to)
		}
	})
	end()
}

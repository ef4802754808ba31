package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// softmax generates the parts of SoftmaxRows and SoftmaxRowsGrad, for one row.
func softmax() {
	function("rowMax", "max *float32, x *float32, n int", "is rowMaxPortable for n values, a multiple of 8, in 8 lanes which start from max.")
	p := pointers("max", "x")
	top := load(Mem{Base: p[0]})
	each("vector", "n", func(off Register) {
		// VMAXPS returns its second source, here top, for a NaN.
		v := load(at(p[1], off))
		VMAXPS(top, v, top)
	})
	VMOVUPS(top, Mem{Base: p[0]})
	end()

	function("expSum", "sum *float32, x *float32, n int, m float32, s float32", "is expSumPortable for n values, a multiple of 8.")
	p = pointers("sum", "x")
	m, s := broadcast("m"), broadcast("s")
	sum := load(Mem{Base: p[0]})
	each("vector", "n", func(off Register) {
		v := load(at(p[1], off))
		VSUBPS(m, v, v)
		VMULPS(s, v, v)
		e := exp(v)
		VMOVUPS(e, at(p[1], off))
		VADDPS(e, sum, sum)
	})
	VMOVUPS(sum, Mem{Base: p[0]})
	end()

	function("dotLanes", "sum *float32, a *float32, b *float32, n int", "is dotLanesPortable for n values, a multiple of 8.")
	p = pointers("sum", "a", "b")
	sum = load(Mem{Base: p[0]})
	each("vector", "n", func(off Register) {
		v := load(at(p[1], off))
		VFMADD231PS(at(p[2], off), v, sum)
	})
	VMOVUPS(sum, Mem{Base: p[0]})
	end()

	function("softmaxGradApply", "dx *float32, dy *float32, y *float32, n int, sum float32, s float32", "is softmaxGradApplyPortable for n values, a multiple of 8.")
	p = pointers("dx", "dy", "y")
	sum, s = broadcast("sum"), broadcast("s")
	each("vector", "n", func(off Register) {
		v := load(at(p[1], off))
		VSUBPS(sum, v, v)
		VMULPS(at(p[2], off), v, v)
		VMULPS(s, v, v)
		VMOVUPS(v, at(p[0], off))
	})
	end()
}

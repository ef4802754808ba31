package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// add generates the sum of integer vectors.
func add() {
	function("addAVX2", "dst *int64, a *int64, b *int64, n int", "is addPortable for n values, a multiple of 8.")
	dst, a, b := pointer("dst"), pointer("a"), pointer("b")
	groups(func() {
		for i := range 2 {
			x := YMM()
			VMOVDQU(displaced(a, 32*i), x)
			VPADDQ(displaced(b, 32*i), x, x)
			VMOVDQU(x, displaced(dst, 32*i))
		}
		for _, p := range []Register{a, b} { // the CPU's own prefetching ends with each page
			PREFETCHT0(displaced(p, 1024))
		}
	}, []Register{dst, a, b}, []int{8, 8, 8})
	VZEROUPPER()
	RET()
}

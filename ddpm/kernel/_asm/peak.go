package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peakChains is how many chains of FMAs go on at once: enough to fill two units with
// a latency of four or five cycles.
const peakChains = 12

// peaks generates loops that do nothing but multiply and add.
func peaks() {
	for _, s := range []isa{avx2, avx512} {
		TEXT("peak"+s.suffix, NOSPLIT, "func(n int)")
		Pragma("noescape")
		Doc("peak" + s.suffix + fmt.Sprintf(" makes %d FMAs of %d values, n times; n is above zero.", peakChains, s.bytes/4))
		n := Load(Param("n"), GP64())
		factor := s.zero()
		var acc []VecVirtual
		for range peakChains {
			acc = append(acc, s.zero())
		}
		Label("loop")
		for _, v := range acc {
			VFMADD231PS(factor, factor, v)
		}
		DECQ(n)
		JNZ(LabelRef("loop"))
		end()
	}
}

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// results generates the way of results to offsets from the smallest of them and back.
func results() {
	magnitudesAVX2()
	offsetsAVX2()
	fromOffsetsAVX2()
}

func magnitudesAVX2() {
	function("magnitudesAVX2", "src *float32, n int) (least, most uint32", "is magnitudesPortable for n values, a multiple of 8 above zero.")
	src := pointer("src")
	magnitude, least, most := YMM(), ones(), zeros()
	VPCMPEQD(magnitude, magnitude, magnitude)
	VPSRLD(Imm(1), magnitude, magnitude)
	groups(func() {
		m := YMM()
		VPAND(displaced(src, 0), magnitude, m)
		VPMINUD(m, least, least)
		VPMAXUD(m, most, most)
	}, []Register{src}, []int{4})
	half, x := XMM(), XMM()
	for i, of := range []struct {
		v       VecVirtual
		combine func(...Op)
	}{{least, func(ops ...Op) { VPMINUD(ops...) }}, {most, func(ops ...Op) { VPMAXUD(ops...) }}} {
		VEXTRACTI128(Imm(1), of.v, half)
		of.combine(of.v.AsX(), half, half)
		for _, other := range []uint64{0xee, 0x55} { // the upper two onto the lower, then the second onto the first
			VPSHUFD(Imm(other), half, x)
			of.combine(x, half, half)
		}
		result := GP32()
		VMOVD(half, result)
		Store(result, ReturnIndex(i))
	}
	VZEROUPPER()
	RET()
}

// wordOf loads an uint64 parameter into all lanes.
func wordOf(name string) VecVirtual {
	v := YMM()
	VPBROADCASTQ(parameter(name), v)
	return v
}

// countOf loads an uint64 parameter as the count of a shift.
func countOf(name string) VecVirtual {
	v := XMM()
	VMOVQ(parameter(name), v)
	return v
}

func offsetsAVX2() {
	function("offsetsAVX2", "dst *uint64, src *float32, n int, base uint64, shift uint64", "is offsetsPortable for n values, a multiple of 8 above zero.")
	dst, src := pointer("dst"), pointer("src")
	base, shift := wordOf("base"), countOf("shift")
	magnitude := small(33, 0)
	groups(func() {
		for i := range 2 {
			x, sign := YMM(), YMM()
			VPMOVZXDQ(displaced(src, 16*i), x)
			VPSRLQ(Imm(31), x, sign)
			VPAND(magnitude, x, x)
			VPSRLQ(shift, x, x)
			VPSUBQ(base, x, x)
			VPADDQ(x, x, x)
			VPOR(sign, x, x)
			VMOVDQU(x, displaced(dst, 32*i))
		}
	}, []Register{dst, src}, []int{8, 4})
	VZEROUPPER()
	RET()
}

func fromOffsetsAVX2() {
	function("fromOffsetsAVX2", "dst *float32, src *int64, n int, base uint64, shift uint64) (all uint64", "is fromOffsetsPortable for n values, a multiple of 8 above zero.")
	dst, src := pointer("dst"), pointer("src")
	base, shift := wordOf("base"), countOf("shift")
	negative, zero, all := small(63, 31), zeros(), zeros()
	groups(func() {
		halves := [2]VecVirtual{}
		for i := range halves {
			x, sign := YMM(), YMM()
			VMOVDQU(displaced(src, 32*i), x)
			VPCMPGTQ(x, zero, sign)
			VPXOR(sign, x, x)
			VPADDQ(base, x, x)
			VPOR(x, all, all)
			VPSLLQ(shift, x, x)
			VPAND(negative, sign, sign)
			VPOR(sign, x, x)
			halves[i] = x
		}
		VSHUFPS(Imm(0x88), halves[1], halves[0], halves[0]) // the lower half of each word, those of the two vectors in turn
		VPERMQ(Imm(0xd8), halves[0], halves[0])
		VMOVDQU(halves[0], displaced(dst, 0))
	}, []Register{dst, src}, []int{4, 8})
	storeAny(all)
	RET()
}

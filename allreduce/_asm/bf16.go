package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// bf16Group is how many values the kernels of bfloat16 take at a time.
const bf16Group = 32

// bf16 generates the rounding of float32 to bfloat16, its way to bytes and the way
// back. VCVTNEPS2BF16 takes denormals for zeros, which the portable code does not. The
// two ways gained less than 5% by AVX-512, so they are AVX2 alone.
func bf16() {
	roundBF16AVX2()
	roundBF16AVX512()
	putBF16AVX2()
	getBF16AVX2()
}

// bf16Function starts a kernel of bfloat16.
func bf16Function(verb, level, signature string) {
	function(verb+"BF16"+level, signature+", n int", fmt.Sprintf("is %sBF16Portable for n values, a multiple of %d.", verb, bf16Group))
}

// roundBF16AVX2 adds half a unit, or just less where the upper half is even, and drops
// the lower half. A NaN becomes quiet instead.
func roundBF16AVX2() {
	bf16Function("round", "AVX2", "x *float32")
	x := pointer("x")
	almost, quiet, upper := YMM(), YMM(), YMM()
	VPCMPEQD(upper, upper, upper)
	VPSRLD(Imm(31), upper, quiet)
	VPSLLD(Imm(22), quiet, quiet)
	VPSRLD(Imm(17), upper, almost)
	VPSLLD(Imm(16), upper, upper)
	groupsOf(bf16Group, func() {
		for at := 0; at < 4*bf16Group; at += 32 {
			v, sum, nan := YMM(), YMM(), YMM()
			VMOVDQU(displaced(x, at), v)
			VPSLLD(Imm(15), v, sum)
			VPSRLD(Imm(31), sum, sum)
			VPADDD(almost, sum, sum)
			VPADDD(v, sum, sum)
			VCMPPS(Imm(3), v, v, nan) // unordered
			VPOR(quiet, v, v)
			VBLENDVPS(nan, v, sum, sum)
			VPAND(upper, sum, sum)
			VMOVDQU(sum, displaced(x, at))
		}
	}, []Register{x}, []int{4})
	VZEROUPPER()
	RET()
}

func roundBF16AVX512() {
	bf16Function("round", "AVX512", "x *float32")
	x := pointer("x")
	almost, quiet, upper := ZMM(), ZMM(), ZMM()
	VPTERNLOGD(Imm(0xff), upper, upper, upper)
	VPSRLD(Imm(31), upper, quiet)
	VPSLLD(Imm(22), quiet, quiet)
	VPSRLD(Imm(17), upper, almost)
	VPSLLD(Imm(16), upper, upper)
	groupsOf(bf16Group, func() {
		for at := 0; at < 4*bf16Group; at += 64 {
			v, sum, nan := ZMM(), ZMM(), K()
			VMOVDQU32(displaced(x, at), v)
			VPSLLD(Imm(15), v, sum)
			VPSRLD(Imm(31), sum, sum)
			VPADDD(almost, sum, sum)
			VPADDD(v, sum, sum)
			VCMPPS(Imm(3), v, v, nan) // unordered
			VPORD(quiet, v, nan, sum)
			VPANDD(upper, sum, sum)
			VMOVDQU32(sum, displaced(x, at))
		}
	}, []Register{x}, []int{4})
	VZEROUPPER()
	RET()
}

func putBF16AVX2() {
	bf16Function("put", "AVX2", "dst *byte, src *float32")
	dst, src := pointer("dst"), pointer("src")
	groupsOf(bf16Group, func() {
		for at := 0; at < 2*bf16Group; at += 32 {
			low, high := YMM(), YMM()
			VMOVDQU(displaced(src, 2*at), low)
			VMOVDQU(displaced(src, 2*at+32), high)
			VPSRLD(Imm(16), low, low)
			VPSRLD(Imm(16), high, high)
			VPACKUSDW(high, low, low)
			VPERMQ(Imm(0xd8), low, low) // the pack works within halves
			VMOVDQU(low, displaced(dst, at))
		}
	}, []Register{dst, src}, []int{2, 4})
	VZEROUPPER()
	RET()
}

func getBF16AVX2() {
	bf16Function("get", "AVX2", "dst *float32, src *byte")
	dst, src := pointer("dst"), pointer("src")
	groupsOf(bf16Group, func() {
		for at := 0; at < 4*bf16Group; at += 32 {
			v := YMM()
			VPMOVZXWD(displaced(src, at/2), v)
			VPSLLD(Imm(16), v, v)
			VMOVDQU(v, displaced(dst, at))
		}
	}, []Register{dst, src}, []int{4, 2})
	VZEROUPPER()
	RET()
}

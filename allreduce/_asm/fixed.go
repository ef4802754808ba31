package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// accumulating begins the kernels that add values to sums, and those that set the sums.
func accumulating(level string, adds bool) {
	name, is := "accumulate"+level, "accumulatePortable"
	if !adds {
		name, is = "convert"+level, "convertPortable"
	}
	function(name, "dst *int64, src *float32, n int, scale float64, limit float64) (ok bool", "is "+is+" for n values, a multiple of 8.")
}

// rounder is 1.5·2^52: what is added to it is rounded to an integer, to nearest,
// ties to even, and stands in its lowest bits.
const rounder = 0x1.8p52

// accumulateAVX2 converts by halves, since AVX2 converts no 64-bit integers:
// y = hi·2^32 + lo with hi = y/2^32 rounded to an integer. lo is exact, its
// magnitude at most 2^31, and rounds as y does, because hi·2^32 is even.
func accumulateAVX2(adds bool) {
	accumulating("AVX2", adds)
	dst, src := pointer("dst"), pointer("src")
	scale, limit := broadcast("scale", YMM()), broadcast("limit", YMM())
	magic := constant("rounder", rounder, YMM())
	down, up := constant("down32", 0x1p-32, YMM()), constant("up32", 0x1p32, YMM())
	magnitude := small(1, 0)
	fits := ones()
	groups(func() {
		for i := range 2 {
			y, within := scaled(displaced(src, 16*i), scale, magnitude, limit, fits)
			hi, lo := YMM(), YMM()
			VMULPD(down, y, hi)
			VADDPD(magic, hi, hi)
			VSUBPD(magic, hi, lo)
			VMULPD(up, lo, lo)
			VSUBPD(lo, y, lo)
			VADDPD(magic, lo, lo)
			VPSUBQ(magic, lo, lo)
			VPSLLQ(Imm(32), hi, hi) // what is left of magic's bits goes
			VPADDQ(hi, lo, lo)
			VPAND(within, lo, lo)
			if adds {
				VPADDQ(displaced(dst, 32*i), lo, lo)
			}
			VMOVDQU(lo, displaced(dst, 32*i))
		}
	}, []Register{dst, src}, []int{8, 4})
	allFit(fits)
}

// convertSmallAVX2 needs no halves: what is of at most 2^51 rounds as it is added to
// rounder.
func convertSmallAVX2() {
	function("convertSmallAVX2", "dst *int64, src *float32, n int, scale float64, limit float64) (ok bool", "is convertPortable for n values, a multiple of 8, and a limit of at most 2^51; dst is left in no defined state when a value does not fit.")
	dst, src := pointer("dst"), pointer("src")
	scale, limit := broadcast("scale", YMM()), broadcast("limit", YMM())
	magic := constant("rounder", rounder, YMM())
	magnitude := small(1, 0)
	fits := ones()
	groups(func() {
		for i := range 2 {
			y, _ := scaled(displaced(src, 16*i), scale, magnitude, limit, fits)
			VADDPD(magic, y, y)
			VPSUBQ(magic, y, y)
			VMOVDQU(y, displaced(dst, 32*i))
		}
	}, []Register{dst, src}, []int{8, 4})
	allFit(fits)
}

// scaled returns 4 values times scale, and which of them are within limit. fits keeps its bits
// where they are.
func scaled(from Mem, scale, magnitude, limit, fits VecVirtual) (y, within VecVirtual) {
	y, within = YMM(), YMM()
	VCVTPS2PD(from, y)
	VMULPD(scale, y, y)
	VANDPD(magnitude, y, within)
	VCMPPD(Imm(2), limit, within, within) // less or equal; false for NaN
	VANDPD(within, fits, fits)
	return y, within
}

// allFit returns that all words of fits are set.
func allFit(fits VecVirtual) {
	mask := GP32()
	VMOVMSKPD(fits, mask)
	VZEROUPPER()
	CMPL(mask, Imm(15))
	result := GP8()
	SETEQ(result)
	Store(result, ReturnIndex(0))
	RET()
}

func accumulateAVX512(adds bool) {
	accumulating("AVX512", adds)
	dst, src := pointer("dst"), pointer("src")
	scale, limit := broadcast("scale", ZMM()), broadcast("limit", ZMM())
	magnitude := ZMM()
	VPTERNLOGQ(Imm(0xff), magnitude, magnitude, magnitude)
	VPSRLQ(Imm(1), magnitude, magnitude)
	fits := K()
	KXNORB(fits, fits, fits)
	groups(func() {
		y, abs, within := ZMM(), ZMM(), K()
		VCVTPS2PD(displaced(src, 0), y)
		VMULPD(scale, y, y)
		VANDPD(magnitude, y, abs)
		VCMPPD(Imm(2), limit, abs, within) // less or equal; false for NaN
		KANDB(within, fits, fits)
		if !adds {
			VCVTPD2QQ_Z(y, within, y)
			VMOVDQU64(y, displaced(dst, 0))
			return
		}
		sum := ZMM()
		VCVTPD2QQ(y, y)
		VMOVDQU64(displaced(dst, 0), sum)
		VPADDQ(y, sum, within, sum)
		VMOVDQU64(sum, displaced(dst, 0))
	}, []Register{dst, src}, []int{8, 4})
	mask := GP32()
	KMOVB(fits, mask)
	VZEROUPPER()
	CMPL(mask, Imm(255))
	result := GP8()
	SETEQ(result)
	Store(result, ReturnIndex(0))
	RET()
}

// meansAVX2 makes float64 of int64 by halves: the upper one, offset to be positive,
// in the bits of 2^84, the lower one in those of 2^52. Without the offsets, which
// go exactly, their sum rounds once. AVX-512 has an instruction for that, but the
// divisions, or else memory, take all the time.
func meansAVX2(dividing bool) {
	const upper, lower = 0x1p84 + 0x1p63, 0x1p52
	if dividing {
		function("meansAVX2", "dst *float32, src *int64, n int, resolution float64, terms float64", "is meansPortable for n values, a multiple of 8.")
	} else {
		function("scaledAVX2", "dst *float32, src *int64, n int, resolution float64", "is meansPortable of one term for n values, a multiple of 8.")
	}
	dst, src := pointer("dst"), pointer("src")
	resolution, terms := broadcast("resolution", YMM()), YMM()
	if dividing {
		broadcast("terms", terms)
	}
	top, bottom := constant("upper", upper, YMM()), constant("lower", lower, YMM())
	both := constant("both", upper+lower, YMM())
	groups(func() {
		for i := range 2 {
			x, hi, mean := YMM(), YMM(), XMM()
			load(displaced(src, 32*i), x)
			VPSRLQ(Imm(32), x, hi)
			VPXOR(top, hi, hi)
			VPBLENDD(Imm(0xaa), bottom, x, x)
			VSUBPD(both, hi, hi)
			VADDPD(x, hi, hi)
			VMULPD(resolution, hi, hi)
			if dividing {
				VDIVPD(terms, hi, hi)
			}
			VCVTPD2PSY(hi, mean)
			VMOVUPS(mean, displaced(dst, 16*i))
		}
	}, []Register{dst, src}, []int{4, 8})
	VZEROUPPER()
	RET()
}

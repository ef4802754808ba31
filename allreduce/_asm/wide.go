package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels of AVX-512. They use F, DQ, BW and VL alone, as internal/cpulevel asks.

// zeros512 returns a vector of zeros.
func zeros512() VecVirtual {
	v := ZMM()
	VPXORQ(v, v, v)
	return v
}

// small512 returns a vector whose words are all ones shifted right and then left.
func small512(right, left uint64) VecVirtual {
	v := ZMM()
	VPTERNLOGQ(Imm(0xff), v, v, v)
	if right > 0 {
		VPSRLQ(Imm(right), v, v)
	}
	if left > 0 {
		VPSLLQ(Imm(left), v, v)
	}
	return v
}

// pairs runs body on all pairs of rows of a block, whose byte offset is in a register,
// and then moves a pair on.
func pairs(body func(off Register)) {
	off := GP64()
	XORQ(off, off)
	Label("pairs")
	for range unrolled {
		body(off)
		ADDQ(Imm(2*rowBytes), off)
	}
	CMPQ(off, U32(blockRows*rowBytes))
	JLT(LabelRef("pairs"))
}

// zigzagAVX512 generates the first half of packing a block.
func zigzagAVX512() {
	function("zigzagAVX512", "dst *uint64, src *int64) (all uint64", "is zigzagPortable for a whole block.")
	dst, src := pointer("dst"), pointer("src")
	all := zeros512()
	pairs(func(off Register) {
		x, sign := ZMM(), ZMM()
		VMOVDQU64(row(src, off), x)
		ahead(src, off)
		VPSRAQ(Imm(63), x, sign)
		VPADDQ(x, x, x)
		VPXORQ(sign, x, x)
		VPORQ(x, all, all)
		VMOVDQU64(x, row(dst, off))
	})
	storeAny(upperOnto(all))
	RET()
}

// packAVX512 packs both halves of a block's rows at once, the first in the lower half
// of a register: 32 rows of w bits end with a word where w is even, and in the middle
// of one where it is odd, which the halves then share.
func packAVX512() {
	function("packAVX512", "dst *byte, src *uint64, w uint64", "is packPortable for a whole block of width 1 … 64. It writes w rows of words.")
	dst, src := pointer("dst"), pointer("src")
	w := Load(Param("w"), GP64()).(GPVirtual)
	width := ZMM()
	VPBROADCASTQ(parameter("w"), width)
	last, word := small512(58, 0), small512(63, 6) // 63 and 64
	// The upper half begins at bit 32·w, which is 0 or 32 of its word.
	half, fill, words := ZMM(), zeros512(), zeros512()
	VPSLLQ(Imm(5), width, half)
	VPANDQ(last, half, half)
	VINSERTI64X4(Imm(1), half.AsY(), fill, fill)
	bit, to, middle, above := GP64(), GP64(), GP64(), GP64()
	XORQ(bit, bit)
	MOVQ(w, middle)
	SHLQ(Imm(5), middle)
	off := GP64()
	XORQ(off, off)
	Label("halves")
	for range unrolled {
		z, over, full := ZMM(), ZMM(), K()
		upper := row(src, off)
		upper.Disp = blockRows / 2 * rowBytes
		VMOVDQU(row(src, off), z.AsY())
		VINSERTI64X4(Imm(1), upper, z, z)
		VPSUBQ(fill, word, over)
		VPSRLVQ(over, z, over) // by 64 it is 0
		VPSLLVQ(fill, z, z)
		VPORQ(z, words, words)
		wordAt(bit, to)
		VMOVDQU(words.AsY(), row(dst, to))
		LEAQ(Mem{Base: bit, Index: middle, Scale: 1}, above)
		wordAt(above, to)
		VEXTRACTI64X4(Imm(1), words, row(dst, to))
		ADDQ(w, bit)
		VPADDQ(width, fill, fill)
		VPCMPUQ(Imm(6), last, fill, full) // greater
		VPANDQ(last, fill, fill)
		VMOVDQA64(over, full, words)
		ADDQ(Imm(rowBytes), off)
	}
	CMPQ(off, U32(blockRows/2*rowBytes))
	JLT(LabelRef("halves"))
	TESTQ(U32(1), w)
	JZ(LabelRef("even"))
	// What the lower half has begun of the shared word, and once more what the upper
	// half has of it, since either was written over.
	shared, at := words.AsY(), half.AsY()
	count := GP64()
	MOVQ(U32(32), count)
	Label("shared")
	{
		z := YMM()
		VMOVDQU(Mem{Base: src, Disp: blockRows / 2 * rowBytes}, z)
		VPSLLVQ(at, z, z)
		VPOR(z, shared, shared)
		VPADDQ(width.AsY(), at, at)
		ADDQ(Imm(rowBytes), src.(GPVirtual))
		ADDQ(w, count)
		CMPQ(count, Imm(64))
		JLT(LabelRef("shared"))
	}
	wordAt(middle, to)
	VMOVDQU(shared, row(dst, to))
	Label("even")
	VZEROUPPER()
	RET()
}

// unpacked is what becomes of a block's values.
type unpacked int

const (
	alone unpacked = iota
	// added is plus others.
	added
	// above is results, of how far they are above the least.
	above
)

// unpackAVX512 generates the way back, for two rows at once.
func unpackAVX512(what unpacked) {
	switch what {
	case added:
		function("unpackAddAVX512", "dst *int64, src *byte, local *int64, w uint64", "is unpackPortable for a whole block of width 1 … 64, plus local. It reads w rows of words.")
	case above:
		function("unpackOffsetsAVX512", "dst *float32, src *byte, w uint64, base uint64, shift uint64) (all uint64", "is unpackPortable, and then fromOffsetsPortable, for a whole block of width 1 … 64. It reads w rows of words.")
	default:
		function("unpackAVX512", "dst *int64, src *byte, w uint64", "is unpackPortable for a whole block of width 1 … 64. It reads w rows of words.")
	}
	dst, src := pointer("dst"), pointer("src")
	w := Load(Param("w"), GP64()).(GPVirtual)
	width, mask := ZMM(), ZMM()
	VPBROADCASTQ(parameter("w"), width)
	last, word, one, zero := small512(58, 0), small512(63, 6), small512(63, 0), zeros512()
	VPSUBQ(width, word, mask)
	all := small512(0, 0)
	VPSRLVQ(mask, all, mask)
	used, begin := zeros512(), ZMM()
	VPANDQ(last, width, begin)
	VINSERTI64X4(Imm(1), begin.AsY(), used, used)
	VPADDQ(width, width, width)
	var finish func(z VecVirtual, off Register)
	var local Register
	var base, shift, negative, met VecVirtual
	unzigzag := func(z VecVirtual) {
		sign := ZMM()
		VPANDQ(one, z, sign)
		VPSUBQ(sign, zero, sign)
		VPSRLQ(Imm(1), z, z)
		VPXORQ(sign, z, z)
	}
	switch what {
	case added:
		local = pointer("local")
		finish = func(z VecVirtual, off Register) {
			unzigzag(z)
			VPADDQ(row(local, off), z, z)
			ahead(local, off)
			VMOVDQU64(z, row(dst, off))
		}
	case above:
		base, negative, met = ZMM(), small512(63, 31), zeros512()
		VPBROADCASTQ(parameter("base"), base)
		shift = countOf("shift")
		finish = func(z VecVirtual, _ Register) {
			sign := ZMM()
			VPSLLQ(Imm(31), z, sign)
			VPSRLQ(Imm(1), z, z)
			VPADDQ(base, z, z)
			VPORQ(z, met, met)
			VPSLLQ(shift, z, z)
			VPTERNLOGQ(Imm(0xf8), sign, negative, z) // z | sign & negative
			VPMOVQD(z, displaced(dst, 0))
			ADDQ(Imm(32), dst.(GPVirtual))
		}
	default:
		finish = func(z VecVirtual, off Register) {
			unzigzag(z)
			VMOVDQU64(z, row(dst, off))
		}
	}
	// first is the bit where a row's value begins, and end the one where it ends.
	first, end, from := GP64(), GP64(), GP64()
	XORQ(first, first)
	pairs(func(off Register) {
		z, upper, over := ZMM(), ZMM(), ZMM()
		wordAt(first, from)
		VMOVDQU(row(src, from), z.AsY())
		LEAQ(Mem{Base: first, Index: w, Scale: 1, Disp: -1}, end)
		wordAt(end, from)
		VMOVDQU(row(src, from), upper.AsY())
		ADDQ(w, first)
		wordAt(first, from)
		VINSERTI64X4(Imm(1), row(src, from), z, z)
		LEAQ(Mem{Base: first, Index: w, Scale: 1, Disp: -1}, end)
		wordAt(end, from)
		VINSERTI64X4(Imm(1), row(src, from), upper, upper)
		ADDQ(w, first)
		VPSUBQ(used, word, over)
		VPSRLVQ(used, z, z)
		VPSLLVQ(over, upper, upper)           // by 64 it is 0
		VPTERNLOGQ(Imm(0xa8), mask, upper, z) // (z | upper) & mask
		VPADDQ(width, used, used)
		VPANDQ(last, used, used)
		finish(z, off)
	})
	if what == above {
		storeAny(upperOnto(met))
	} else {
		VZEROUPPER()
	}
	RET()
}

// upperOnto is the lower half of v with all bits of the upper one.
func upperOnto(v VecVirtual) VecVirtual {
	wide := YMM()
	VEXTRACTI64X4(Imm(1), v, wide)
	VPOR(wide, v.AsY(), wide)
	return wide
}

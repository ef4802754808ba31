package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	blockRows = 64 // of a block, each with a value of every lane
	rowBytes  = 32
	unrolled  = 4
)

// rows runs body on all rows of a block, whose byte offset is in a register, and
// then moves a row on.
func rows(body func(off Register)) {
	off := GP64()
	XORQ(off, off)
	Label("rows")
	for range unrolled {
		body(off)
		ADDQ(Imm(rowBytes), off)
	}
	CMPQ(off, U32(blockRows*rowBytes))
	JLT(LabelRef("rows"))
}

// row is the row at a byte offset.
func row(p, off Register) Mem { return Mem{Base: p, Index: off, Scale: 1} }

// ahead asks for the same row of the next block but one, since a member's sums come
// from memory and the CPU's own prefetching ends with each page.
func ahead(p, off Register) {
	m := row(p, off)
	m.Disp = 2 * blockRows * rowBytes
	PREFETCHT0(m)
}

// wordAt sets off to the byte offset of the row of words that holds a bit of the
// lanes.
func wordAt(bit, off GPVirtual) {
	MOVQ(bit, off)
	SHRQ(Imm(6), off)
	SHLQ(Imm(5), off)
}

// zigzag generates the first half of packing a block.
func zigzag() {
	function("zigzagAVX2", "dst *uint64, src *int64) (all uint64", "is zigzagPortable for a whole block.")
	dst, src := pointer("dst"), pointer("src")
	zero, all := zeros(), zeros()
	rows(func(off Register) {
		x, sign := YMM(), YMM()
		VMOVDQU(row(src, off), x)
		ahead(src, off)
		VPCMPGTQ(x, zero, sign)
		VPADDQ(x, x, x)
		VPXOR(sign, x, x)
		VPOR(x, all, all)
		VMOVDQU(x, row(dst, off))
	})
	storeAny(all)
	RET()
}

// pack generates the second half. Every row of values goes into the words at hand,
// and these into memory, whether they are full or not, since a branch would be
// taken in no order that can be guessed; full ones then make room for the bits that
// ran over.
func pack() {
	function("packAVX2", "dst *byte, src *uint64, w uint64", "is packPortable for a whole block of width 1 … 64. It writes w rows of words.")
	dst, src := pointer("dst"), pointer("src")
	w := Load(Param("w"), GP64()).(GPVirtual)
	width := YMM()
	VPBROADCASTQ(parameter("w"), width)
	last, word := small(58, 0), small(63, 6) // 63 and 64
	fill, words := zeros(), zeros()
	bit, to := GP64(), GP64()
	XORQ(bit, bit)
	rows(func(off Register) {
		z, over, full := YMM(), YMM(), YMM()
		VMOVDQU(row(src, off), z)
		VPSUBQ(fill, word, over)
		VPSRLVQ(over, z, over) // by 64 it is 0
		VPSLLVQ(fill, z, z)
		VPOR(z, words, words)
		wordAt(bit, to)
		VMOVDQU(words, row(dst, to))
		ADDQ(w, bit)
		VPADDQ(width, fill, fill)
		VPCMPGTQ(last, fill, full)
		VPAND(last, fill, fill)
		VPBLENDVB(full, over, words, words)
	})
	VZEROUPPER()
	RET()
}

// unpack generates the way back. A value lies in the row of words that holds its
// first bit and in the one that holds its last; where these are one, what the
// second brings is above the value.
func unpack(adding bool) {
	if adding {
		function("unpackAddAVX2", "dst *int64, src *byte, local *int64, w uint64", "is unpackPortable for a whole block of width 1 … 64, plus local. It reads w rows of words.")
	} else {
		function("unpackAVX2", "dst *int64, src *byte, w uint64", "is unpackPortable for a whole block of width 1 … 64. It reads w rows of words.")
	}
	dst, src := pointer("dst"), pointer("src")
	var local Register
	if adding {
		local = pointer("local")
	}
	w := Load(Param("w"), GP64()).(GPVirtual)
	width, mask := YMM(), YMM()
	VPBROADCASTQ(parameter("w"), width)
	last, word, one, zero := small(58, 0), small(63, 6), small(63, 0), zeros()
	VPSUBQ(width, word, mask)
	all := ones()
	VPSRLVQ(mask, all, mask)
	used := zeros()
	// first and end are the value's first bit and the one after its last.
	first, end, from := GP64(), GP64(), GP64()
	XORQ(first, first)
	rows(func(off Register) {
		z, upper, shift, sign := YMM(), YMM(), YMM(), YMM()
		wordAt(first, from)
		VMOVDQU(row(src, from), z)
		LEAQ(Mem{Base: first, Index: w, Scale: 1, Disp: -1}, end)
		wordAt(end, from)
		VMOVDQU(row(src, from), upper)
		ADDQ(w, first)
		VPSUBQ(used, word, shift)
		VPSRLVQ(used, z, z)
		VPSLLVQ(shift, upper, upper) // by 64 it is 0
		VPOR(upper, z, z)
		VPAND(mask, z, z)
		VPADDQ(width, used, used)
		VPAND(last, used, used)
		VPAND(one, z, sign)
		VPSUBQ(sign, zero, sign)
		VPSRLQ(Imm(1), z, z)
		VPXOR(sign, z, z)
		if adding {
			VPADDQ(row(local, off), z, z)
			ahead(local, off)
		}
		VMOVDQU(z, row(dst, off))
	})
	VZEROUPPER()
	RET()
}

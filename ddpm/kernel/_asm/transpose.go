package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transposes generates the moves between columns and rows. Both take 8 columns,
// which are far apart in memory, and n values of each.
func transposes() {
	function("transpose", "dst *float32, off *int, src *float32, ld int, n int", "is transposePortable for 8 columns and n offsets, a multiple of 8.")
	dst := pointers("dst")[0]
	columnBlocks("src", func(column func(int) Mem, off Register) {
		var rows [8]VecVirtual
		for j := range rows {
			rows[j] = load(column(j))
		}
		for l, v := range transposed(rows) {
			at := GP64()
			MOVQ(Mem{Base: off, Disp: 8 * l}, at)
			VMOVUPS(v, Mem{Base: dst, Index: at, Scale: 4})
		}
	})
	end()

	function("transposeAdd", "dst *float32, ld int, src *float32, off *int, n int", "is transposeAddPortable for 8 columns and n offsets, a multiple of 8.")
	src := pointers("src")[0]
	columnBlocks("dst", func(column func(int) Mem, off Register) {
		var rows [8]VecVirtual
		for l := range rows {
			at := GP64()
			MOVQ(Mem{Base: off, Disp: 8 * l}, at)
			rows[l] = load(Mem{Base: src, Index: at, Scale: 4})
		}
		for j, v := range transposed(rows) {
			VADDPS(column(j), v, v)
			VMOVUPS(v, column(j))
		}
	})
	end()
}

// columnBlocks runs body for every 8 of the n values: with the places of column
// j's 8 values and the pointer to their offsets.
func columnBlocks(columns string, body func(column func(j int) Mem, off Register)) {
	first := Load(Param(columns), GP64())
	off := Load(Param("off"), GP64())
	ld := Load(Param("ld"), GP64())
	n := Load(Param("n"), GP64())
	SHLQ(Imm(2), ld)
	ld3, fifth := GP64(), GP64()
	LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	Label("block")
	LEAQ(Mem{Base: first, Index: ld, Scale: 4}, fifth)
	body(func(j int) Mem {
		base := []Register{first, fifth}[j/4]
		switch j % 4 {
		case 1:
			return Mem{Base: base, Index: ld, Scale: 1}
		case 2:
			return Mem{Base: base, Index: ld, Scale: 2}
		case 3:
			return Mem{Base: base, Index: ld3, Scale: 1}
		}
		return Mem{Base: base}
	}, off)
	ADDQ(Imm(4*lanes), first.(GPVirtual))
	ADDQ(Imm(8*lanes), off.(GPVirtual))
	SUBQ(Imm(lanes), n)
	JNZ(LabelRef("block"))
}

// transposed returns the transpose of 8 rows of 8 values: within pairs of rows,
// then within fours, then across the halves.
func transposed(r [8]VecVirtual) [8]VecVirtual {
	var pairs, fours, out [8]VecVirtual
	for i := 0; i < 8; i += 2 {
		pairs[i], pairs[i+1] = YMM(), YMM()
		VUNPCKLPS(r[i+1], r[i], pairs[i])
		VUNPCKHPS(r[i+1], r[i], pairs[i+1])
	}
	for i := 0; i < 8; i += 4 {
		for k := range 2 {
			a, b := pairs[i+k], pairs[i+2+k]
			fours[i+2*k], fours[i+2*k+1] = YMM(), YMM()
			VSHUFPS(Imm(0x44), b, a, fours[i+2*k])
			VSHUFPS(Imm(0xee), b, a, fours[i+2*k+1])
		}
	}
	for i := range 4 {
		out[i], out[i+4] = YMM(), YMM()
		VPERM2F128(Imm(0x20), fours[i+4], fours[i], out[i])
		VPERM2F128(Imm(0x31), fours[i+4], fours[i], out[i+4])
	}
	return out
}

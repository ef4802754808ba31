package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tileRows is the largest number of rows of a micro tile; its 16 columns are two
// vectors. 6×2 accumulators, two vectors of B and one of A fill the registers.
const tileRows = 6

// unroll is how many values of k one pass of the inner loop takes.
const unroll = 4

// micro generates the micro kernel for a number of rows. The segments are
// triples (a, b, n) of package kernel's type segment.
func micro(rows int) {
	name := fmt.Sprintf("micro%dAVX2", rows)
	TEXT(name, NOSPLIT, "func(a *float32, aRow *int, kStep int, segs *int, nseg int, b *float32, c *float32, cRow *int, d *float32, dRow *int)")
	Pragma("noescape")
	Doc(name + fmt.Sprintf(" is microPortable for %d rows; d may be nil.", rows))

	acc := make([][2]VecVirtual, rows)
	for r := range acc {
		acc[r] = [2]VecVirtual{YMM(), YMM()}
		for _, v := range acc[r] {
			VXORPS(v, v, v)
		}
	}
	multiplySegments(acc)
	store(acc)
	VZEROUPPER()
	RET()
}

// multiplySegments adds the products of all segments to acc.
func multiplySegments(acc [][2]VecVirtual) {
	a := rowPointers("a", "aRow", len(acc))
	step := Load(Param("kStep"), GP64())
	SHLQ(Imm(2), step)
	seg := Load(Param("segs"), GP64())
	segs := Load(Param("nseg"), GP64())
	b, off, n := GP64(), GP64(), GP64()

	Label("segment")
	TESTQ(segs, segs)
	JZ(LabelRef("finish"))
	Load(Param("b"), b)
	MOVQ(Mem{Base: seg, Disp: 8}, off)
	LEAQ(Mem{Base: b, Index: off, Scale: 4}, b)
	MOVQ(Mem{Base: seg}, off)
	SHLQ(Imm(2), off)
	MOVQ(Mem{Base: seg, Disp: 16}, n)
	ADDQ(Imm(24), seg)
	DECQ(segs)
	SUBQ(Imm(unroll), n)
	JL(LabelRef("rest"))

	Label("unrolled")
	for i := range unroll {
		multiply(acc, a, off, b, i*64)
		ADDQ(step, off)
	}
	ADDQ(U32(unroll*64), b)
	SUBQ(Imm(unroll), n)
	JGE(LabelRef("unrolled"))

	Label("rest")
	ADDQ(Imm(unroll), n)
	JZ(LabelRef("segment"))
	Label("single")
	multiply(acc, a, off, b, 0)
	ADDQ(step, off)
	ADDQ(Imm(64), b)
	DECQ(n)
	JNZ(LabelRef("single"))
	JMP(LabelRef("segment"))
	Label("finish")
}

// multiply adds the products for one k.
func multiply(acc [][2]VecVirtual, a []Register, off, b Register, disp int) {
	lo, hi := YMM(), YMM()
	VMOVUPS(Mem{Base: b, Disp: disp}, lo)
	VMOVUPS(Mem{Base: b, Disp: disp + 32}, hi)
	for r := range acc {
		v := YMM()
		VBROADCASTSS(Mem{Base: a[r], Index: off, Scale: 1}, v)
		VFMADD231PS(lo, v, acc[r][0])
		VFMADD231PS(hi, v, acc[r][1])
	}
}

// store writes acc, or d + acc, to the rows of c.
func store(acc [][2]VecVirtual) {
	d := Load(Param("d"), GP64())
	TESTQ(d, d)
	JZ(LabelRef("write"))
	for r, at := range rowPointers("d", "dRow", len(acc)) {
		for i, v := range acc[r] {
			VADDPS(Mem{Base: at, Disp: 32 * i}, v, v)
		}
	}
	Label("write")
	for r, at := range rowPointers("c", "cRow", len(acc)) {
		for i, v := range acc[r] {
			VMOVUPS(v, Mem{Base: at, Disp: 32 * i})
		}
	}
}

// rowPointers returns the addresses of the rows of a matrix whose offsets, in
// elements, are in a table.
func rowPointers(base, table string, rows int) []Register {
	from, at := Load(Param(base), GP64()), Load(Param(table), GP64())
	p := make([]Register, rows)
	for r := range p {
		p[r] = GP64()
		MOVQ(Mem{Base: at, Disp: 8 * r}, p[r])
		LEAQ(Mem{Base: from, Index: p[r], Scale: 4}, p[r])
	}
	return p
}

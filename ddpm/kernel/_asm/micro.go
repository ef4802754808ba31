package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// unroll is how many values of k one pass of the inner loop takes.
const unroll = 4

// micros generates the micro kernels. With 256 bits 6 rows of 16 columns, 2 vectors
// of B and one of A fill the registers. With 512 bits 8 rows of 32 columns take half
// of them, which is enough: for its 16 sums of one k a tile loads 10 values, so the
// multipliers are the limit. More rows would need more pointers than there are.
func micros() {
	for rows := 1; rows <= 6; rows++ {
		micro(avx2, rows, 1)
	}
	for panels := 1; panels <= 2; panels++ {
		for rows := 1; rows <= 8; rows++ {
			micro(avx512, rows, panels)
		}
	}
}

// micro generates the micro kernel for a number of rows and of panels, which are
// bStep elements apart. The segments are triples (a, b, n) of package kernel's type
// segment.
func micro(s isa, rows, panels int) {
	name := fmt.Sprintf("micro%dx%d%s", rows, 16*panels, s.suffix)
	TEXT(name, NOSPLIT, "func(a *float32, aRow *int, kStep int, segs *int, nseg int, b *float32, bStep int, c *float32, cRow *int, d *float32, dRow *int)")
	Pragma("noescape")
	Doc(name + fmt.Sprintf(" is microPortable for %d rows and %d columns; d may be nil.", rows, 16*panels))

	acc := make([][]VecVirtual, rows)
	for r := range acc {
		for range panels * line / s.bytes {
			acc[r] = append(acc[r], s.zero())
		}
	}
	prefetch(rows, panels)
	multiplySegments(s, acc, panels)
	store(s, acc)
	VZEROUPPER()
	RET()
}

// prefetch asks for the lines of c, which are needed when the sums are done.
func prefetch(rows, panels int) {
	for _, at := range rowPointers("c", "cRow", rows) {
		for p := range panels {
			PREFETCHT0(Mem{Base: at, Disp: p * line})
		}
	}
}

// param is a parameter's place. The parameters are the function's own, so that
// what it needs seldom can stay there.
func param(name string) Mem {
	c, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}

// multiplySegments adds the products of all segments to acc.
func multiplySegments(s isa, acc [][]VecVirtual, panels int) {
	a := rowPointers("a", "aRow", len(acc))
	step := Load(Param("kStep"), GP64())
	SHLQ(Imm(2), step)
	var bStep Register
	if panels == 2 {
		bStep = Load(Param("bStep"), GP64())
		SHLQ(Imm(2), bStep.(GPVirtual))
	}
	b, off, n := GP64(), GP64(), GP64()
	panel := func(p, disp int) Mem {
		if p == 0 {
			return Mem{Base: b, Disp: disp}
		}
		return Mem{Base: b, Index: bStep, Scale: 1, Disp: disp}
	}

	Label("segment")
	CMPQ(param("nseg"), Imm(0))
	JE(LabelRef("finish"))
	seg := Load(Param("segs"), GP64())
	Load(Param("b"), b)
	MOVQ(Mem{Base: seg, Disp: 8}, off)
	LEAQ(Mem{Base: b, Index: off, Scale: 4}, b)
	MOVQ(Mem{Base: seg}, off)
	SHLQ(Imm(2), off)
	MOVQ(Mem{Base: seg, Disp: 16}, n)
	ADDQ(Imm(24), param("segs"))
	DECQ(param("nseg"))
	SUBQ(Imm(unroll), n)
	JL(LabelRef("rest"))

	Label("unrolled")
	for i := range unroll {
		multiply(s, acc, a, off, panels, func(p, disp int) Mem { return panel(p, disp+i*line) })
		ADDQ(step, off)
	}
	ADDQ(U32(unroll*line), b)
	SUBQ(Imm(unroll), n)
	JGE(LabelRef("unrolled"))

	Label("rest")
	ADDQ(Imm(unroll), n)
	JZ(LabelRef("segment"))
	Label("single")
	multiply(s, acc, a, off, panels, panel)
	ADDQ(step, off)
	ADDQ(Imm(line), b)
	DECQ(n)
	JNZ(LabelRef("single"))
	JMP(LabelRef("segment"))
	Label("finish")
}

// multiply adds the products for one k, whose row of a panel begins at b.
func multiply(s isa, acc [][]VecVirtual, a []Register, off Register, panels int, b func(panel, disp int) Mem) {
	var vs []VecVirtual
	for p := range panels {
		for h := 0; h < line; h += s.bytes {
			vs = append(vs, s.load(b(p, h)))
		}
	}
	for r := range acc {
		v := s.vec()
		VBROADCASTSS(Mem{Base: a[r], Index: off, Scale: 1}, v)
		for i, bv := range vs {
			VFMADD231PS(bv, v, acc[r][i])
		}
	}
}

// store writes acc, or d + acc, to the rows of c.
func store(s isa, acc [][]VecVirtual) {
	d := Load(Param("d"), GP64())
	TESTQ(d, d)
	JZ(LabelRef("write"))
	for r, at := range rowPointers("d", "dRow", len(acc)) {
		for i, v := range acc[r] {
			VADDPS(Mem{Base: at, Disp: s.bytes * i}, v, v)
		}
	}
	Label("write")
	for r, at := range rowPointers("c", "cRow", len(acc)) {
		for i, v := range acc[r] {
			VMOVUPS(v, Mem{Base: at, Disp: s.bytes * i})
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

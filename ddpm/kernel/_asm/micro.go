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
// bStep elements apart; it goes on to the panels after them, and so makes a row of
// tiles. The segments are triples (a, b, n) of package kernel's type segment.
func micro(s isa, rows, panels int) {
	name := fmt.Sprintf("micro%dx%d%s", rows, 16*panels, s.suffix)
	TEXT(name, NOSPLIT, "func(a *float32, aRow *int, kStep int, segs *int, nseg int, b *float32, bStep int, tiles int, c *float32, cRow *int, d *float32, dRow *int)")
	Pragma("noescape")
	Doc(name + fmt.Sprintf(" is microPortable for %d rows and tiles of %d columns, one at least; d may be nil.", rows, 16*panels))

	a := rowPointers("a", "aRow", rows)
	step := Load(Param("kStep"), GP64())
	SHLQ(Imm(2), step)
	// What is needed once a segment or a tile is in memory: there are not so many
	// registers.
	t := tileLoop{isa: s, a: a, step: step, panels: panels, seg: AllocLocal(8), left: AllocLocal(8)}
	bStep := Load(Param("bStep"), GP64())
	SHLQ(Imm(2), bStep)
	if panels == 2 {
		t.bStep = bStep
	}
	next := AllocLocal(8) // bytes from a tile's panels to the next's
	if panels == 2 {
		twice := GP64()
		LEAQ(Mem{Base: bStep, Index: bStep, Scale: 1}, twice)
		MOVQ(twice, next)
	} else {
		MOVQ(bStep, next)
	}

	Label("tile")
	for range rows {
		var row []VecVirtual
		for range panels * line / s.bytes {
			row = append(row, s.zero())
		}
		t.acc = append(t.acc, row)
	}
	prefetch(rows, panels)
	t.multiplySegments()
	store(s, t.acc)
	DECQ(param("tiles"))
	JZ(LabelRef("done"))
	ADDQ(Imm(uint64(panels*line)), param("c"))
	CMPQ(param("d"), Imm(0))
	JE(LabelRef("panels"))
	ADDQ(Imm(uint64(panels*line)), param("d"))
	Label("panels")
	bytes := GP64()
	MOVQ(next, bytes)
	ADDQ(bytes, param("b"))
	JMP(LabelRef("tile"))
	Label("done")
	VZEROUPPER()
	RET()
}

// prefetch asks for the lines of c, which are needed when the sums are done.
func prefetch(rows, panels int) {
	eachRow("c", "cRow", rows, func(_ int, at Register) {
		for p := range panels {
			PREFETCHT0(Mem{Base: at, Disp: p * line})
		}
	})
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

// tileLoop is what the loop over a tile's segments works with.
type tileLoop struct {
	isa
	acc         [][]VecVirtual // by row, then by vector
	a           []Register
	step, bStep Register // bytes; bStep with two panels only
	panels      int
	seg, left   Mem // the next segment, and how many are left
}

// multiplySegments adds the products of all segments to acc.
func (t tileLoop) multiplySegments() {
	b, off, n := GP64(), GP64(), GP64()
	panel := func(p, disp int) Mem {
		if p == 0 {
			return Mem{Base: b, Disp: disp}
		}
		return Mem{Base: b, Index: t.bStep, Scale: 1, Disp: disp}
	}
	MOVQ(param("segs"), b)
	MOVQ(b, t.seg)
	MOVQ(param("nseg"), b)
	MOVQ(b, t.left)

	Label("segment")
	CMPQ(t.left, Imm(0))
	JE(LabelRef("finish"))
	seg := GP64()
	MOVQ(t.seg, seg)
	Load(Param("b"), b)
	MOVQ(Mem{Base: seg, Disp: 8}, off)
	LEAQ(Mem{Base: b, Index: off, Scale: 4}, b)
	MOVQ(Mem{Base: seg}, off)
	SHLQ(Imm(2), off)
	MOVQ(Mem{Base: seg, Disp: 16}, n)
	ADDQ(Imm(24), t.seg)
	DECQ(t.left)
	SUBQ(Imm(unroll), n)
	JL(LabelRef("rest"))

	Label("unrolled")
	for i := range unroll {
		t.multiply(off, func(p, disp int) Mem { return panel(p, disp+i*line) })
		ADDQ(t.step, off)
	}
	ADDQ(U32(unroll*line), b)
	SUBQ(Imm(unroll), n)
	JGE(LabelRef("unrolled"))

	Label("rest")
	ADDQ(Imm(unroll), n)
	JZ(LabelRef("segment"))
	Label("single")
	t.multiply(off, panel)
	ADDQ(t.step, off)
	ADDQ(Imm(line), b)
	DECQ(n)
	JNZ(LabelRef("single"))
	JMP(LabelRef("segment"))
	Label("finish")
}

// multiply adds the products for one k, whose row of a panel begins at b.
func (t tileLoop) multiply(off Register, b func(panel, disp int) Mem) {
	var vs []VecVirtual
	for p := range t.panels {
		for h := 0; h < line; h += t.bytes {
			vs = append(vs, t.load(b(p, h)))
		}
	}
	for r := range t.acc {
		v := t.vec()
		VBROADCASTSS(Mem{Base: t.a[r], Index: off, Scale: 1}, v)
		for i, bv := range vs {
			VFMADD231PS(bv, v, t.acc[r][i])
		}
	}
}

// store writes acc, or d + acc, to the rows of c.
func store(s isa, acc [][]VecVirtual) {
	CMPQ(param("d"), Imm(0))
	JE(LabelRef("write"))
	eachRow("d", "dRow", len(acc), func(r int, at Register) {
		for i, v := range acc[r] {
			VADDPS(Mem{Base: at, Disp: s.bytes * i}, v, v)
		}
	})
	Label("write")
	eachRow("c", "cRow", len(acc), func(r int, at Register) {
		for i, v := range acc[r] {
			VMOVUPS(v, Mem{Base: at, Disp: s.bytes * i})
		}
	})
}

// eachRow runs body with the address of each row of a matrix whose offsets, in
// elements, are in a table.
func eachRow(base, table string, rows int, body func(r int, at Register)) {
	from, offsets := Load(Param(base), GP64()), Load(Param(table), GP64())
	at := GP64()
	for r := range rows {
		MOVQ(Mem{Base: offsets, Disp: 8 * r}, at)
		LEAQ(Mem{Base: from, Index: at, Scale: 4}, at)
		body(r, at)
	}
}

// rowPointers returns the addresses of the rows of a matrix.
func rowPointers(base, table string, rows int) []Register {
	p := make([]Register, rows)
	eachRow(base, table, rows, func(r int, at Register) {
		p[r] = GP64()
		MOVQ(at, p[r])
	})
	return p
}

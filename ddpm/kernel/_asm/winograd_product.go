package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A product's tile has 8 rows and 1 or 2 panels of 16 columns. Sixteen vectors of
// 512 bits hold its sums; with 256 bits it is done in parts of 4 rows and one
// panel.
const productRows = 8

// parts calls body for each part of a tile: its first row, number of rows, first
// panel and number of panels.
func (s isa) parts(width int, body func(row, rows, panel, panels int)) {
	if s.bytes == line {
		body(0, productRows, 0, width)
		return
	}
	for panel := range width {
		for row := 0; row < productRows; row += 4 {
			body(row, 4, panel, 1)
		}
	}
}

// sums is a part of a tile in registers.
type sums struct {
	isa
	acc           [][]VecVirtual // by row, then by vector
	row, panel    int
	width, panels int
}

func (s isa) newSums(row, rows, panel, panels, width int) sums {
	t := sums{isa: s, row: row, panel: panel, panels: panels, width: width}
	for range rows {
		var r []VecVirtual
		for range panels * line / s.bytes {
			r = append(r, s.zero())
		}
		t.acc = append(t.acc, r)
	}
	return t
}

// step adds the products of one k: a is row r's value, b the place of panel p.
func (t sums) step(a func(r int) Mem, b func(p int) Mem) {
	var vs []VecVirtual
	for p := range t.panels {
		for h := 0; h < line; h += t.bytes {
			m := b(t.panel + p)
			m.Disp += h
			vs = append(vs, t.load(m))
		}
	}
	for r := range t.acc {
		v := t.vec()
		VBROADCASTSS(a(t.row+r), v)
		for i, bv := range vs {
			VFMADD231PS(bv, v, t.acc[r][i])
		}
	}
}

// place returns where vector i of row r is in c.
func (t sums) place(c Register, r, i int) Mem {
	return Mem{Base: c, Disp: ((t.row+r)*t.width+t.panel)*line + i*t.bytes}
}

// The values of package kernel's sumMode that are not the plain one.
const (
	sumAdd    = 1
	sumResume = 2
)

// store writes the sums to c, or adds them to it.
func (t sums) store(label string) {
	c := Load(Param("c"), GP64())
	mode := Load(Param("mode"), GP64())
	at := func(r, i int) Mem { return t.place(c, r, i) }
	CMPQ(mode, Imm(sumAdd))
	JNE(LabelRef("write" + label))
	for r := range t.acc {
		for i, v := range t.acc[r] {
			VADDPS(at(r, i), v, v)
		}
	}
	Label("write" + label)
	for r := range t.acc {
		for i, v := range t.acc[r] {
			VMOVUPS(v, at(r, i))
		}
	}
}

// resume starts from what c holds where mode says so.
func (t sums) resume(label string) {
	mode := Load(Param("mode"), GP64())
	CMPQ(mode, Imm(sumResume))
	JNE(LabelRef("fresh" + label))
	c := Load(Param("c"), GP64())
	for r := range t.acc {
		for i, v := range t.acc[r] {
			VMOVUPS(t.place(c, r, i), v)
		}
	}
	Label("fresh" + label)
}

// tileProduct generates the product whose rows are 8 tiles.
func tileProduct(s isa, width int) {
	name := fmt.Sprintf("winogradTiles%d", 16*width)
	s.begin(name, "c *float32, a *float32, b *float32, groups int, mode int",
		fmt.Sprintf("is winogradTilesPortable for %d columns.", 16*width))
	s.parts(width, func(row, rows, panel, panels int) {
		label := fmt.Sprintf("R%dP%d", row, panel)
		t := s.newSums(row, rows, panel, panels, width)
		a, b := Load(Param("a"), GP64()).(GPVirtual), Load(Param("b"), GP64()).(GPVirtual)
		n := Load(Param("groups"), GP64())
		Label("group" + label)
		for k := range 16 {
			t.step(func(r int) Mem { return Mem{Base: a, Disp: r*line + 4*k} },
				func(p int) Mem { return Mem{Base: b, Disp: (k*width + p) * line} })
		}
		ADDQ(U32(productRows*line), a)
		ADDQ(U32(uint32(16*width*line)), b)
		DECQ(n)
		JNZ(LabelRef("group" + label))
		t.store(label)
	})
	VZEROUPPER()
	RET()
}

// channelProduct generates the product whose rows are 8 channels and whose sums
// run over tiles.
func channelProduct(s isa, width int) {
	name := fmt.Sprintf("winogradChannels%d", 16*width)
	s.begin(name, "c *float32, a *float32, aStep int, b *float32, bStep int, blocks int, mode int",
		fmt.Sprintf("is winogradChannelsPortable for %d columns; the steps are in bytes.", 16*width))
	s.parts(width, func(row, rows, panel, panels int) {
		label := fmt.Sprintf("R%dP%d", row, panel)
		t := s.newSums(row, rows, panel, panels, width)
		t.resume(label)
		a, b := Load(Param("a"), GP64()).(GPVirtual), Load(Param("b"), GP64()).(GPVirtual)
		aStep, bStep := Load(Param("aStep"), GP64()), Load(Param("bStep"), GP64())
		n := Load(Param("blocks"), GP64())
		Label("block" + label)
		for k := range productRows {
			t.step(func(r int) Mem { return Mem{Base: a, Disp: 4*r + k*line} },
				func(p int) Mem { return Mem{Base: b, Disp: (p*productRows + k) * line} })
		}
		ADDQ(aStep, a)
		ADDQ(bStep, b)
		DECQ(n)
		JNZ(LabelRef("block" + label))
		t.store(label)
	})
	VZEROUPPER()
	RET()
}

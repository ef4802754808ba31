package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lanes is the number of float32 values of a vector.
const lanes = 8

// function starts a function that is the portable one of the same name on whole
// vectors.
func function(name, signature, doc string) {
	TEXT(name+"AVX2", NOSPLIT, "func("+signature+")")
	Pragma("noescape")
	Doc(name + "AVX2 " + doc)
}

// end closes a function.
func end() {
	VZEROUPPER()
	RET()
}

// pointers loads pointer parameters.
func pointers(names ...string) []Register {
	p := make([]Register, len(names))
	for i, name := range names {
		p[i] = Load(Param(name), GP64())
	}
	return p
}

// broadcast loads a float32 parameter into all lanes.
func broadcast(name string) VecVirtual {
	v := YMM()
	a, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(a.Addr, v)
	return v
}

// load reads a vector of 8 values.
func load(m Op) VecVirtual {
	v := YMM()
	VMOVUPS(m, v)
	return v
}

// zero returns a vector of zeros.
func zero() VecVirtual {
	v := YMM()
	VXORPS(v, v, v)
	return v
}

// at is the vector at a pointer plus a byte offset that is in a register.
func at(p, off Register) Mem { return Mem{Base: p, Index: off, Scale: 1} }

// each runs body on the byte offsets of the vectors of n values, where n is a
// parameter and a multiple of 8 above zero.
func each(label, n string, body func(off Register)) {
	count := Load(Param(n), GP64())
	SHLQ(Imm(2), count)
	off := GP64()
	XORQ(off, off)
	Label(label)
	body(off)
	ADDQ(Imm(4*lanes), off)
	CMPQ(off, count)
	JLT(LabelRef(label))
}

// grid runs body on every vector of a matrix of the parameters rows, cols (a
// multiple of 8 above zero) and stride (in elements): with the row's pointers,
// which start as the given ones, and the byte offset in the row.
func grid(ptrs []Register, body func(row []Register, off Register)) {
	rows := Load(Param("rows"), GP64())
	cols := Load(Param("cols"), GP64())
	stride := Load(Param("stride"), GP64())
	SHLQ(Imm(2), cols)
	SHLQ(Imm(2), stride)
	off := GP64()
	Label("row")
	XORQ(off, off)
	Label("vector")
	body(ptrs, off)
	ADDQ(Imm(4*lanes), off)
	CMPQ(off, cols)
	JLT(LabelRef("vector"))
	for _, p := range ptrs {
		ADDQ(stride, p.(GPVirtual))
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
}

// columns runs a chain down every column of a matrix with the parameters of
// grid, for wide and then for single vectors: start returns the chain's state for
// vectors at a byte offset, step takes one row, finish stores. Only sources move
// down the rows.
func columns(sources []Register, start func(off Register, width int) any,
	step func(state any, row []Register, disp int, i int), finish func(state any, off Register, width int)) {
	cols := Load(Param("cols"), GP64())
	stride := Load(Param("stride"), GP64())
	SHLQ(Imm(2), cols)
	SHLQ(Imm(2), stride)
	off := GP64()
	XORQ(off, off)
	for _, width := range []int{2, 1} {
		label := map[int]string{2: "wide", 1: "narrow"}[width]
		next := map[int]string{2: "narrow", 1: "done"}[width]
		Label(label)
		left := GP64()
		MOVQ(cols, left)
		SUBQ(off, left)
		CMPQ(left, Imm(uint64(4*lanes*width)))
		JLT(LabelRef(next))
		row := make([]Register, len(sources))
		for i, s := range sources {
			row[i] = GP64()
			LEAQ(at(s, off), row[i].(GPVirtual))
		}
		n := Load(Param("rows"), GP64())
		state := start(off, width)
		Label(label + "Row")
		for i := range width {
			step(state, row, 4*lanes*i, i)
		}
		for _, p := range row {
			ADDQ(stride, p.(GPVirtual))
		}
		DECQ(n)
		JNZ(LabelRef(label + "Row"))
		finish(state, off, width)
		ADDQ(Imm(uint64(4*lanes*width)), off)
		JMP(LabelRef(label))
	}
	Label("done")
}

// constants maps a name to a read-only vector of one float32 or int32 value.
var constants = map[string]Mem{}

// constant returns a read-only vector whose lanes all hold the bits.
func constant(name string, bits uint32) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range lanes {
			DATA(4*i, U32(bits))
		}
		constants[name] = m
	}
	return m
}

// float returns a read-only vector of one float32.
func float(name string, v float32) Mem { return constant(name, math.Float32bits(v)) }

// displaced is the vector at a pointer plus a constant byte offset.
func displaced(p Register, disp int) Mem { return Mem{Base: p, Disp: disp} }

package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The interpolation points are 0, ±a, ±b and infinity. Package kernel's portable
// code has the same numbers; its tests compare the bits.
const (
	pointA = 0.75
	pointB = 1.5
	wa2    = pointA * pointA
	wb2    = pointB * pointB
	wSum   = wa2 + wb2
	wProd  = wa2 * wb2
	wfA    = 2 * wa2 * (wa2 - wb2)
	wfB    = 2 * wb2 * (wb2 - wa2)
)

// maths writes the arithmetic of the one-dimensional transforms. Each method
// corresponds to one float32 operation of the portable code.
type maths struct {
	isa
	regs map[float32]VecVirtual
}

// value returns a constant as an operand: in a register where there are enough.
func (m maths) value(v float64) Op {
	f := float32(v)
	if r, ok := m.regs[f]; ok {
		return r
	}
	return lineOf(f)
}

// lineOf returns 16 copies of a constant in memory.
func lineOf(f float32) Mem {
	name := fmt.Sprintf("winograd%08x", math.Float32bits(f))
	mem, ok := constants[name]
	if !ok {
		mem = GLOBL(name, RODATA|NOPTR)
		for i := range line / 4 {
			DATA(4*i, U32(math.Float32bits(f)))
		}
		constants[name] = mem
	}
	return mem
}

// keep puts constants into registers, as many as the set has room for.
func (m maths) keep(values ...float64) {
	for _, v := range values[:min(len(values), m.named)] {
		m.regs[float32(v)] = m.load(lineOf(float32(v)))
	}
}

func (m maths) add(a, b VecVirtual) VecVirtual {
	v := m.vec()
	VADDPS(b, a, v)
	return v
}

func (m maths) sub(a, b VecVirtual) VecVirtual {
	v := m.vec()
	VSUBPS(b, a, v)
	return v
}

func (m maths) mul(c float64, x VecVirtual) VecVirtual {
	v := m.vec()
	VMULPS(m.value(c), x, v)
	return v
}

// fma returns c·x + y.
func (m maths) fma(c float64, x, y VecVirtual) VecVirtual {
	v := m.copied(y)
	VFMADD231PS(m.value(c), x, v)
	return v
}

// input is winogradInput: Bᵀd.
func (m maths) input(d []VecVirtual) []VecVirtual {
	v0 := m.fma(wProd, d[0], m.fma(-wSum, d[2], d[4]))
	v5 := m.fma(wProd, d[1], m.fma(-wSum, d[3], d[5]))
	eA, oA := m.fma(-wb2, d[2], d[4]), m.fma(-wb2, d[1], d[3])
	eB, oB := m.fma(-wa2, d[2], d[4]), m.fma(-wa2, d[1], d[3])
	return []VecVirtual{v0,
		m.fma(pointA, oA, eA), m.fma(-pointA, oA, eA),
		m.fma(pointB, oB, eB), m.fma(-pointB, oB, eB), v5}
}

// inputGrad is winogradInputGrad: B·v.
func (m maths) inputGrad(v []VecVirtual) []VecVirtual {
	sA, dA, sB, dB := m.add(v[1], v[2]), m.sub(v[1], v[2]), m.add(v[3], v[4]), m.sub(v[3], v[4])
	return []VecVirtual{
		m.mul(wProd, v[0]),
		m.fma(-pointB*wa2, dB, m.fma(-pointA*wb2, dA, m.mul(wProd, v[5]))),
		m.fma(-wa2, sB, m.fma(-wb2, sA, m.mul(-wSum, v[0]))),
		m.fma(pointB, dB, m.fma(pointA, dA, m.mul(-wSum, v[5]))),
		m.add(m.add(v[0], sA), sB),
		v[5],
	}
}

// output is winogradOutput: Aᵀm.
func (m maths) output(v []VecVirtual) []VecVirtual {
	sA, dA, sB, dB := m.add(v[1], v[2]), m.sub(v[1], v[2]), m.add(v[3], v[4]), m.sub(v[3], v[4])
	return []VecVirtual{
		m.add(m.add(v[0], sA), sB),
		m.fma(pointB, dB, m.mul(pointA, dA)),
		m.fma(wb2, sB, m.mul(wa2, sA)),
		m.fma(pointB*wb2, dB, m.fma(pointA*wa2, dA, v[5])),
	}
}

// outputGrad is winogradOutputGrad: A·y.
func (m maths) outputGrad(y []VecVirtual) []VecVirtual {
	eA, oA := m.fma(wa2, y[2], y[0]), m.fma(wa2, y[3], y[1])
	eB, oB := m.fma(wb2, y[2], y[0]), m.fma(wb2, y[3], y[1])
	return []VecVirtual{y[0],
		m.fma(pointA, oA, eA), m.fma(-pointA, oA, eA),
		m.fma(pointB, oB, eB), m.fma(-pointB, oB, eB), y[3]}
}

// weight is winogradWeight: G·g.
func (m maths) weight(g []VecVirtual) []VecVirtual {
	eA, eB := m.fma(wa2/wfA, g[2], m.mul(1/wfA, g[0])), m.fma(wb2/wfB, g[2], m.mul(1/wfB, g[0]))
	return []VecVirtual{m.mul(1/wProd, g[0]),
		m.fma(pointA/wfA, g[1], eA), m.fma(-pointA/wfA, g[1], eA),
		m.fma(pointB/wfB, g[1], eB), m.fma(-pointB/wfB, g[1], eB), g[2]}
}

// weightGrad is winogradWeightGrad: Gᵀu.
func (m maths) weightGrad(u []VecVirtual) []VecVirtual {
	sA, dA, sB, dB := m.add(u[1], u[2]), m.sub(u[1], u[2]), m.add(u[3], u[4]), m.sub(u[3], u[4])
	return []VecVirtual{
		m.fma(1/wfB, sB, m.fma(1/wfA, sA, m.mul(1/wProd, u[0]))),
		m.fma(pointB/wfB, dB, m.mul(pointA/wfA, dA)),
		m.fma(wb2/wfB, sB, m.fma(wa2/wfA, sA, u[5])),
	}
}

// square is a square of vectors in memory, with its strides in bytes.
type square struct {
	cur                              GPVirtual
	row, row3, row5, col, col3, col5 GPVirtual
}

// loadSquare loads a square's strides, and for rows the multiples that multiple needs.
func loadSquare(cur GPVirtual, row, col string, multiples bool) square {
	q := square{cur: cur}
	q.row = Load(Param(row), GP64()).(GPVirtual)
	q.col = Load(Param(col), GP64()).(GPVirtual)
	if multiples {
		q.row3, q.row5 = GP64(), GP64()
		LEAQ(Mem{Base: q.row, Index: q.row, Scale: 2}, q.row3)
		LEAQ(Mem{Base: q.row, Index: q.row, Scale: 4}, q.row5)
	}
	return q
}

// multiple is the vector i strides from the register p, with i at most 5.
func multiple(p, one, three, five Register, i, disp int) Mem {
	switch i {
	case 0:
		return Mem{Base: p, Disp: disp}
	case 3:
		return Mem{Base: p, Index: three, Scale: 1, Disp: disp}
	case 5:
		return Mem{Base: p, Index: five, Scale: 1, Disp: disp}
	}
	return Mem{Base: p, Index: one, Scale: uint8(i), Disp: disp}
}

// transform is a two-dimensional transform: the one-dimensional one on the
// columns, then on the rows of what that gave.
type transform struct {
	name, doc  string
	in, out    int // the squares' sides
	from, to   int // bytes from one group of 16 channels to the next
	f          func(maths, []VecVirtual) []VecVirtual
	accumulate bool // adds to what is there
	bias       bool // adds a value for each channel
	constants  []float64
}

// transforms generates all six.
func transforms(s isa) {
	const panel = 8 * line // a group's 8 tiles
	for _, t := range []transform{
		{name: "winogradInput", in: 6, out: 6, from: line, to: panel, f: maths.input,
			constants: []float64{wProd, -wSum, -wa2, -wb2, pointA, -pointA, pointB, -pointB}},
		{name: "winogradInputGrad", in: 6, out: 6, from: line, to: line, f: maths.inputGrad, accumulate: true,
			constants: []float64{wProd, -wSum, -wa2, -wb2, pointA, pointB, -pointB * wa2, -pointA * wb2}},
		{name: "winogradOutput", in: 6, out: 4, from: line, to: line, f: maths.output, bias: true,
			constants: []float64{pointA, pointB, wa2, wb2, pointA * wa2, pointB * wb2}},
		{name: "winogradOutputGrad", in: 4, out: 6, from: line, to: panel, f: maths.outputGrad,
			constants: []float64{wa2, wb2, pointA, -pointA, pointB, -pointB}},
		{name: "winogradWeight", in: 3, out: 6, from: line, to: line, f: maths.weight,
			constants: []float64{1 / wProd, 1 / wfA, wa2 / wfA, 1 / wfB, wb2 / wfB, pointA / wfA, -pointA / wfA, pointB / wfB, -pointB / wfB}},
		{name: "winogradWeightGrad", in: 6, out: 3, from: line, to: line, f: maths.weightGrad,
			constants: []float64{1 / wProd, 1 / wfA, 1 / wfB, pointA / wfA, pointB / wfB, wa2 / wfA, wb2 / wfB}},
	} {
		t.generate(s)
	}
}

func (t transform) generate(s isa) {
	signature := "dst *float32, dstRow int, dstCol int, src *float32, srcRow int, srcCol int, groups int"
	if t.bias {
		signature += ", bias *float32"
	}
	s.begin(t.name, signature, "is "+t.name+"Portable; strides are in bytes.")
	m := maths{s, map[float32]VecVirtual{}}
	m.keep(t.constants...)
	tmp := AllocLocal(t.out*t.in*s.bytes + s.bytes)
	scratch := GP64()
	LEAQ(tmp, scratch)
	ADDQ(Imm(uint64(s.bytes-1)), scratch)
	ANDQ(I32(-s.bytes), scratch)
	slot := func(row, col int) Mem { return Mem{Base: scratch, Disp: (row*t.in + col) * s.bytes} }

	dst, src := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("src"), GP64()).(GPVirtual)
	n := Load(Param("groups"), GP64())
	var bias Register
	if t.bias {
		bias = Load(Param("bias"), GP64())
	}
	Label("group")
	for half := 0; half < line; half += s.bytes {
		t.columns(m, src, half, slot)
		t.rows(m, dst, bias, half, slot)
	}
	ADDQ(U32(uint32(t.from)), src)
	ADDQ(U32(uint32(t.to)), dst)
	if t.bias {
		ADDQ(U32(line), bias.(GPVirtual))
	}
	DECQ(n)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// columns transforms the columns of the source into the scratch square.
func (t transform) columns(m maths, src GPVirtual, half int, slot func(row, col int) Mem) {
	q := loadSquare(GP64(), "srcRow", "srcCol", true)
	MOVQ(src, q.cur)
	for j := range t.in {
		in := make([]VecVirtual, t.in)
		for i := range in {
			in[i] = m.load(multiple(q.cur, q.row, q.row3, q.row5, i, half))
		}
		for k, v := range t.f(m, in) {
			VMOVAPS(v, slot(k, j))
		}
		ADDQ(q.col, q.cur)
	}
}

// rows transforms the scratch square's rows into the destination.
func (t transform) rows(m maths, dst GPVirtual, bias Register, half int, slot func(row, col int) Mem) {
	q := loadSquare(GP64(), "dstRow", "dstCol", false)
	MOVQ(dst, q.cur)
	q.col3, q.col5 = GP64(), GP64()
	LEAQ(Mem{Base: q.col, Index: q.col, Scale: 2}, q.col3)
	LEAQ(Mem{Base: q.col, Index: q.col, Scale: 4}, q.col5)
	for k := range t.out {
		in := make([]VecVirtual, t.in)
		for j := range in {
			in[j] = m.load(slot(k, j))
		}
		for l, v := range t.f(m, in) {
			to := multiple(q.cur, q.col, q.col3, q.col5, l, half)
			sum := v
			switch {
			case t.accumulate:
				sum = m.vec()
				VADDPS(to, v, sum)
			case t.bias:
				sum = m.vec()
				VADDPS(Mem{Base: bias, Disp: half}, v, sum)
			}
			VMOVUPS(sum, to)
		}
		ADDQ(q.row, q.cur)
	}
}

package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is a vector instruction set that a function is generated for. Its vectors
// hold 64-bit words, each of another block of the counter.
type isa struct {
	suffix string
	bytes  int // of a vector
	vec    func() VecVirtual
}

var (
	avx2   = isa{"AVX2", 32, func() VecVirtual { return YMM() }}
	avx512 = isa{"AVX512", 64, func() VecVirtual { return ZMM() }}
)

// blocks is how many blocks a vector deals with.
func (s isa) blocks() int { return s.bytes / 8 }

// wide tells AVX-512 from AVX2.
func (s isa) wide() bool { return s.bytes == 64 }

// begin starts a function. It is not NOSPLIT, since the keys on its stack are more
// than such a function may have.
func (s isa) begin(name, signature, doc string) {
	TEXT(name+s.suffix, 0, "func("+signature+")")
	Pragma("noescape")
	Doc(name + s.suffix + " " + doc)
}

// end closes a function.
func end() {
	VZEROUPPER()
	RET()
}

// parameter is where a parameter lies in memory.
func parameter(name string) Mem {
	a, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return a.Addr
}

// constants maps a name to a read-only vector of equal words.
var constants = map[string]Mem{}

// constant returns a read-only vector whose words all are the bits, for either set.
func constant(name string, bits uint64) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i := range 8 {
			DATA(8*i, U64(bits))
		}
		constants[name] = m
	}
	return m
}

// double returns a read-only vector of one float64.
func double(name string, x float64) Mem { return constant(name, math.Float64bits(x)) }

// load reads a vector.
func (s isa) load(m Op) VecVirtual {
	v := s.vec()
	VMOVUPD(m, v)
	return v
}

// broadcast returns a vector whose words are that at m.
func (s isa) broadcast(m Op) VecVirtual {
	v := s.vec()
	VPBROADCASTQ(m, v)
	return v
}

// xor sets dst to its exclusive or with a and b.
func (s isa) xor(a, b Op, dst VecVirtual) {
	if s.wide() {
		VPTERNLOGQ(Imm(0x96), b, a, dst)
		return
	}
	VPXOR(a, dst, dst)
	VPXOR(b, dst, dst)
}

// floor rounds down.
func (s isa) floor(x, dst VecVirtual) {
	if s.wide() {
		VRNDSCALEPD(Imm(9), x, dst)
		return
	}
	VROUNDPD(Imm(9), x, dst)
}

// choose returns b where the sign of the choice is set and a elsewhere.
func (s isa) choose(choice, a, b VecVirtual) VecVirtual {
	v := s.vec()
	if s.wide() {
		k := K()
		VPMOVQ2M(choice, k)
		VBLENDMPD(b, a, k, v)
		return v
	}
	VBLENDVPD(choice, b, a, v)
	return v
}

// displaced is what lies so many bytes after a pointer.
func displaced(p Register, disp int) Mem { return Mem{Base: p, Disp: disp} }

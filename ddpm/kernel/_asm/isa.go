package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is a vector instruction set that a kernel is generated for.
type isa struct {
	suffix string
	bytes  int // of a vector
	vec    func() VecVirtual
	// named is how many vectors of constants are worth a register of their own.
	named int
}

var (
	avx2   = isa{"AVX2", 32, func() VecVirtual { return YMM() }, 0}
	avx512 = isa{"AVX512", 64, func() VecVirtual { return ZMM() }, 12}
)

// line is the 16 float32 values of a cache line, and of a packed panel's row.
const line = 64

// load reads a vector.
func (s isa) load(m Op) VecVirtual {
	v := s.vec()
	VMOVUPS(m, v)
	return v
}

// zero returns a vector of zeros.
func (s isa) zero() VecVirtual {
	v := s.vec()
	if s.bytes == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
	return v
}

// copied returns a copy of a vector.
func (s isa) copied(v VecVirtual) VecVirtual {
	c := s.vec()
	VMOVAPS(v, c)
	return c
}

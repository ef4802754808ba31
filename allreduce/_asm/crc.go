package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// crcBlock is how many bytes the kernel of CRC-32C takes at a time.
const crcBlock = 256

// castagnoli is the polynomial of CRC-32C, its bits reflected, without x^32.
const castagnoli = 0x82f63b78

// crc generates CRC-32C by folding (Gopal et al., "Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction", Intel, 2009): a message of 128 bits, as a
// polynomial, is congruent to a shorter one that lies D bits further on, its halves
// multiplied by x^(D+32) and x^(D-32) modulo the CRC's polynomial. Four vectors of 512
// bits fold onto the next four, the last four onto one, and that one's four parts onto
// one, whose CRC the instruction for it makes.
func crc() {
	function("castagnoliAVX512", "state uint32, p *byte, n int) (next uint32", "is CRC-32C's state, the complement of the CRC, after n bytes more, a multiple of 256 above zero.")
	p := pointer("p")
	vectors := make([]VecVirtual, crcBlock/64)
	for i := range vectors {
		vectors[i] = ZMM()
		VMOVDQU64(displaced(p, 64*i), vectors[i])
	}
	state, first := GP32(), XMM()
	Load(Param("state"), state)
	VMOVD(state, first)
	VPXORQ(first.AsZ(), vectors[0], vectors[0])
	n := Load(Param("n"), GP64())
	far := foldingBy("far", 8*crcBlock)
	JMP(LabelRef("next"))
	Label("fold")
	for i, v := range vectors {
		fold(v, far, displaced(p, 64*i))
	}
	Label("next")
	ADDQ(U32(crcBlock), p)
	SUBQ(U32(crcBlock), n)
	JNZ(LabelRef("fold"))

	near := foldingBy("near", 512)
	all := vectors[0]
	for _, v := range vectors[1:] {
		fold(all, near, v)
	}
	within := foldingBy("within", 128)
	one, part := all.AsX(), XMM()
	for i := range 3 {
		VEXTRACTI64X2(Imm(uint64(i+1)), all, part)
		low, high := XMM(), XMM()
		VPCLMULQDQ(Imm(0x00), within.AsX(), one, low)
		VPCLMULQDQ(Imm(0x11), within.AsX(), one, high)
		folded := XMM()
		VPXORQ(low, high, folded)
		VPXORQ(part, folded, folded)
		one = folded
	}
	result, half := GP64(), GP64()
	XORQ(result, result)
	VMOVQ(one, half)
	CRC32Q(half, result)
	VPEXTRQ(Imm(1), one, half)
	CRC32Q(half, result)
	VZEROUPPER()
	Store(result.As32(), ReturnIndex(0))
	RET()
}

// fold makes of each 128 bits of v what they are when they are folded onto those of onto.
func fold(v, by VecVirtual, onto Op) {
	low := ZMM()
	multiply(0x00, by, v, low)
	multiply(0x11, by, v, v)
	VPTERNLOGQ(Imm(0x96), onto, low, v) // exclusive or of all three
}

// multiply is VPCLMULQDQ of vectors of 512 bits, which avo does not know.
func multiply(halves uint64, by, v, product VecVirtual) {
	Instruction(&ir.Instruction{
		Opcode:   "VPCLMULQDQ",
		Operands: []Op{Imm(halves), by, v, product},
		Inputs:   []Op{by, v},
		Outputs:  []Op{product},
		ISA:      []string{"AVX512F", "VPCLMULQDQ"},
	})
}

// foldingBy returns a vector with the two factors that fold by so many bits.
func foldingBy(name string, bits int) VecVirtual {
	m := GLOBL("crc_"+name, RODATA|NOPTR)
	DATA(0, U64(power(bits+32)))
	DATA(8, U64(power(bits-32)))
	v := ZMM()
	VBROADCASTI64X2(m, v)
	return v
}

// power is x^n modulo the polynomial, reflected and one bit up, since a product of two
// reflected factors is one bit down.
func power(n int) uint64 {
	p := uint32(1 << 31)
	for range n {
		p = p>>1 ^ p&1*castagnoli
	}
	return uint64(p) << 1
}

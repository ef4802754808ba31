package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Philox4x32-10's constants, as in philox.go of the package.
const (
	philoxM0     = 0xD2511F53
	philoxM1     = 0xCD9E8D57
	philoxW0     = 0x9E3779B9
	philoxW1     = 0xBB67AE85
	philoxRounds = 10
)

// generator makes the words of one vector of blocks after another. A word is the
// lower half of a 64-bit one; what the upper half holds counts for nothing.
type generator struct {
	s       isa
	keys    Mem // k0 and k1 of each round
	counter [4]VecVirtual
}

// newGenerator reads the parameters seed (uint64) and ctr (*[4]uint32), the counter
// of the first block.
func newGenerator(s isa) *generator {
	g := &generator{s: s, keys: AllocLocal(2 * philoxRounds * s.bytes)}
	seed := Load(Param("seed"), GP64()).(GPVirtual)
	for i, step := range []uint32{philoxW0, philoxW1} {
		key := GP64()
		MOVQ(seed, key)
		if i > 0 {
			SHRQ(Imm(32), key)
		}
		for round := range philoxRounds {
			x := XMM()
			VMOVQ(key, x)
			VMOVUPD(s.broadcast(x), g.key(round, i))
			ADDL(U32(step), key.As32())
		}
	}
	ctr := Load(Param("ctr"), GP64())
	for i := range g.counter {
		x := XMM()
		VMOVD(displaced(ctr, 4*i), x)
		g.counter[i] = s.broadcast(x)
	}
	VPADDQ(lanes(), g.counter[0], g.counter[0])
	return g
}

// lanes returns a read-only vector of 0, 1, 2 …
func lanes() Mem {
	m, ok := constants["lanes"]
	if !ok {
		m = GLOBL("lanes", RODATA|NOPTR)
		for i := range 8 {
			DATA(8*i, U64(uint64(i)))
		}
		constants["lanes"] = m
	}
	return m
}

// key is where a round's key lies.
func (g *generator) key(round, i int) Mem {
	return g.keys.Offset((2*round + i) * g.s.bytes)
}

// next returns the words of the blocks at hand and counts on.
func (g *generator) next() [4]VecVirtual {
	s := g.s
	var c [4]VecVirtual
	for i := range c {
		c[i] = s.vec()
		VMOVAPD(g.counter[i], c[i])
	}
	for round := range philoxRounds {
		p0, p1, hi0, hi1 := s.vec(), s.vec(), s.vec(), s.vec()
		VPMULUDQ(constant("philoxM0", philoxM0), c[0], p0)
		VPMULUDQ(constant("philoxM1", philoxM1), c[2], p1)
		VPSRLQ(Imm(32), p0, hi0)
		VPSRLQ(Imm(32), p1, hi1)
		s.xor(c[1], g.key(round, 0), hi1)
		s.xor(c[3], g.key(round, 1), hi0)
		c = [4]VecVirtual{hi1, p1, hi0, p0}
	}
	VPADDQ(constant("blocks"+s.suffix, uint64(s.blocks())), g.counter[0], g.counter[0])
	return c
}

// word clears the upper halves.
func (s isa) word(w VecVirtual) VecVirtual {
	v := s.vec()
	VANDPD(constant("lower", 1<<32-1), w, v)
	return v
}

// loop runs body for every vector of blocks, whose number is the parameter n, above
// zero, and moves dst on by so many bytes.
func loop(dst Register, bytes int, body func()) {
	n := Load(Param("n"), GP64())
	Label("vector")
	body()
	ADDQ(Imm(uint64(bytes)), dst.(GPVirtual))
	DECQ(n)
	JNZ(LabelRef("vector"))
}

// masks generates Masks.
func masks(s isa) {
	s.begin("masks", "dst *uint8, n int, seed uint64, ctr *[4]uint32, threshold uint64", "is masksPortable for n vectors of blocks.")
	dst := Load(Param("dst"), GP64())
	threshold := s.broadcast(parameter("threshold"))
	g := newGenerator(s)
	loop(dst, s.blocks(), func() {
		var mask VecVirtual
		for i, w := range g.next() {
			below := s.word(w)
			VPSUBQ(threshold, below, below) // negative where the word is below
			VPSRLQ(Imm(63), below, below)
			if i == 0 {
				mask = below
				continue
			}
			VPSLLQ(Imm(uint64(i)), below, below)
			VORPD(below, mask, mask)
		}
		VXORPD(constant("nibble", 15), mask, mask)
		if s.wide() {
			VPMOVQB(mask, displaced(dst, 0))
			return
		}
		// Words 0 to 3 become bytes 0 to 3.
		upper, second := XMM(), XMM()
		VEXTRACTI128(Imm(1), mask, upper)
		VPSLLQ(Imm(16), upper, upper)
		VPOR(mask.AsX(), upper, upper)
		VPSHUFD(Imm(0xee), upper, second)
		VPSLLQ(Imm(8), second, second)
		VPOR(second, upper, upper)
		VMOVD(upper, displaced(dst, 0))
	})
	end()
}

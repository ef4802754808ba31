package main

import (
	"fmt"
	"math"
	"math/big"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The names below are those of elementary.go and normal.go in the package, whose
// operations the assembly does one by one.

// normals generates Normals.
func normals(s isa) {
	s.begin("normals", "dst *float32, n int, seed uint64, ctr *[4]uint32", "is normalsPortable for n vectors of blocks.")
	dst := Load(Param("dst"), GP64())
	g := newGenerator(s)
	loop(dst, 16*s.blocks(), func() {
		w := g.next()
		z0, z1 := s.boxMuller(w[0], w[1])
		z2, z3 := s.boxMuller(w[2], w[3])
		s.store(dst, z0, z1, z2, z3)
	})
	end()
}

// uniforms generates Uniforms.
func uniforms(s isa) {
	s.begin("uniforms", "dst *float32, n int, seed uint64, ctr *[4]uint32, a float64", "is uniformsPortable for n vectors of blocks.")
	dst := Load(Param("dst"), GP64())
	a := s.broadcast(parameter("a"))
	g := newGenerator(s)
	loop(dst, 16*s.blocks(), func() {
		var u [4]VecVirtual
		for i, w := range g.next() {
			x := s.half(w)
			VMULPD(double("twoToMinus31", 0x1p-31), x, x)
			VSUBPD(double("one", 1), x, x)
			VMULPD(a, x, x)
			u[i] = s.single(x)
		}
		s.store(dst, u[0], u[1], u[2], u[3])
	})
	end()
}

// half returns a word + 1/2: the word's bits within those of 2^52, less what is too
// much, which is exact.
func (s isa) half(w VecVirtual) VecVirtual {
	x := s.word(w)
	VORPD(double("twoTo52", 0x1p52), x, x)
	VSUBPD(double("twoTo52LessHalf", 0x1p52-0.5), x, x)
	return x
}

// unit is Unit.
func (s isa) unit(w VecVirtual) VecVirtual {
	x := s.half(w)
	VMULPD(double("twoToMinus32", 0x1p-32), x, x)
	return x
}

// single rounds to float32.
func (s isa) single(x VecVirtual) VecVirtual {
	if s.wide() {
		y := YMM()
		VCVTPD2PS(x, y)
		return y
	}
	y := XMM()
	VCVTPD2PSY(x, y)
	return y
}

// boxMuller is boxMuller, and destroys neither word.
func (s isa) boxMuller(a, b VecVirtual) (cosines, sines VecVirtual) {
	r := s.log(s.unit(a))
	VMULPD(double("minusTwo", -2), r, r)
	VSQRTPD(r, r)
	sin, cos := s.sinCosTurn(s.unit(b))
	VMULPD(r, cos, cos)
	VMULPD(r, sin, sin)
	return s.single(cos), s.single(sin)
}

// log is Log of units, and destroys x.
func (s isa) log(x VecVirtual) VecVirtual {
	e := s.vec()
	VPSRLQ(Imm(52), x, e)
	VORPD(double("twoTo52", 0x1p52), e, e)
	VSUBPD(double("twoTo52AndBias", 0x1p52+1023), e, e)
	m := x
	VANDPD(constant("mantissa", 1<<52-1), m, m)
	VORPD(double("one", 1), m, m)
	if s.wide() {
		large := K()
		VCMPPD(Imm(0x1e), double("sqrt2", math.Sqrt2), m, large)
		VMULPD(double("half", 0.5), m, large, m)
		VADDPD(double("one", 1), e, large, e)
	} else {
		large, halved := s.vec(), s.vec()
		VCMPPD(Imm(0x1e), double("sqrt2", math.Sqrt2), m, large)
		VMULPD(double("half", 0.5), m, halved)
		VBLENDVPD(large, halved, m, m)
		VANDPD(double("one", 1), large, large)
		VADDPD(large, e, e)
	}
	ratio, below := s.vec(), s.vec()
	VSUBPD(double("one", 1), m, ratio)
	VADDPD(double("one", 1), m, below)
	VDIVPD(below, ratio, ratio)
	z := below
	VMULPD(ratio, ratio, z)
	sum := s.load(double("inverse21", 1.0/21))
	for n := 19; n >= 3; n -= 2 {
		VMULPD(z, sum, sum)
		VADDPD(double(fmt.Sprintf("inverse%d", n), 1/float64(n)), sum, sum)
	}
	VMULPD(z, sum, sum)
	VADDPD(ratio, ratio, ratio)
	VMULPD(ratio, sum, sum)
	low := z
	VMULPD(double("ln2Lo", 0x1.a39ef35793c76p-33), e, low)
	VADDPD(low, sum, sum)
	VADDPD(ratio, sum, sum)
	VMULPD(double("ln2Hi", 0x1.62e42feep-1), e, e)
	VADDPD(e, sum, sum)
	return sum
}

// sinCosTurn is sinCosTurn, and destroys u.
func (s isa) sinCosTurn(u VecVirtual) (sin, cos VecVirtual) {
	r, q := u, s.vec()
	VMULPD(double("four", 4), u, r)
	VADDPD(double("half", 0.5), r, q)
	s.floor(q, q)
	VSUBPD(q, r, r)
	VMULPD(double("piHalf", math.Pi/2), r, r)
	z := s.vec()
	VMULPD(r, r, z)
	var series [2]VecVirtual
	for i, top := range []int{8, 9} {
		sum := s.load(double("one", 1))
		for n := top; n >= 1; n-- {
			term := s.divide(z, 2*n*(2*n+1-2*i))
			if n < top {
				VMULPD(sum, term, term)
			}
			VSUBPD(term, s.load(double("one", 1)), sum)
		}
		series[i] = sum
	}
	VMULPD(r, series[0], series[0])
	// The quadrant's lowest bit exchanges the two; its next one is the sine's sign,
	// and that of the quadrant after is the cosine's.
	VADDPD(double("twoTo52", 0x1p52), q, q)
	odd := s.vec()
	VPSLLQ(Imm(63), q, odd)
	sin, cos = s.choose(odd, series[0], series[1]), s.choose(odd, series[1], series[0])
	for i, v := range []VecVirtual{sin, cos} {
		if i > 0 {
			VPADDQ(constant("unity", 1), q, q)
		}
		sign := s.vec()
		VPSLLQ(Imm(62), q, sign)
		VANDPD(constant("sign", 1<<63), sign, sign)
		VXORPD(sign, v, v)
	}
	return sin, cos
}

// divide returns z / n, rounded once, for a small n and z neither tiny nor huge:
// z·h + z·l, h being 1/n and l what h lacks of it, which errs by less than 2^-50
// units in the last place before it rounds. That always rounds as the quotient
// does: a quotient of a float64 by n, which has k bits, is never halfway between
// two float64s (n times such a number has more than 53 bits), and so differs from
// halfway by a multiple of 1/2n, 2^-(k+1) units at least.
func (s isa) divide(z VecVirtual, n int) VecVirtual {
	h := 1 / float64(n)
	exact := new(big.Float).SetPrec(200).Quo(big.NewFloat(1).SetPrec(200), big.NewFloat(float64(n)))
	l, _ := exact.Sub(exact, big.NewFloat(h)).Float64()
	q := s.vec()
	high := double(fmt.Sprintf("high%d", n), h)
	if l == 0 {
		VMULPD(high, z, q)
		return q
	}
	VMULPD(double(fmt.Sprintf("low%d", n), l), z, q)
	VFMADD231PD(high, z, q)
	return q
}

// store writes four floats of each block, the blocks in order.
func (s isa) store(dst Register, z0, z1, z2, z3 VecVirtual) {
	for i, unpack := range []func(...Op){VUNPCKLPS, VUNPCKHPS} {
		a, b, even, odd := s.singles(), s.singles(), s.singles(), s.singles()
		unpack(z1, z0, a)
		unpack(z3, z2, b)
		VUNPCKLPD(b, a, even)
		VUNPCKHPD(b, a, odd)
		for j, v := range []VecVirtual{even, odd} {
			VMOVUPS(v.AsX(), displaced(dst, 16*(2*i+j)))
			if s.wide() {
				VEXTRACTF128(Imm(1), v, displaced(dst, 16*(2*i+j+4)))
			}
		}
	}
}

// singles returns a new vector for as many float32 as there are blocks.
func (s isa) singles() VecVirtual {
	if s.wide() {
		return YMM()
	}
	return XMM()
}

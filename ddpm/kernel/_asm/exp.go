package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// exponentials generates Exp, SiLU and SiLUGrad.
func exponentials() {
	function("exp", "dst *float32, x *float32, n int", "is expPortable for n values, a multiple of 8.")
	p := pointers("dst", "x")
	each("vector", "n", func(off Register) {
		VMOVUPS(exp(load(at(p[1], off))), at(p[0], off))
	})
	end()

	function("silu", "dst *float32, x *float32, n int", "is siluPortable for n values, a multiple of 8.")
	p = pointers("dst", "x")
	each("vector", "n", func(off Register) {
		VMOVUPS(silu(load(at(p[1], off))), at(p[0], off))
	})
	end()

	function("siluGrad", "dx *float32, dy *float32, x *float32, n int", "is siluGradPortable for n values, a multiple of 8.")
	p = pointers("dx", "dy", "x")
	each("vector", "n", func(off Register) {
		g := siluGrad(load(at(p[2], off)))
		VMULPS(at(p[1], off), g, g)
		VMOVUPS(g, at(p[0], off))
	})
	end()
}

// exp returns expScalar of every lane and destroys x. The comments name the
// steps of the meaning that Exp's doc comment states.
func exp(x VecVirtual) VecVirtual {
	// v: VMAXPS and VMINPS return their second source, here x, for a NaN.
	v := load(float("expMin", -104))
	VMAXPS(x, v, v)
	w := load(float("expMax", 89))
	VMINPS(v, w, w)
	// n
	n := load(float("expMagic", 3<<22))
	log2e := load(float("log2e", 0x1.715476p0))
	VFMADD231PS(log2e, w, n)
	VSUBPS(float("expMagic", 3<<22), n, n)
	// r
	VFNMADD231PS(float("ln2Hi", 0x1.62e430p-1), n, w)
	VFNMADD231PS(float("ln2Lo", -0x1.05c610p-29), n, w)
	// q
	q := load(float("expC6", 0x1.6a23d0p-10))
	VFMADD213PS(float("expC5", 0x1.123a20p-7), w, q)
	VFMADD213PS(float("expC4", 0x1.5558f2p-5), w, q)
	VFMADD213PS(float("expC3", 0x1.555492p-3), w, q)
	VFMADD213PS(float("expC2", 0x1.fffffcp-2), w, q)
	VFMADD213PS(float("one", 1), w, q)
	VFMADD213PS(float("one", 1), w, q)
	// 2^(n>>1) and 2^(n-(n>>1))
	i, half := YMM(), YMM()
	VCVTPS2DQ(n, i)
	VPSRAD(Imm(1), i, half)
	VPSUBD(half, i, i)
	for _, e := range []VecVirtual{half, i} {
		VPADDD(constant("expBias", 127), e, e)
		VPSLLD(Imm(23), e, e)
		VMULPS(e, q, q)
	}
	return q
}

// onePlusExpMinus returns 1 + Exp(-x) and keeps x.
func onePlusExpMinus(x VecVirtual) VecVirtual {
	m := YMM()
	VXORPS(constant("signBit", 1<<31), x, m)
	e := exp(m)
	VADDPS(float("one", 1), e, e)
	return e
}

// silu returns siluScalar of every lane.
func silu(x VecVirtual) VecVirtual {
	e := onePlusExpMinus(x)
	VDIVPS(e, x, e)
	return e
}

// siluGrad returns siluGradScalar of every lane and destroys x.
func siluGrad(x VecVirtual) VecVirtual {
	e := onePlusExpMinus(x)
	one := load(float("one", 1))
	s, t := YMM(), YMM()
	VDIVPS(e, one, s)
	VSUBPS(s, one, t)
	VFMADD213PS(one, t, x)
	VMULPS(x, s, s)
	return s
}

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const shape = "rows int, cols int, stride int"

// groupNorm generates the parts of GroupNorm, for the pixels of one image or of
// one block of them.
func groupNorm() {
	columnSums()
	widen()
	normRows("normalize", func(z VecVirtual) VecVirtual { return z })
	normRows("normalizeSiLU", silu)

	function("gradSiLU", "dz *float32, dy *float32, x *float32, mean *float32, factor *float32, beta *float32, "+shape,
		"is gradSiLUPortable for cols columns, a multiple of 8.")
	c := pointers("mean", "factor", "beta")
	grid(pointers("dz", "dy", "x"), func(p []Register, off Register) {
		g := siluGrad(normalized(at(p[2], off), c, off))
		VMULPS(at(p[1], off), g, g)
		VMOVUPS(g, at(p[0], off))
	})
	end()

	function("gradApply", "dx *float32, dz *float32, x *float32, mean *float32, factor *float32, q *float32, r *float32, "+shape,
		"is gradApplyPortable for cols columns, a multiple of 8.")
	c = pointers("mean", "q", "r")
	factor := pointers("factor")[0]
	grid(pointers("dx", "dz", "x"), func(p []Register, off Register) {
		v := normalized(at(p[2], off), c, off)
		z := load(at(p[1], off))
		VFMADD231PS(at(factor, off), z, v)
		VMOVUPS(v, at(p[0], off))
	})
	end()
}

// normalized returns FMA(x-mean, factor, addend) for the columns at off, with c
// the pointers to mean, factor and addend.
func normalized(x Mem, c []Register, off Register) VecVirtual {
	d, f := load(x), load(at(c[1], off))
	VSUBPS(at(c[0], off), d, d)
	VFMADD213PS(at(c[2], off), f, d)
	return d
}

// normRows generates y = f(z) for the normalised value z.
func normRows(name string, f func(VecVirtual) VecVirtual) {
	function(name, "y *float32, x *float32, mean *float32, factor *float32, beta *float32, "+shape,
		"is "+name+"Portable for cols columns, a multiple of 8.")
	c := pointers("mean", "factor", "beta")
	grid(pointers("y", "x"), func(p []Register, off Register) {
		VMOVUPS(f(normalized(at(p[1], off), c, off)), at(p[0], off))
	})
	end()
}

// columnSums generates the chains down the columns.
func columnSums() {
	type chains struct{ mean, one, two []VecVirtual }
	start := func(mean Register) func(Register, int) any {
		return func(off Register, width int) any {
			var s chains
			for i := range width {
				m := at(mean, off)
				m.Disp = 4 * lanes * i
				s.mean = append(s.mean, load(m))
				s.one = append(s.one, zero())
				s.two = append(s.two, zero())
			}
			return s
		}
	}
	write := func(v VecVirtual, to Register, off Register, i int) {
		m := at(to, off)
		m.Disp = 4 * lanes * i
		VMOVUPS(v, m)
	}

	function("squareSums", "dst *float32, x *float32, mean *float32, "+shape, "is squareSumsPortable for cols columns, a multiple of 8.")
	p := pointers("dst", "x", "mean")
	columns(p[1:2], start(p[2]), func(state any, row []Register, disp, i int) {
		s := state.(chains)
		d := load(displaced(row[0], disp))
		VSUBPS(s.mean[i], d, d)
		VFMADD231PS(d, d, s.one[i])
	}, func(state any, off Register, width int) {
		for i := range width {
			write(state.(chains).one[i], p[0], off, i)
		}
	})
	end()

	function("gradSums", "s1 *float32, s2 *float32, dz *float32, x *float32, mean *float32, "+shape, "is gradSumsPortable for cols columns, a multiple of 8.")
	q := pointers("s1", "s2", "dz", "x", "mean")
	columns(q[2:4], start(q[4]), func(state any, row []Register, disp, i int) {
		s := state.(chains)
		z, d := load(displaced(row[0], disp)), load(displaced(row[1], disp))
		VSUBPS(s.mean[i], d, d)
		VADDPS(z, s.one[i], s.one[i])
		VFMADD231PS(z, d, s.two[i])
	}, func(state any, off Register, width int) {
		for i := range width {
			write(state.(chains).one[i], q[0], off, i)
			write(state.(chains).two[i], q[1], off, i)
		}
	})
	end()
}

// widen generates the addition of float32 sums to float64 sums.
func widen() {
	function("widenAdd", "dst *float64, src *float32, n int", "is widenAddPortable for n values, a multiple of 8.")
	p := pointers("dst", "src")
	each("vector", "n", func(off Register) {
		for i := range 2 {
			from := at(p[1], off)
			from.Disp = 16 * i
			to := Mem{Base: p[0], Index: off, Scale: 2, Disp: 32 * i}
			v := YMM()
			VCVTPS2PD(from, v)
			VADDPD(to, v, v)
			VMOVUPD(v, to)
		}
	})
	end()
}

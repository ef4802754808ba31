package kernel

// Backward computes dx [N,HW,C], which it overwrites, and adds to dgamma and
// dbeta [C], from dy [N,HW,C], Forward's input x, and the mean and rstd [N,Groups]
// that Forward kept. dx may be dy, but not x.
//
// Meaning, with dz = dy and d = x-mean: S1 is the channel sum of dz (chain
// p = p + dz) and S2 that of d·dz (chain p = FMA(dz, d, p)). In float64, unfused:
// A is the group's sum of gamma·S1 and B that of gamma·S2, where channel by
// channel ascending. P = rstd·gamma in float32;
// Q = -(B·rstd·rstd·rstd/M) and R = -(A·rstd/M), products from the left, in float64
// and rounded to float32. dx = FMA(dz, P, FMA(d, Q, R)).
// dgamma = dgamma + float32(sum over images ascending of S2·rstd) and
// dbeta = dbeta + float32(sum over images ascending of S1), sums in float64 from 0.
func (g GroupNorm) Backward(p *Pool, dy, x, gamma, mean, rstd, dx, dgamma, dbeta []float32) {
	g.backward(p, dy, x, gamma, nil, mean, rstd, dx, dgamma, dbeta)
}

// BackwardSiLU is Backward for ForwardSiLU. It computes the normalised value
// z again, as Forward does; its dz is dy · (s · FMA(z, 1-s, 1)) with
// s = 1 / (1 + Exp(-z)), as in SiLUGrad.
func (g GroupNorm) BackwardSiLU(p *Pool, dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta []float32) {
	need("beta", beta, g.C)
	g.backward(p, dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta)
}

// backward is BackwardSiLU, or Backward when beta is nil.
func (g GroupNorm) backward(p *Pool, dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta []float32) {
	g.check()
	need("dy", dy, g.N*g.HW*g.C)
	need("x", x, g.N*g.HW*g.C)
	need("dx", dx, g.N*g.HW*g.C)
	need("gamma", gamma, g.C)
	need("mean", mean, g.N*g.Groups)
	need("rstd", rstd, g.N*g.Groups)
	need("dgamma", dgamma, g.C)
	need("dbeta", dbeta, g.C)
	// Per image S1 [C], then S2·rstd [C].
	sums := grow(&p.shared().doubles, 2*g.N*g.C)
	p.columns(g.N, g.C, g.grain(), func(ws *workspace, i, from, to int) {
		at, end := i*g.HW*g.C+from, (i+1)*g.HW*g.C
		r := g.ofImage(rstd, i, from, to)
		n := normRows{rows: g.HW, stride: g.C}
		if beta != nil {
			n.beta = beta[from:to]
		}
		n.mean, n.factor = grow(&ws.floats[0], to-from), grow(&ws.floats[1], to-from)
		g.spread(n.mean, g.ofImage(mean, i, from, to))
		g.spread(n.factor, r)
		for c, v := range gamma[from:to] {
			n.factor[c] *= v
		}
		s1, s2 := sums[2*i*g.C+from:2*i*g.C+to], sums[(2*i+1)*g.C+from:(2*i+1)*g.C+to]
		dz := g.backwardSums(ws, n, s1, s2, dy[at:end], x[at:end], dx[at:end])
		g.backwardApply(ws, n, s1, s2, gamma[from:to], r, dx[at:end], dz, x[at:end])
	})
	for c := range g.C {
		var s1, s2 float64
		for i := range g.N {
			s1 += sums[2*i*g.C+c]
			s2 += sums[(2*i+1)*g.C+c]
		}
		dbeta[c] += float32(s1)
		dgamma[c] += float32(s2)
	}
}

// backwardSums computes S1 and S2 of some channels of an image and returns their
// dz: dy itself, or with SiLU what it has written to dx.
func (g GroupNorm) backwardSums(ws *workspace, n normRows, s1, s2 []float64, dy, x, dx []float32) []float32 {
	p1, p2 := grow(&ws.floats[2], len(s1)), grow(&ws.floats[3], len(s1))
	clear(s1)
	clear(s2)
	dz := dy
	if n.beta != nil {
		dz = dx
	}
	g.blocks(func(at, rows int) {
		b := n
		b.rows = rows
		if n.beta != nil {
			gradSiLU(dx[at:], dy[at:], x[at:], b)
		}
		gradSums(p1, p2, dz[at:], x[at:], b)
		widenAdd(s1, p1)
		widenAdd(s2, p2)
	})
	return dz
}

// backwardApply writes dx of some channels of an image and turns S2 into S2·rstd.
func (g GroupNorm) backwardApply(ws *workspace, n normRows, s1, s2 []float64, gamma, rstd, dx, dz, x []float32) {
	q, r := grow(&ws.floats[2], len(s1)), grow(&ws.floats[3], len(s1))
	width := g.C / g.Groups
	m := float64(g.HW * width)
	for i, s := range rstd {
		var a, b float64
		rs := float64(s)
		for c := i * width; c < (i+1)*width; c++ {
			a += float64(float64(gamma[c]) * s1[c])
			b += float64(float64(gamma[c]) * s2[c])
			s2[c] *= rs
		}
		for c := i * width; c < (i+1)*width; c++ {
			q[c], r[c] = float32(-(b * rs * rs * rs / m)), float32(-(a * rs / m))
		}
	}
	gradApply(dx, dz, x, n, q, r)
}

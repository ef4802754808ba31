package kernel

// The functions below work on columns from on: the vector code leaves them the
// columns that fill no vector. Rows lie stride elements apart.

// squareSumsPortable sets dst to the columns' sums of squares of x-mean.
func squareSumsPortable(dst, x, mean []float32, rows, stride, from int) {
	for j := from; j < len(dst); j++ {
		var p float32
		for r := range rows {
			d := x[r*stride+j] - mean[j]
			p = FMA(d, d, p)
		}
		dst[j] = p
	}
}

// widenAddPortable sets dst = dst + src in float64.
func widenAddPortable(dst []float64, src []float32) {
	for i, v := range src {
		dst[i] += float64(v)
	}
}

func normalizePortable(y, x []float32, n normRows, from int) {
	for r := range n.rows {
		for j := from; j < len(n.mean); j++ {
			i := r*n.stride + j
			y[i] = FMA(x[i]-n.mean[j], n.factor[j], n.beta[j])
		}
	}
}

func normalizeSiLUPortable(y, x []float32, n normRows, from int) {
	for r := range n.rows {
		for j := from; j < len(n.mean); j++ {
			i := r*n.stride + j
			y[i] = siluScalar(FMA(x[i]-n.mean[j], n.factor[j], n.beta[j]))
		}
	}
}

// gradSiLUPortable sets dz to the gradient of SiLU's input z.
func gradSiLUPortable(dz, dy, x []float32, n normRows, from int) {
	for r := range n.rows {
		for j := from; j < len(n.mean); j++ {
			i := r*n.stride + j
			dz[i] = dy[i] * siluGradScalar(FMA(x[i]-n.mean[j], n.factor[j], n.beta[j]))
		}
	}
}

// gradSumsPortable sets s1 and s2 to the columns' sums of dz and of dz·(x-mean).
func gradSumsPortable(s1, s2, dz, x []float32, n normRows, from int) {
	for j := from; j < len(n.mean); j++ {
		var p1, p2 float32
		for r := range n.rows {
			i := r*n.stride + j
			p1 += dz[i]
			p2 = FMA(dz[i], x[i]-n.mean[j], p2)
		}
		s1[j], s2[j] = p1, p2
	}
}

// gradApplyPortable sets dx = FMA(dz, factor, FMA(x-mean, q, r)).
func gradApplyPortable(dx, dz, x []float32, n normRows, q, r []float32, from int) {
	for row := range n.rows {
		for j := from; j < len(n.mean); j++ {
			i := row*n.stride + j
			dx[i] = FMA(dz[i], n.factor[j], FMA(x[i]-n.mean[j], q[j], r[j]))
		}
	}
}

package kernel

// The interpolation points ±a and ±b, and what the matrices are made of.
const (
	winogradA  = 0.75
	winogradB  = 1.5
	winogradA2 = winogradA * winogradA
	winogradB2 = winogradB * winogradB
	// Of x(x²-a²)(x²-b²): the middle coefficient, negated, and the last.
	winogradSum  = winogradA2 + winogradB2
	winogradProd = winogradA2 * winogradB2
	// The values at ±a and ±b of the polynomial without that factor.
	winogradFA = 2 * winogradA2 * (winogradA2 - winogradB2)
	winogradFB = 2 * winogradB2 * (winogradB2 - winogradA2)
)

// winograd1 is a one-dimensional transform of the first values of d.
type winograd1 func(d [winogradSide]float32) [winogradSide]float32

// winogradInput1 is Bᵀd.
func winogradInput1(d [winogradSide]float32) [winogradSide]float32 {
	v0 := FMA(winogradProd, d[0], FMA(-winogradSum, d[2], d[4]))
	v5 := FMA(winogradProd, d[1], FMA(-winogradSum, d[3], d[5]))
	eA, oA := FMA(-winogradB2, d[2], d[4]), FMA(-winogradB2, d[1], d[3])
	eB, oB := FMA(-winogradA2, d[2], d[4]), FMA(-winogradA2, d[1], d[3])
	return [winogradSide]float32{v0,
		FMA(winogradA, oA, eA), FMA(-winogradA, oA, eA),
		FMA(winogradB, oB, eB), FMA(-winogradB, oB, eB), v5}
}

// winogradInputGrad1 is B·v.
func winogradInputGrad1(v [winogradSide]float32) [winogradSide]float32 {
	sA, dA, sB, dB := v[1]+v[2], v[1]-v[2], v[3]+v[4], v[3]-v[4]
	return [winogradSide]float32{
		winogradProd * v[0],
		FMA(-winogradB*winogradA2, dB, FMA(-winogradA*winogradB2, dA, winogradProd*v[5])),
		FMA(-winogradA2, sB, FMA(-winogradB2, sA, -winogradSum*v[0])),
		FMA(winogradB, dB, FMA(winogradA, dA, -winogradSum*v[5])),
		float32(v[0]+sA) + sB,
		v[5],
	}
}

// winogradOutput1 is Aᵀm.
func winogradOutput1(m [winogradSide]float32) [winogradSide]float32 {
	sA, dA, sB, dB := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [winogradSide]float32{
		float32(m[0]+sA) + sB,
		FMA(winogradB, dB, winogradA*dA),
		FMA(winogradB2, sB, winogradA2*sA),
		FMA(winogradB*winogradB2, dB, FMA(winogradA*winogradA2, dA, m[5])),
	}
}

// winogradOutputGrad1 is A·y.
func winogradOutputGrad1(y [winogradSide]float32) [winogradSide]float32 {
	eA, oA := FMA(winogradA2, y[2], y[0]), FMA(winogradA2, y[3], y[1])
	eB, oB := FMA(winogradB2, y[2], y[0]), FMA(winogradB2, y[3], y[1])
	return [winogradSide]float32{y[0],
		FMA(winogradA, oA, eA), FMA(-winogradA, oA, eA),
		FMA(winogradB, oB, eB), FMA(-winogradB, oB, eB), y[3]}
}

// winogradWeight1 is G·g.
func winogradWeight1(g [winogradSide]float32) [winogradSide]float32 {
	eA := FMA(winogradA2/winogradFA, g[2], 1/winogradFA*g[0])
	eB := FMA(winogradB2/winogradFB, g[2], 1/winogradFB*g[0])
	return [winogradSide]float32{1 / winogradProd * g[0],
		FMA(winogradA/winogradFA, g[1], eA), FMA(-winogradA/winogradFA, g[1], eA),
		FMA(winogradB/winogradFB, g[1], eB), FMA(-winogradB/winogradFB, g[1], eB), g[2]}
}

// winogradWeightGrad1 is Gᵀu.
func winogradWeightGrad1(u [winogradSide]float32) [winogradSide]float32 {
	sA, dA, sB, dB := u[1]+u[2], u[1]-u[2], u[3]+u[4], u[3]-u[4]
	return [winogradSide]float32{
		FMA(1/winogradFB, sB, FMA(1/winogradFA, sA, 1/winogradProd*u[0])),
		FMA(winogradB/winogradFB, dB, winogradA/winogradFA*dA),
		FMA(winogradB2/winogradFB, sB, FMA(winogradA2/winogradFA, sA, u[5])),
	}
}

// squares are the sides of a transform's squares, in and out, and the elements
// from one group of 16 channels to the next.
type squares struct{ in, out, from, to int }

// panelLen is a group's 8 tiles of 16 channels.
const panelLen = tileBlock * panelCols

// transform transforms squares of vectors of 16 channels, for some groups of
// channels: by f the columns, then the rows of what that gave. Strides are in
// elements. write stores a value.
func (s squares) transform(f winograd1, dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int,
	write func(to *float32, ch int, v float32)) {
	for ch := range groups * panelCols {
		from, to := ch/panelCols*s.from+ch%panelCols, ch/panelCols*s.to+ch%panelCols
		var tmp [winogradSide][winogradSide]float32
		for j := range s.in {
			var v [winogradSide]float32
			for i := range s.in {
				v[i] = src[from+i*srcRow+j*srcCol]
			}
			v = f(v)
			for k := range s.out {
				tmp[k][j] = v[k]
			}
		}
		for k := range s.out {
			row := f(tmp[k])
			for l, v := range row[:s.out] {
				write(&dst[to+k*dstRow+l*dstCol], ch, v)
			}
		}
	}
}

func assign(to *float32, _ int, v float32) { *to = v }

// winogradInputPortable is Bᵀ d B.
func winogradInputPortable(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	squares{winogradSide, winogradSide, panelCols, panelLen}.transform(winogradInput1, dst, dstRow, dstCol, src, srcRow, srcCol, groups, assign)
}

// winogradInputGradPortable is B v Bᵀ, added to dst.
func winogradInputGradPortable(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	squares{winogradSide, winogradSide, panelCols, panelCols}.transform(winogradInputGrad1, dst, dstRow, dstCol, src, srcRow, srcCol, groups, func(to *float32, _ int, v float32) { *to += v })
}

// winogradOutputPortable is Aᵀ m A + bias.
func winogradOutputPortable(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int, bias []float32) {
	squares{winogradSide, winogradTile, panelCols, panelCols}.transform(winogradOutput1, dst, dstRow, dstCol, src, srcRow, srcCol, groups, func(to *float32, ch int, v float32) { *to = v + bias[ch] })
}

// winogradOutputGradPortable is A y Aᵀ.
func winogradOutputGradPortable(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	squares{winogradTile, winogradSide, panelCols, panelLen}.transform(winogradOutputGrad1, dst, dstRow, dstCol, src, srcRow, srcCol, groups, assign)
}

// winogradWeightPortable is G g Gᵀ.
func winogradWeightPortable(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	squares{3, winogradSide, panelCols, panelCols}.transform(winogradWeight1, dst, dstRow, dstCol, src, srcRow, srcCol, groups, assign)
}

// winogradWeightGradPortable is Gᵀ u G.
func winogradWeightGradPortable(dst []float32, dstRow, dstCol int, src []float32, srcRow, srcCol, groups int) {
	squares{winogradSide, 3, panelCols, panelCols}.transform(winogradWeightGrad1, dst, dstRow, dstCol, src, srcRow, srcCol, groups, assign)
}

// sumMode says where a product's sums start, and how they end.
type sumMode int

const (
	// sumStore starts from zero and overwrites.
	sumStore sumMode = iota
	// sumAdd starts from zero, and adds to what is there.
	sumAdd
	// sumResume starts from what is there, and overwrites.
	sumResume
)

// laterAdd is the mode of a block of terms: all but the first are added.
func laterAdd(first bool) sumMode {
	if first {
		return sumStore
	}
	return sumAdd
}

// winogradTilesPortable computes a product of 8 rows and width columns, stored
// [8][width] in c: a is [groups][8][16], b [16·groups][width].
//
//	acc = +0; for k ascending: acc[r][j] = FMA(a[k/16][r][k%16], b[k][j], acc[r][j])
//	c = acc, or c + acc by mode, which is not sumResume
func winogradTilesPortable(c []float32, width int, a, b []float32, groups int, mode sumMode) {
	for r := range tileBlock {
		var acc [columnGroup]float32
		for k := range groups * panelCols {
			av := a[k/panelCols*panelLen+r*panelCols+k%panelCols]
			for j := range width {
				acc[j] = FMA(av, b[k*width+j], acc[j])
			}
		}
		storeSums(c[r*width:][:width], acc[:width], mode)
	}
}

// winogradChannelsPortable is the product of 8 channels by width others, summed over
// blocks of 8 tiles; the blocks are aStep and bStep elements apart.
//
//	acc = +0, or c by mode; for tiles t ascending: acc[r][j] = FMA(a[t][r], b[j/16][t][j%16], acc[r][j])
//	c = acc, or c + acc by mode
func winogradChannelsPortable(c []float32, width int, a []float32, aStep int, b []float32, bStep, blocks int, mode sumMode) {
	for r := range tileBlock {
		var acc [columnGroup]float32
		if mode == sumResume {
			copy(acc[:width], c[r*width:])
		}
		for t := range blocks * tileBlock {
			at, bt := t/tileBlock*aStep+t%tileBlock*panelCols, t/tileBlock*bStep+t%tileBlock*panelCols
			for j := range width {
				acc[j] = FMA(a[at+r], b[bt+j/panelCols*panelLen+j%panelCols], acc[j])
			}
		}
		storeSums(c[r*width:][:width], acc[:width], mode)
	}
}

func storeSums(c, acc []float32, mode sumMode) {
	for j, v := range acc {
		if mode == sumAdd {
			v = c[j] + v
		}
		c[j] = v
	}
}

//go:build !purego

package kernel

import "math"

//go:generate go -C _asm run . -set kernel -out ../kernel_amd64.s -stubs ../kernel_stubs_amd64.go -pkg kernel

// The functions here run the assembly on whole vectors and the portable code on
// what is left. Their arguments are as for the portable functions, and their
// callers have checked the lengths, which the assembly cannot.

// useAVX2 and useAVX512 are whether the assembly for these runs.
var (
	useAVX2   = ActiveLevel() != LevelPortable
	useAVX512 = ActiveLevel() == LevelAVX512
)

// whole returns how many of n values the assembly takes: whole vectors of 8.
func whole(n int) int {
	if useAVX2 {
		return n &^ 7
	}
	return 0
}

func expTo(dst, x []float32) {
	n := whole(len(x))
	if n > 0 {
		expAVX2(&dst[0], &x[0], n)
	}
	expPortable(dst[n:], x[n:])
}

func silu(dst, x []float32) {
	n := whole(len(x))
	if n > 0 {
		siluAVX2(&dst[0], &x[0], n)
	}
	siluPortable(dst[n:], x[n:])
}

func siluGrad(dx, dy, x []float32) {
	n := whole(len(x))
	if n > 0 {
		siluGradAVX2(&dx[0], &dy[0], &x[0], n)
	}
	siluGradPortable(dx[n:], dy[n:], x[n:])
}

func add(dst, a, b []float32) {
	n := whole(len(dst))
	if n > 0 {
		addAVX2(&dst[0], &a[0], &b[0], n)
	}
	addPortable(dst[n:], a[n:], b[n:])
}

func scale(dst []float32, s float32) {
	n := whole(len(dst))
	if n > 0 {
		scaleAVX2(&dst[0], s, n)
	}
	scalePortable(dst[n:], s)
}

func axpy(dst []float32, s float32, x []float32) {
	n := whole(len(dst))
	if n > 0 {
		axpyAVX2(&dst[0], s, &x[0], n)
	}
	axpyPortable(dst[n:], s, x[n:])
}

func addRow(x, row []float32, rows, cols int) {
	n := whole(cols)
	if n > 0 && rows > 0 {
		addRowAVX2(&x[0], &row[0], rows, n, cols)
	}
	addRowPortable(x, row, rows, cols, n)
}

func colSumTo(dst, x []float32, rows, stride int) {
	n := whole(len(dst))
	if n > 0 {
		colSumToAVX2(&dst[0], &x[0], rows, n, stride)
	}
	colSumToPortable(dst, x, rows, stride, n)
}

func rowMax(x []float32) float32 {
	top := float32(math.Inf(-1))
	n := whole(len(x))
	if n > 0 {
		lanes := [8]float32{top, top, top, top, top, top, top, top}
		rowMaxAVX2(&lanes[0], &x[0], n)
		top = rowMaxPortable(lanes[:], top)
	}
	return rowMaxPortable(x[n:], top)
}

func expSum(lanes *[8]float32, x []float32, m, s float32) {
	n := whole(len(x))
	if n > 0 {
		expSumAVX2(&lanes[0], &x[0], n, m, s)
	}
	expSumPortable(lanes, x[n:], m, s)
}

func dotLanes(lanes *[8]float32, a, b []float32) {
	n := whole(len(a))
	if n > 0 {
		dotLanesAVX2(&lanes[0], &a[0], &b[0], n)
	}
	dotLanesPortable(lanes, a[n:], b[n:])
}

func softmaxGradApply(dx, dy, y []float32, sum, s float32) {
	n := whole(len(y))
	if n > 0 {
		softmaxGradApplyAVX2(&dx[0], &dy[0], &y[0], n, sum, s)
	}
	softmaxGradApplyPortable(dx[n:], dy[n:], y[n:], sum, s)
}

func squareSums(dst, x, mean []float32, rows, stride int) {
	n := whole(len(dst))
	if n > 0 {
		squareSumsAVX2(&dst[0], &x[0], &mean[0], rows, n, stride)
	}
	squareSumsPortable(dst, x, mean, rows, stride, n)
}

func widenAdd(dst []float64, src []float32) {
	n := whole(len(src))
	if n > 0 {
		widenAddAVX2(&dst[0], &src[0], n)
	}
	widenAddPortable(dst[n:], src[n:])
}

func normalize(y, x []float32, r normRows) {
	n := whole(len(r.mean))
	if n > 0 {
		normalizeAVX2(&y[0], &x[0], &r.mean[0], &r.factor[0], &r.beta[0], r.rows, n, r.stride)
	}
	normalizePortable(y, x, r, n)
}

func normalizeSiLU(y, x []float32, r normRows) {
	n := whole(len(r.mean))
	if n > 0 {
		normalizeSiLUAVX2(&y[0], &x[0], &r.mean[0], &r.factor[0], &r.beta[0], r.rows, n, r.stride)
	}
	normalizeSiLUPortable(y, x, r, n)
}

func gradSiLU(dz, dy, x []float32, r normRows) {
	n := whole(len(r.mean))
	if n > 0 {
		gradSiLUAVX2(&dz[0], &dy[0], &x[0], &r.mean[0], &r.factor[0], &r.beta[0], r.rows, n, r.stride)
	}
	gradSiLUPortable(dz, dy, x, r, n)
}

func gradSums(s1, s2, dz, x []float32, r normRows) {
	n := whole(len(r.mean))
	if n > 0 {
		gradSumsAVX2(&s1[0], &s2[0], &dz[0], &x[0], &r.mean[0], r.rows, n, r.stride)
	}
	gradSumsPortable(s1, s2, dz, x, r, n)
}

func gradApply(dx, dz, x []float32, r normRows, q, add []float32) {
	n := whole(len(r.mean))
	if n > 0 {
		gradApplyAVX2(&dx[0], &dz[0], &x[0], &r.mean[0], &r.factor[0], &q[0], &add[0], r.rows, n, r.stride)
	}
	gradApplyPortable(dx, dz, x, r, q, add, n)
}

func adam(w, m, v, ema, g []float32, k *adamFactors) {
	n := whole(len(w))
	if n > 0 {
		adamAVX2(&w[0], &m[0], &v[0], &ema[0], &g[0], &k.scale, n)
	}
	adamPortable(w[n:], m[n:], v[n:], ema[n:], g[n:], k)
}

func squareLanes(lanes *[8]float64, x []float32) {
	n := whole(len(x))
	if n > 0 {
		squareLanesAVX2(&lanes[0], &x[0], n)
	}
	squareLanesPortable(lanes, x[n:])
}

func transpose(dst []float32, off []int, src []float32, ld, cols int) {
	n := 0
	if cols == transposeCols {
		n = whole(len(off))
	}
	if n > 0 {
		transposeAVX2(&dst[0], &off[0], &src[0], ld, n)
	}
	if n < len(off) {
		transposePortable(dst, off[n:], src[min(n, len(src)):], ld, cols)
	}
}

func transposeAdd(dst []float32, ld int, src []float32, off []int, cols int) {
	n := 0
	if cols == transposeCols {
		n = whole(len(off))
	}
	if n > 0 {
		transposeAddAVX2(&dst[0], ld, &src[0], &off[0], n)
	}
	if n < len(off) {
		transposeAddPortable(dst[n:], ld, src, off[n:], cols)
	}
}

// copyLines copies pieces of panelCols values.
func copyLines(dst, src []float32, m lines) {
	if m.vectors(dst, src, panelCols) {
		copyLinesAVX2(&dst[0], m.dstRow, m.dstPiece, &src[0], m.srcRow, m.srcPiece, m.rows, m.n)
	}
}

// copyHalfLines copies pieces of maxTileRows values.
func copyHalfLines(dst, src []float32, m lines) {
	if m.vectors(dst, src, maxTileRows) {
		copyHalfLinesAVX2(&dst[0], m.dstRow, m.dstPiece, &src[0], m.srcRow, m.srcPiece, m.rows, m.n)
	}
}

// vectors tells whether there is something to copy for the assembly; without it, it
// copies it. A slice that is too short panics.
func (m lines) vectors(dst, src []float32, size int) bool {
	if m.rows <= 0 || m.n <= 0 {
		return false
	}
	if !useAVX2 {
		copyLinesPortable(dst, src, m, size)
		return false
	}
	_ = dst[(m.rows-1)*m.dstRow+(m.n-1)*m.dstPiece+size-1]
	_ = src[(m.rows-1)*m.srcRow+(m.n-1)*m.srcPiece+size-1]
	return true
}

//go:build !amd64 || purego

package kernel

import "math"

func expTo(dst, x []float32)         { expPortable(dst, x) }
func silu(dst, x []float32)          { siluPortable(dst, x) }
func siluGrad(dx, dy, x []float32)   { siluGradPortable(dx, dy, x) }
func add(dst, a, b []float32)        { addPortable(dst, a, b) }
func scale(dst []float32, s float32) { scalePortable(dst, s) }

func axpy(dst []float32, s float32, x []float32) { axpyPortable(dst, s, x) }

func addRow(x, row []float32, rows, cols int)     { addRowPortable(x, row, rows, cols, 0) }
func colSumTo(dst, x []float32, rows, stride int) { colSumToPortable(dst, x, rows, stride, 0) }

func rowMax(x []float32) float32 { return rowMaxPortable(x, float32(math.Inf(-1))) }

func expSum(lanes *[8]float32, x []float32, m, s float32) { expSumPortable(lanes, x, m, s) }
func dotLanes(lanes *[8]float32, a, b []float32)          { dotLanesPortable(lanes, a, b) }

func softmaxGradApply(dx, dy, y []float32, sum, s float32) {
	softmaxGradApplyPortable(dx, dy, y, sum, s)
}

func squareSums(dst, x, mean []float32, rows, stride int) {
	squareSumsPortable(dst, x, mean, rows, stride, 0)
}

func widenAdd(dst []float64, src []float32)        { widenAddPortable(dst, src) }
func normalize(y, x []float32, n normRows)         { normalizePortable(y, x, n, 0) }
func normalizeSiLU(y, x []float32, n normRows)     { normalizeSiLUPortable(y, x, n, 0) }
func gradSiLU(dz, dy, x []float32, n normRows)     { gradSiLUPortable(dz, dy, x, n, 0) }
func gradSums(s1, s2, dz, x []float32, n normRows) { gradSumsPortable(s1, s2, dz, x, n, 0) }

func gradApply(dx, dz, x []float32, n normRows, q, r []float32) {
	gradApplyPortable(dx, dz, x, n, q, r, 0)
}

func adam(w, m, v, ema, g []float32, k *adamFactors) { adamPortable(w, m, v, ema, g, k) }

func squareLanes(lanes *[8]float64, x []float32) { squareLanesPortable(lanes, x) }

func transpose(dst []float32, off []int, src []float32, ld, cols int) {
	transposePortable(dst, off, src, ld, cols)
}

func transposeAdd(dst []float32, ld int, src []float32, off []int, cols int) {
	transposeAddPortable(dst, ld, src, off, cols)
}

func copyLines(dst, src []float32, m lines) { copyLinesPortable(dst, src, m, panelCols) }

func copyHalfLines(dst, src []float32, m lines) { copyLinesPortable(dst, src, m, maxTileRows) }

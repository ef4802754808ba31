package kernel

import (
	"math"
	"testing"
)

// TestSoftmax compares rows and their gradient with float64.
func TestSoftmax(t *testing.T) {
	rng := newRand(t)
	for _, cols := range []int{1, 5, 8, 64, 77, 256} {
		const rows, scale = 4, 1.5
		x, dy := randoms(rng, rows*cols), randoms(rng, rows*cols)
		Scale(x, 5)
		y, dx := clone(x), garbage(rows*cols)
		SoftmaxRows(nil, y, rows, cols, scale)
		SoftmaxRowsGrad(nil, dx, dy, y, rows, cols, scale)
		wantY, wantX := make([]float64, len(x)), make([]float64, len(x))
		for r := range rows {
			top, sum, dot := math.Inf(-1), 0.0, 0.0
			for i := r * cols; i < (r+1)*cols; i++ {
				top = math.Max(top, float64(x[i]))
			}
			for i := r * cols; i < (r+1)*cols; i++ {
				wantY[i] = math.Exp(scale * (float64(x[i]) - top))
				sum += wantY[i]
			}
			for i := r * cols; i < (r+1)*cols; i++ {
				wantY[i] /= sum
				dot += wantY[i] * float64(dy[i])
			}
			for i := r * cols; i < (r+1)*cols; i++ {
				wantX[i] = scale * wantY[i] * (float64(dy[i]) - dot)
			}
		}
		compareClose(t, "y", y, wantY)
		for i, want := range wantX {
			// dy - sum cancels, so the error is one of their size, about 1.
			if e := math.Abs(float64(dx[i]) - want); !(e <= 2e-6) {
				t.Fatalf("dx[%d] = %v, want %v", i, dx[i], want)
			}
		}
	}
}

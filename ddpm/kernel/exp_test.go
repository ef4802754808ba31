package kernel

import (
	"math"
	"testing"
)

// ulps returns the distance of got from want in units of the last place of want.
func ulps(got float32, want float64) float64 {
	if w := float32(want); got == w || w != w && got != got {
		return 0
	}
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

// TestExpAccuracy samples all float32 values.
func TestExpAccuracy(t *testing.T) {
	var x []float32
	for u := uint64(0); u < 1<<32; u += 10007 {
		x = append(x, math.Float32frombits(uint32(u)))
	}
	for v := -110.0; v < 95; v += 1.0 / 128 {
		x = append(x, float32(v))
	}
	y := make([]float32, len(x))
	Exp(y, x)
	worst := 0.0
	for i, v := range x {
		if e := ulps(y[i], math.Exp(float64(v))); !(e <= worst) {
			worst = e
			if e > 1 {
				t.Fatalf("Exp(%v) = %v, want %v: %v ulp", v, y[i], math.Exp(float64(v)), e)
			}
		}
	}
	t.Logf("largest error %.3f ulp", worst)
}

func TestExpEdges(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Copysign(0, -1)), 1}, {inf, inf}, {-inf, 0}, {float32(math.NaN()), float32(math.NaN())},
		{88.72284, inf}, {89, inf}, {1e30, inf}, {-103.97209, 0}, {-104, 0}, {-1e30, 0}, {-103.27893, math.SmallestNonzeroFloat32},
	} {
		x := []float32{c.x, c.x, c.x, c.x, c.x, c.x, c.x, c.x, c.x} // a vector and one more
		Exp(x, x)
		for _, got := range x {
			if !sameBits(got, c.want) {
				t.Errorf("Exp(%v) = %v, want %v", c.x, got, c.want)
			}
		}
	}
}

// TestSiLU compares SiLU and its gradient with float64.
func TestSiLU(t *testing.T) {
	var x []float32
	for v := -86.0; v < 90; v += 1.0 / 128 {
		x = append(x, float32(v))
	}
	y, dx, dy := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for i := range dy {
		dy[i] = -0.5
	}
	SiLU(y, x)
	SiLUGrad(dx, dy, x)
	for i, v := range widened(x) {
		s := 1 / (1 + math.Exp(-v))
		if e := ulps(y[i], v*s); e > 3 {
			t.Fatalf("SiLU(%v) = %v, want %v: %v ulp", v, y[i], v*s, e)
		}
		// 1-σ keeps the absolute error of σ, which x up to 17 multiplies.
		want := -0.5 * s * (1 + v*(1-s))
		if e := math.Abs(float64(dx[i]) - want); e > 6e-7 {
			t.Fatalf("SiLUGrad(%v) = %v, want %v", v, dx[i], want)
		}
	}
}

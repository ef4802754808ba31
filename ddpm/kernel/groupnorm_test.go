package kernel

import (
	"fmt"
	"math"
	"testing"
)

// reference computes z (before SiLU) and the output in float64.
func (g GroupNorm) reference(x, gamma, beta []float64, act bool) (y []float64) {
	y = make([]float64, len(x))
	width := g.C / g.Groups
	for n := range g.N {
		for group := range g.Groups {
			var sum, squares float64
			each := func(f func(i, c int)) {
				for px := range g.HW {
					for c := group * width; c < (group+1)*width; c++ {
						f((n*g.HW+px)*g.C+c, c)
					}
				}
			}
			m := float64(g.HW * width)
			each(func(i, _ int) { sum += x[i] })
			each(func(i, _ int) { squares += (x[i] - sum/m) * (x[i] - sum/m) })
			rstd := 1 / math.Sqrt(squares/m+float64(g.Eps))
			each(func(i, c int) {
				y[i] = (x[i]-sum/m)*rstd*gamma[c] + beta[c]
				if act {
					y[i] /= 1 + math.Exp(-y[i])
				}
			})
		}
	}
	return y
}

// TestGroupNorm compares the output with float64, and the gradients with finite
// differences of the float64 output.
func TestGroupNorm(t *testing.T) {
	for _, g := range normCases[1:] {
		for _, act := range []bool{false, true} {
			t.Run(fmt.Sprintf("%+v/SiLU=%v", g, act), func(t *testing.T) { testGroupNorm(t, g, act) })
		}
	}
}

func testGroupNorm(t *testing.T, g GroupNorm, act bool) {
	rng := newRand(t)
	n := g.N * g.HW * g.C
	x, dy, gamma, beta := randoms(rng, n), randoms(rng, n), randoms(rng, g.C), randoms(rng, g.C)
	for i := range x {
		x[i] += 0.5 // a mean that must be removed
	}
	y, dx, mean, rstd := garbage(n), garbage(n), garbage(g.N*g.Groups), garbage(g.N*g.Groups)
	dgamma, dbeta := make([]float32, g.C), make([]float32, g.C)
	for i := range dgamma {
		dgamma[i], dbeta[i] = 100, -100 // the gradients are added to these
	}
	if act {
		g.ForwardSiLU(nil, x, gamma, beta, y, mean, rstd)
		g.BackwardSiLU(nil, dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta)
	} else {
		g.Forward(nil, x, gamma, beta, y, mean, rstd)
		g.Backward(nil, dy, x, gamma, mean, rstd, dx, dgamma, dbeta)
	}
	again := garbage(n)
	if act {
		g.RepeatSiLU(nil, x, gamma, beta, mean, rstd, again)
	} else {
		g.Repeat(nil, x, gamma, beta, mean, rstd, again)
	}
	compareBits(t, "y again", again, y)
	inPlace := clone(x)
	if act {
		g.ForwardSiLU(nil, inPlace, gamma, beta, inPlace, mean, rstd)
	} else {
		g.Forward(nil, inPlace, gamma, beta, inPlace, mean, rstd)
	}
	compareBits(t, "y in place", inPlace, y)
	x64, gamma64, beta64 := widened(x), widened(gamma), widened(beta)
	compareClose(t, "y", y, g.reference(x64, gamma64, beta64, act))

	loss := func() (s float64) {
		for i, v := range g.reference(x64, gamma64, beta64, act) {
			s += v * float64(dy[i])
		}
		return s
	}
	check := func(name string, got float64, at *float64) {
		t.Helper()
		const h = 1e-4
		old := *at
		*at = old + h
		up := loss()
		*at = old - h
		want := (up - loss()) / (2 * h)
		*at = old
		if e := math.Abs(got - want); !(e <= 2e-5*math.Max(1, math.Abs(want))) {
			t.Errorf("%s = %v, finite difference %v", name, got, want)
		}
	}
	for range min(n, 40) {
		i := rng.IntN(n)
		check(fmt.Sprintf("dx[%d]", i), float64(dx[i]), &x64[i])
	}
	for c := range g.C {
		if g.N > 0 {
			check(fmt.Sprintf("dgamma[%d]", c), float64(dgamma[c])-100, &gamma64[c])
			check(fmt.Sprintf("dbeta[%d]", c), float64(dbeta[c])+100, &beta64[c])
		}
	}
}

// TestGroupNormMoments checks the statistics kept for backward, and that a group
// without variance does not divide by zero.
func TestGroupNormMoments(t *testing.T) {
	g := GroupNorm{N: 1, HW: 4, C: 2, Groups: 2, Eps: 0.25}
	x := []float32{1, 7, 2, 7, 3, 7, 6, 7}
	y, mean, rstd := make([]float32, 8), make([]float32, 2), make([]float32, 2)
	g.Forward(nil, x, []float32{1, 1}, []float32{0, 5}, y, mean, rstd)
	// Channel 0 has mean 3 and variance 3.5; channel 1 is constant.
	compareBits(t, "mean", mean, []float32{3, 7})
	compareBits(t, "rstd", rstd, []float32{float32(1 / math.Sqrt(3.75)), 2})
	for px := range 4 {
		if y[2*px+1] != 5 {
			t.Errorf("the constant channel became %v, want beta", y[2*px+1])
		}
	}
}

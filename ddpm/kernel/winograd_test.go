package kernel

import (
	"fmt"
	"math"
	"testing"
)

// winogradCases has sizes that are and are not multiples of a tile's, one and two
// panels of columns, and more channels and tiles than a block of a sum has.
var winogradCases = []Conv{
	same3(1, 8, 8, 16, 16), same3(2, 7, 9, 32, 48), same3(3, 6, 6, 48, 32), same3(1, 12, 8, 16, 64),
	same3(1, 8, 8, 272, 16), same3(2, 48, 48, 16, 16), same3(0, 8, 8, 16, 16), same3(5, 13, 6, 80, 16),
	// Enough tiles to be transformed on the way.
	same3(7, 42, 44, 32, 16),
}

// same3 is a 3×3 convolution that keeps the size.
func same3(n, h, w, cin, cout int) Conv {
	return Conv{N: n, H: h, W: w, Cin: cin, Cout: cout, K: 3, Stride: 1, Pad: 1, PadEnd: 1}
}

func winogradKernelCases(c Conv) []kernelCase {
	x, y, w := c.pixelsIn()*c.Cin, c.pixelsOut()*c.Cout, c.weights()
	return []kernelCase{
		{fmt.Sprintf("WinogradForward/%+v", c), []int{x, w, c.Cout, y}, func(p *Pool, s [][]float32) {
			c.WinogradForward(p, s[0], s[1], s[2], s[3])
		}},
		{fmt.Sprintf("WinogradGradInput/%+v", c), []int{y, w, x}, func(p *Pool, s [][]float32) {
			c.WinogradGradInput(p, s[0], s[1], s[2])
		}},
		{fmt.Sprintf("WinogradGradWeight/%+v", c), []int{x, y, w}, func(p *Pool, s [][]float32) {
			c.WinogradGradWeight(p, s[0], s[1], s[2])
		}},
	}
}

// The Winograd passes are the direct ones up to rounding.
func TestWinogradIsTheConvolution(t *testing.T) {
	rng := newRand(t)
	p := NewPool(2)
	defer p.Close()
	for _, c := range winogradCases {
		if !c.Winograd() {
			t.Fatalf("%+v is not for Winograd", c)
		}
		x, w, bias, dy := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights()), randoms(rng, c.Cout), randoms(rng, c.pixelsOut()*c.Cout)
		var forward, grad Packed
		c.PackForward(p, &forward, w)
		c.PackGradInput(p, &grad, w)
		want, got := make([]float32, len(dy)), garbage(len(dy))
		c.Forward(p, x, &forward, bias, want)
		c.WinogradForward(p, x, w, bias, got)
		compareNear(t, fmt.Sprintf("%+v forward", c), got, want)
		want, got = make([]float32, len(x)), garbage(len(x))
		c.GradInput(p, dy, &grad, want)
		c.WinogradGradInput(p, dy, w, got)
		compareNear(t, fmt.Sprintf("%+v by data", c), got, want)
		want, got = clone(w), clone(w)
		c.GradWeight(p, x, dy, want)
		c.WinogradGradWeight(p, x, dy, got)
		compareNear(t, fmt.Sprintf("%+v by weight", c), got, want)
	}
}

// TestWinogradRounding measures the forward pass against float64 and direct sums. The
// usual interpolation points would not pass.
func TestWinogradRounding(t *testing.T) {
	rng := newRand(t)
	c := same3(1, 16, 16, 256, 16)
	x, w, bias := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights()), make([]float32, c.Cout)
	SiLU(x, x)
	var packed Packed
	c.PackForward(nil, &packed, w)
	direct, tiled := make([]float32, c.pixelsOut()*c.Cout), make([]float32, c.pixelsOut()*c.Cout)
	c.Forward(nil, x, &packed, bias, direct)
	c.WinogradForward(nil, x, w, bias, tiled)
	var sum, directErr, tiledErr float64
	for i, exact := range exact3(c, x, w) {
		sum += exact * exact
		directErr += (float64(direct[i]) - exact) * (float64(direct[i]) - exact)
		tiledErr += (float64(tiled[i]) - exact) * (float64(tiled[i]) - exact)
	}
	t.Logf("root mean square error: direct %.2g, Winograd %.2g of the values'", math.Sqrt(directErr/sum), math.Sqrt(tiledErr/sum))
	if math.Sqrt(tiledErr/sum) > 2e-6 {
		t.Errorf("Winograd rounds %.2g times as much as direct sums", math.Sqrt(tiledErr/directErr))
	}
}

// exact3 is a same3 convolution in float64.
func exact3(c Conv, x, w []float32) []float64 {
	y := make([]float64, c.pixelsOut()*c.Cout)
	for i := range y {
		co, col, row, n := i%c.Cout, i/c.Cout%c.W, i/c.Cout/c.W%c.H, i/c.Cout/c.W/c.H
		for tap := range 9 {
			h, v := row+tap/3-1, col+tap%3-1
			if h < 0 || h >= c.H || v < 0 || v >= c.W {
				continue
			}
			for ci := range c.Cin {
				y[i] += float64(x[((n*c.H+h)*c.W+v)*c.Cin+ci]) * float64(w[(co*c.Cin+ci)*9+tap])
			}
		}
	}
	return y
}

// compareNear allows a root mean square difference of 1e-5 of the values' own.
func compareNear(t *testing.T, name string, got, want []float32) {
	t.Helper()
	var sum, diff float64
	for i, v := range want {
		d := float64(got[i]) - float64(v)
		sum, diff = sum+float64(v)*float64(v), diff+d*d
	}
	if !(math.Sqrt(diff) <= 1e-5*math.Sqrt(sum)) {
		t.Errorf("%s: off by %g of %g", name, math.Sqrt(diff), math.Sqrt(sum))
	}
}

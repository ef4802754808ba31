package kernel

import (
	"fmt"
	"math"
	"testing"
)

// convCases covers the U-Net's shapes, odd sizes, and channel counts on both
// sides of the tile sizes.
var convCases = []Conv{
	{N: 2, H: 8, W: 8, Cin: 16, Cout: 16, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 1, H: 16, W: 16, Cin: 32, Cout: 32, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 3, H: 5, W: 7, Cin: 3, Cout: 20, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 2, H: 7, W: 5, Cin: 33, Cout: 3, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 2, H: 8, W: 8, Cin: 12, Cout: 17, K: 3, Stride: 2, Pad: 0, PadEnd: 1},
	{N: 1, H: 9, W: 7, Cin: 5, Cout: 8, K: 3, Stride: 2, Pad: 0, PadEnd: 1},
	{N: 2, H: 7, W: 9, Cin: 6, Cout: 9, K: 3, Stride: 2, Pad: 1, PadEnd: 1},
	{N: 1, H: 11, W: 10, Cin: 4, Cout: 5, K: 5, Stride: 3, Pad: 2, PadEnd: 1},
	{N: 2, H: 6, W: 6, Cin: 7, Cout: 5, K: 2, Stride: 3, Pad: 0, PadEnd: 0},
	{N: 4, H: 4, W: 4, Cin: 64, Cout: 32, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 2, H: 1, W: 1, Cin: 8, Cout: 8, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 3, H: 4, W: 5, Cin: 18, Cout: 21, K: 1, Stride: 1},
	{N: 2, H: 5, W: 4, Cin: 10, Cout: 6, K: 1, Stride: 2},
	{N: 5, H: 20, W: 20, Cin: 2, Cout: 2, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 3, H: 3, W: 4, Cin: 512, Cout: 70, K: 1, Stride: 1},
	// Several bands of a gradient by weights, of two blocks.
	{N: 1, H: 17, W: 17, Cin: 64, Cout: 128, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
	{N: 0, H: 4, W: 4, Cin: 4, Cout: 4, K: 3, Stride: 1, Pad: 1, PadEnd: 1},
}

// visit calls f for every term of the convolution.
func (c Conv) visit(f func(x, w, y int)) {
	for n := range c.N {
		for oh := range c.OutH() {
			for ow := range c.OutW() {
				for kh := range c.K {
					for kw := range c.K {
						h, w := oh*c.Stride+kh-c.Pad, ow*c.Stride+kw-c.Pad
						if h < 0 || w < 0 || h >= c.H || w >= c.W {
							continue
						}
						for ci := range c.Cin {
							for co := range c.Cout {
								f(((n*c.H+h)*c.W+w)*c.Cin+ci, ((co*c.Cin+ci)*c.K+kh)*c.K+kw, ((n*c.OutH()+oh)*c.OutW()+ow)*c.Cout+co)
							}
						}
					}
				}
			}
		}
	}
}

// TestConvAgainstFloat64 compares all three passes with sums in float64.
func TestConvAgainstFloat64(t *testing.T) {
	for _, c := range convCases {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			rng := newRand(t)
			p := NewPool(2)
			defer p.Close()
			x, w := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights())
			bias, dy := randoms(rng, c.Cout), randoms(rng, c.pixelsOut()*c.Cout)
			dw := randoms(rng, c.weights())
			wantY, wantX, wantW := make([]float64, len(dy)), make([]float64, len(x)), widened(dw)
			for i := range wantY {
				wantY[i] = float64(bias[i%c.Cout])
			}
			c.visit(func(xi, wi, yi int) {
				wantY[yi] += float64(x[xi]) * float64(w[wi])
				wantX[xi] += float64(dy[yi]) * float64(w[wi])
				wantW[wi] += float64(dy[yi]) * float64(x[xi])
			})
			y, dx := garbage(len(dy)), garbage(len(x))
			// Weights are packed without knowing the images.
			window := c
			window.N, window.H, window.W = 0, 0, 0
			var pk Packed
			window.PackForward(p, &pk, w)
			c.Forward(p, x, &pk, bias, y)
			compareClose(t, "y", y, wantY)
			window.PackGradInput(p, &pk, w)
			c.GradInput(p, dy, &pk, dx)
			compareClose(t, "dx", dx, wantX)
			c.GradWeight(p, x, dy, dw)
			compareClose(t, "dw", dw, wantW)
		})
	}
}

// compareClose reports values whose error is large against the largest value.
func compareClose(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	var top float64
	for _, v := range want {
		top = math.Max(top, math.Abs(v))
	}
	for i, v := range want {
		if e := math.Abs(float64(got[i]) - v); !(e <= 2e-6*top) {
			t.Fatalf("%s[%d] = %v, want %v (error %v, largest value %v)", name, i, got[i], v, e, top)
		}
	}
}

// TestConvMeaning compares the passes with the texts of their doc comments.
func TestConvMeaning(t *testing.T) {
	for _, c := range convCases {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			rng := newRand(t)
			x, w := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights())
			bias, dy, dw := randoms(rng, c.Cout), randoms(rng, c.pixelsOut()*c.Cout), randoms(rng, c.weights())
			y, dx := garbage(len(dy)), garbage(len(x))
			wantY, wantX, wantW := c.meaning(x, w, bias, dy, dw)
			var pk Packed
			c.PackForward(nil, &pk, w)
			c.Forward(nil, x, &pk, bias, y)
			compareBits(t, "y", y, wantY)
			c.PackGradInput(nil, &pk, w)
			c.GradInput(nil, dy, &pk, dx)
			compareBits(t, "dx", dx, wantX)
			c.GradWeight(nil, x, dy, dw)
			compareBits(t, "dw", dw, wantW)
		})
	}
}

// meaning computes the passes one output at a time.
func (c Conv) meaning(x, w, bias, dy, dw []float32) (y, dx, dwOut []float32) {
	oh, ow := c.OutH(), c.OutW()
	pixel := func(s []float32, n, h, w, height, width, channels, ch int) float32 {
		if h < 0 || w < 0 || h >= height || w >= width {
			return 0
		}
		return s[((n*height+h)*width+w)*channels+ch]
	}
	weight := func(co, ci, kh, kw int) float32 { return w[((co*c.Cin+ci)*c.K+kh)*c.K+kw] }
	for i := range dy {
		co, px := i%c.Cout, i/c.Cout
		n, h, v := px/(oh*ow), px/ow%oh, px%ow
		y = append(y, chain(bias[co], true, c.K*c.K*c.Cin, func(k int) (float32, float32, bool) {
			ci, kh, kw := k%c.Cin, k/c.Cin/c.K, k/c.Cin%c.K
			return pixel(x, n, h*c.Stride+kh-c.Pad, v*c.Stride+kw-c.Pad, c.H, c.W, c.Cin, ci), weight(co, ci, kh, kw), true
		}))
	}
	for i := range x {
		ci, px := i%c.Cin, i/c.Cin
		n, h, v := px/(c.H*c.W), px/c.W%c.H, px%c.W
		var taps [][2]int // those that the stride does not step over
		for kh := c.K - 1; kh >= 0; kh-- {
			for kw := c.K - 1; kw >= 0; kw-- {
				if (h+c.Pad-kh)%c.Stride == 0 && (v+c.Pad-kw)%c.Stride == 0 {
					taps = append(taps, [2]int{kh, kw})
				}
			}
		}
		dx = append(dx, chain(0, false, len(taps)*c.Cout, func(k int) (float32, float32, bool) {
			co, kh, kw := k%c.Cout, taps[k/c.Cout][0], taps[k/c.Cout][1]
			return pixel(dy, n, (h+c.Pad-kh)/c.Stride, (v+c.Pad-kw)/c.Stride, oh, ow, c.Cout, co), weight(co, ci, kh, kw), true
		}))
	}
	for i, old := range dw {
		co, ci, kh, kw := i/(c.Cin*c.K*c.K), i/(c.K*c.K)%c.Cin, i/c.K%c.K, i%c.K
		total := chain(0, false, c.pixelsOut(), func(k int) (float32, float32, bool) {
			n, h, v := k/(oh*ow), k/ow%oh*c.Stride+kh-c.Pad, k%ow*c.Stride+kw-c.Pad
			inside := h >= 0 && v >= 0 && h < c.H && v < c.W
			return pixel(x, n, h, v, c.H, c.W, c.Cin, ci), dy[k*c.Cout+co], inside
		})
		dwOut = append(dwOut, old+total)
	}
	return y, dx, dwOut
}

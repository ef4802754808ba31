package kernel

import "fmt"

// Conv is a two-dimensional convolution (cross-correlation, as in PyTorch) of
// [N,H,W,Cin] by square K×K windows to [N,OutH,OutW,Cout]. Pad zeros stand at the
// top and left of an image, PadEnd zeros at its bottom and right. All counts are
// in pixels or channels; Stride is at least 1, and both pads are below K.
type Conv struct {
	N, H, W, Cin, Cout, K, Stride, Pad int
	PadEnd                             int
}

// OutH returns the height of the output.
func (c Conv) OutH() int { return (c.H+c.Pad+c.PadEnd-c.K)/c.Stride + 1 }

// OutW returns the width of the output.
func (c Conv) OutW() int { return (c.W+c.Pad+c.PadEnd-c.K)/c.Stride + 1 }

// PackForward packs the OIHW weights w [Cout,Cin,K,K] for Forward: operand rows
// (kh, kw, cin), columns cout. N, H and W play no part.
func (c Conv) PackForward(p *Pool, dst *Packed, w []float32) {
	c.checkWindow()
	need("w", w, c.weights())
	taps := c.K * c.K
	dst.resize(taps*c.Cin, c.Cout)
	// A column holds one cout's weights in the order (cin, kh, kw).
	dst.packColumns(p, w, c.Cin*taps, func(off []int) {
		for l := range off {
			off[l] = dst.place(l%taps*c.Cin + l/taps)
		}
	})
}

// PackGradInput packs the OIHW weights w [Cout,Cin,K,K] for GradInput: operand
// rows (kh', kw', cout) with kh' = K-1-kh and kw' = K-1-kw, columns cin. N, H and
// W play no part.
func (c Conv) PackGradInput(p *Pool, dst *Packed, w []float32) {
	c.checkWindow()
	need("w", w, c.weights())
	taps := c.K * c.K
	if taps == 1 {
		dst.Pack(p, Mat{w, c.Cout, c.Cin, c.Cin, 1})
		return
	}
	dst.resize(taps*c.Cout, c.Cin)
	off := grow(&p.shared().rows[0], taps*c.Cout)
	for l := range off {
		off[l] = dst.place((taps-1-l%taps)*c.Cout + l/taps)
	}
	p.run(dst.panels()*c.Cout, 16, func(_ *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			// Of one cout, a column holds one cin's weights in the order (kh, kw).
			panel, co := u/c.Cout, u%c.Cout
			dst.packPart(panel, w[co*c.Cin*taps:], taps, off[co*taps:(co+1)*taps])
		}
	})
}

// Forward computes y [N,OutH,OutW,Cout] = conv(x [N,H,W,Cin], w) + bias [Cout];
// bias may be nil. w comes from PackForward.
//
// Meaning: the K·K·Cin terms of an output are taken in the order (kh, kw, cin),
// those in the padding included with x = 0, in blocks of KBlock as in Gemm; y is
// bias + first block's sum (or that sum alone), then each later sum is added.
func (c Conv) Forward(p *Pool, x []float32, w *Packed, bias, y []float32) {
	c.check()
	need("x", x, c.pixelsIn()*c.Cin)
	need("y", y, c.pixelsOut()*c.Cout)
	if bias != nil {
		need("bias", bias, c.Cout)
	}
	w.need(c.K*c.K*c.Cin, c.Cout)
	if c.pointwise() {
		a := Mat{x, c.pixelsOut(), c.Cin, c.Cin, 1}
		gemmRows(p, a, w, y, c.Cout, bias, false)
		return
	}
	f := c.forwardPass()
	q := &p.shared().product
	q.a, q.kStep, q.b, q.c, q.bias, q.accumulate, q.pack = nil, 1, w, y, bias, false, packNothing
	q.reset()
	for kh := range c.K {
		for kw := range c.K {
			q.addRun((kh*f.padW+kw)*c.Cin, (kh*c.K+kw)*c.Cin, c.Cin)
		}
	}
	q.finish()
	f.run(p, q, x, 0, 0)
}

// GradInput computes dx [N,H,W,Cin], the gradient of Forward's x, from
// dy [N,OutH,OutW,Cout], and overwrites dx. w comes from PackGradInput.
//
// Meaning: the terms of dx[n,h,w,cin] are taken in the order (kh', kw', cout);
// those with a dy outside the image are included with dy = 0, and those that
// the stride steps over are left out; what remains is summed in blocks of KBlock
// terms as in Gemm.
func (c Conv) GradInput(p *Pool, dy []float32, w *Packed, dx []float32) {
	c.check()
	need("dy", dy, c.pixelsOut()*c.Cout)
	need("dx", dx, c.pixelsIn()*c.Cin)
	w.need(c.K*c.K*c.Cout, c.Cin)
	if c.pointwise() {
		a := Mat{dy, c.pixelsOut(), c.Cout, c.Cout, 1}
		gemmRows(p, a, w, dx, c.Cin, nil, false)
		return
	}
	f := c.gradPass()
	q := &p.shared().product
	for ph := range min(c.Stride, c.H) {
		for pw := range min(c.Stride, c.W) {
			q.a, q.kStep, q.b, q.c, q.bias, q.accumulate, q.pack = nil, 1, w, dx, nil, false, packNothing
			q.reset()
			for kh := c.K - 1; kh >= 0; kh-- {
				for kw := c.K - 1; kw >= 0; kw-- {
					// dx[h] meets dy[(h+Pad-kh)/Stride] where that is whole.
					y, x := ph+c.Pad-kh+f.top*c.Stride, pw+c.Pad-kw+f.left*c.Stride
					if y%c.Stride != 0 || x%c.Stride != 0 {
						continue
					}
					tap := (c.K-1-kh)*c.K + c.K - 1 - kw
					q.addRun((y/c.Stride*f.padW+x/c.Stride)*c.Cout, tap*c.Cout, c.Cout)
				}
			}
			q.finish()
			f.run(p, q, dy, ph, pw)
		}
	}
}

func (c Conv) weights() int   { return c.Cout * c.Cin * c.K * c.K }
func (c Conv) pixelsIn() int  { return c.N * c.H * c.W }
func (c Conv) pixelsOut() int { return c.N * c.OutH() * c.OutW() }

// pointwise tells whether every output pixel is a product with one input pixel,
// at the same place.
func (c Conv) pointwise() bool {
	return c.K == 1 && c.Stride == 1 && c.Pad == 0 && c.PadEnd == 0
}

// check panics when the sizes make no convolution.
func (c Conv) check() {
	c.checkWindow()
	if c.N < 0 || min(c.H, c.W) < 1 || min(c.H, c.W)+c.Pad+c.PadEnd < c.K {
		panic(fmt.Sprintf("kernel: no such convolution: %+v", c))
	}
}

// checkWindow is the part of check that does not concern the images, which is
// all that packing weights needs.
func (c Conv) checkWindow() {
	if min(c.Pad, c.PadEnd) < 0 || min(c.Cin, c.Cout, c.K, c.Stride) < 1 || max(c.Pad, c.PadEnd) >= c.K {
		panic(fmt.Sprintf("kernel: no such convolution: %+v", c))
	}
}

// need panics when a slice is shorter than n.
func need[T any](name string, s []T, n int) {
	if len(s) < n {
		panic(fmt.Sprintf("kernel: %s has %d elements, needs %d", name, len(s), n))
	}
}

// need panics when the packed operand has another shape.
func (pk *Packed) need(rows, cols int) {
	if pk.rows != rows || pk.cols != cols {
		panic(fmt.Sprintf("kernel: packed operand is [%d,%d], needs [%d,%d]", pk.rows, pk.cols, rows, cols))
	}
}

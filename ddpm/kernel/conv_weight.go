package kernel

// GradWeight adds to dw, in OIHW [Cout,Cin,K,K], the gradient of Forward's
// weights from x [N,H,W,Cin] and dy [N,OutH,OutW,Cout].
//
// Meaning: the terms of dw[cout,cin,kh,kw] are x·dy at the output pixels
// (n, oh, ow), ascending. Each block of KBlock consecutive output pixels is
// summed as acc = FMA(x, dy, acc) from acc = +0, leaving out the pixels whose x
// lies in the padding; the sums of the blocks are added ascending, starting from
// the first; their total is added to dw.
func (c Conv) GradWeight(p *Pool, x, dy, dw []float32) {
	c.check()
	need("x", x, c.pixelsIn()*c.Cin)
	need("dy", dy, c.pixelsOut()*c.Cout)
	need("dw", dw, c.weights())
	if c.N == 0 {
		return
	}
	ws := p.shared()
	packed := &ws.packed
	packed.Pack(p, Mat{dy, c.pixelsOut(), c.Cout, c.Cout, 1})
	total := grow(&ws.floats[0], c.weights())
	tiles := (c.Cin + tileRows() - 1) / tileRows()
	p.run(c.K*c.K*tiles, 1, func(ws *workspace, lo, hi int) {
		q := &ws.product
		q.a, q.kStep, q.b, q.c, q.bias = x, c.Stride*c.Cin, packed, total, nil
		q.pack = packingFor(1, q.kStep, packed.panels())
		for pixel := 0; pixel < c.pixelsOut(); pixel += KBlock {
			q.accumulate = pixel > 0
			for u := lo; u < hi; {
				end := min(hi, (u/tiles+1)*tiles)
				c.weightBlock(ws, q, pixel, u/tiles, (u%tiles)*c.Cin/tiles, (end-u/tiles*tiles)*c.Cin/tiles)
				u = end
			}
		}
	})
	c.addTransposed(p, dw, total)
}

// weightBlock adds one block of output pixels to rows [ci0, ci1) of one tap of
// the total [K·K][Cin][Cout].
func (c Conv) weightBlock(ws *workspace, q *product, pixel, tap, ci0, ci1 int) {
	q.reset()
	c.addPixels(q, pixel, min(pixel+KBlock, c.pixelsOut()), tap)
	q.finish()
	aRow, cRow := grow(&ws.rows[0], ci1-ci0), grow(&ws.rows[1], ci1-ci0)
	for i := range aRow {
		aRow[i], cRow[i] = ci0+i, (tap*c.Cin+ci0+i)*c.Cout
	}
	q.run(ws, aRow, cRow, 0, q.b.panels())
}

// addPixels appends output pixels [from, to) to the product, row by row, without
// those whose x lies in the padding.
func (c Conv) addPixels(q *product, from, to, tap int) {
	oh, ow := c.OutH(), c.OutW()
	kh, kw := tap/c.K, tap%c.K
	// Columns [w0, w1) of the output meet columns of the input.
	w0 := max(0, (c.Pad-kw+c.Stride-1)/c.Stride)
	w1 := 0
	if last := c.W - 1 + c.Pad - kw; last >= 0 {
		w1 = min(ow, last/c.Stride+1)
	}
	for at := from; at < to; {
		row := at / ow
		lo, hi := max(at-row*ow, w0), min(to-row*ow, w1)
		if h := row%oh*c.Stride + kh - c.Pad; h >= 0 && h < c.H && lo < hi {
			x := ((row/oh*c.H+h)*c.W + lo*c.Stride + kw - c.Pad) * c.Cin
			q.addRun(x, row*ow+lo, hi-lo)
		}
		at = (row + 1) * ow
	}
}

// addTransposed adds total [K·K][Cin][Cout] to dw [Cout][Cin][K·K].
func (c Conv) addTransposed(p *Pool, dw, total []float32) {
	taps := c.K * c.K
	ld := c.Cin * taps
	off := grow(&p.shared().rows[0], ld)
	for l := range off {
		off[l] = (l%taps*c.Cin + l/taps) * c.Cout
	}
	p.run((c.Cout+transposeCols-1)/transposeCols, 1, func(_ *workspace, lo, hi int) {
		for co := lo * transposeCols; co < min(hi*transposeCols, c.Cout); co += transposeCols {
			transposeAdd(dw[co*ld:], ld, total[co:], off, min(transposeCols, c.Cout-co))
		}
	})
}

package kernel

// bandSums is how many sums of a gradient by weights are worked on together, 256 KiB
// of them: they are in the second-level cache still when the next block of pixels is
// added.
const bandSums = 64 << 10

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
	tiles, taps := (c.Cin+tileRows()-1)/tileRows(), c.K*c.K
	band := taps * max(1, bandSums/(taps*c.Cout*tileRows()))
	p.run(tiles*taps, 1, func(ws *workspace, lo, hi int) {
		g := gradBand{Conv: c, x: x, tiles: tiles}
		g.q = &ws.product
		g.q.b, g.q.c, g.q.bias, g.q.pack = packed, total, nil, packNothing
		for u := lo; u < hi; u = g.hi {
			g.lo, g.hi = u, min(hi, u-u%taps+band)
			for pixel := 0; pixel < c.pixelsOut(); pixel += KBlock {
				g.q.accumulate = pixel > 0
				g.block(ws, pixel, min(pixel+KBlock, c.pixelsOut()))
			}
		}
	})
	c.addTransposed(p, dw, total)
}

// gradBand is units of work [lo, hi) of a gradient by weights. A unit is a tap of
// one of so many tiles of input channels; a tile's taps are neighbours.
type gradBand struct {
	Conv
	x             []float32
	q             *product
	tiles, lo, hi int
}

// channel returns the first input channel of a tile.
func (g *gradBand) channel(tile int) int { return tile * g.Cin / g.tiles }

// block adds one block of output pixels to the band's part of the total
// [K·K][Cin][Cout]. The taps share a copy of the input's channels, in the order in
// which a tile reads them.
func (g *gradBand) block(ws *workspace, pixel, end int) {
	taps, q := g.K*g.K, g.q
	first, last := g.channel(g.lo/taps), g.channel((g.hi+taps-1)/taps)
	p0, p1 := g.inputPixels(pixel, end)
	tileLen := (p1-p0)*maxTileRows + panelCols
	copied, place := grow(&ws.copied, (last-first+tileRows()-1)/tileRows()*tileLen), grow(&ws.copiedRows, last-first)
	copyTiles(copied, tileLen, g.x[p0*g.Cin+first:], g.Cin, p1-p0, last-first)
	placeTiles(place, tileLen)
	q.a, q.kStep = copied, g.Stride*maxTileRows
	for tap := range taps {
		// The tiles t with lo <= t·taps + tap < hi.
		c0, c1 := g.channel(max(0, g.lo-tap+taps-1)/taps), g.channel(max(0, g.hi-tap+taps-1)/taps)
		if c0 >= c1 {
			continue
		}
		q.reset()
		g.addPixels(q, pixel, end, tap, p0)
		q.finish()
		cRow := grow(&ws.rows[1], c1-c0)
		for i := range cRow {
			cRow[i] = (tap*g.Cin + c0 + i) * g.Cout
		}
		q.run(ws, place[c0-first:c1-first], cRow, 0, q.b.panels())
	}
}

// inputPixels returns the range of the input pixels of all taps of output pixels
// [from, to).
func (c Conv) inputPixels(from, to int) (first, end int) {
	oh, ow := c.OutH(), c.OutW()
	row, last := from/ow, (to-1)/ow
	first = row/oh*c.H + max(0, row%oh*c.Stride-c.Pad)
	end = last/oh*c.H + min(c.H, last%oh*c.Stride-c.Pad+c.K)
	return first * c.W, end * c.W
}

// addPixels appends output pixels [from, to) to the product, row by row, without
// those whose x lies in the padding. The product's A holds the input pixels from first
// on, maxTileRows elements apart.
func (c Conv) addPixels(q *product, from, to, tap, first int) {
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
			pixel := (row/oh*c.H+h)*c.W + lo*c.Stride + kw - c.Pad
			q.addRun((pixel-first)*maxTileRows, row*ow+lo, hi-lo)
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

package kernel

const (
	// bandPixels is how many output pixels are worked on together: enough rows
	// of A to use a panel of B many times while it is in the first-level cache.
	bandPixels = 192
	// bandFloats bounds the padded copy of the input that a band reads, to leave
	// room in a second-level cache of 1 MiB.
	bandFloats = 96 << 10
)

// pass is a sweep over output pixels, each the product of a window of a source
// image with packed weights. The windows are read in place from a zero-padded
// copy of the source rows that a band of output rows needs.
type pass struct {
	n, srcH, srcW, ch int // source images
	top, left, padW   int // zero rows above, zero columns left, padded width
	step              int // source pixels between the windows of neighbouring outputs
	window            int // source rows that one output row reads
	dstH, dstW, cols  int // output images
	spread            int // output pixels between neighbouring outputs of the pass
}

// forwardPass reads x and writes y.
func (c Conv) forwardPass() pass {
	return pass{
		n: c.N, srcH: c.H, srcW: c.W, ch: c.Cin,
		top: c.Pad, left: c.Pad, padW: c.W + c.Pad + c.PadEnd,
		step: c.Stride, window: c.K,
		dstH: c.OutH(), dstW: c.OutW(), cols: c.Cout, spread: 1,
	}
}

// gradPass reads dy and writes dx. A dx pixel h meets dy pixels from
// (h+Pad-K+1)/Stride to (h+Pad)/Stride, which for one h modulo Stride move on by
// one when h moves on by Stride.
func (c Conv) gradPass() pass {
	before := (c.K - 1 - c.Pad + c.Stride - 1) / c.Stride
	after := max(0, (c.W-1+c.Pad)/c.Stride-(c.OutW()-1))
	return pass{
		n: c.N, srcH: c.OutH(), srcW: c.OutW(), ch: c.Cout,
		top: before, left: before, padW: before + c.OutW() + after,
		step: 1, window: before + 1 + (c.Pad+c.Stride-1)/c.Stride,
		dstH: c.H, dstW: c.W, cols: c.Cin, spread: c.Stride,
	}
}

// run computes the outputs (ph + i·spread, pw + j·spread) of all images, for all
// i and j, with the terms that q lists. src is the source.
func (f pass) run(p *Pool, q *product, src []float32, ph, pw int) {
	h := (f.dstH - ph + f.spread - 1) / f.spread
	band := f.bandRows(h)
	p.grid(f.n*h, band, q.b.panels(), func(ws *workspace, r0, r1, p0, p1 int) {
		t := product{kStep: q.kStep, b: q.b, c: q.c, bias: q.bias, segs: q.segs, copied: q.copied, ends: q.ends}
		t.a = grow(&ws.floats[0], f.scratch(r1-r0))
		aRow, cRow := f.gather(ws, t.a, src, h, r0, r1, ph, pw)
		t.run(ws, aRow, cRow, p0, p1)
	})
}

// bandRows returns how many output rows (of h an image) make a band.
func (f pass) bandRows(h int) int {
	w := (f.dstW + f.spread - 1) / f.spread
	rows := (bandPixels + w - 1) / w
	for rows > 1 && f.scratch(rows) > bandFloats {
		rows--
	}
	return min(rows, max(1, f.n*h))
}

// scratch returns the size of the padded copy for a band of output rows, which
// may lie in several images; each image's part has its own window's rows.
func (f pass) scratch(rows int) int {
	parts := min(f.n, rows)
	return (rows*f.step + parts*max(0, f.window-f.step)) * f.padW * f.ch
}

// gather copies the source rows behind output rows [r0, r1) to a, with their
// padding, and returns where every output pixel's window and output start. Row r
// is row r%h of image r/h.
func (f pass) gather(ws *workspace, a, src []float32, h, r0, r1, ph, pw int) (aRow, cRow []int) {
	w := (f.dstW - pw + f.spread - 1) / f.spread
	aRow, cRow = grow(&ws.rows[0], (r1-r0)*w), grow(&ws.rows[1], (r1-r0)*w)
	line := f.padW * f.ch
	base, at := 0, 0
	for r := r0; r < r1; {
		img, i0 := r/h, r%h
		i1 := min(h, i0+r1-r)
		lines := (i1-i0-1)*f.step + f.window
		f.padLines(a[base:base+lines*line], src[img*f.srcH*f.srcW*f.ch:], i0*f.step-f.top)
		for i := i0; i < i1; i++ {
			from := base + (i-i0)*f.step*line
			to := ((img*f.dstH+ph+i*f.spread)*f.dstW + pw) * f.cols
			for range w {
				aRow[at], cRow[at] = from, to
				from += f.step * f.ch
				to += f.spread * f.cols
				at++
			}
		}
		base += lines * line
		r += i1 - i0
	}
	return aRow, cRow
}

// padLines fills dst with padded source rows, the first of which is row first of
// the image; rows outside the image are zero.
func (f pass) padLines(dst, image []float32, first int) {
	line, width := f.padW*f.ch, f.srcW*f.ch
	left := f.left * f.ch
	for i := 0; i*line < len(dst); i++ {
		row := dst[i*line : (i+1)*line]
		y := first + i
		if y < 0 || y >= f.srcH {
			clear(row)
			continue
		}
		clear(row[:left])
		n := copy(row[left:], image[y*width:(y+1)*width])
		clear(row[left+n:])
	}
}

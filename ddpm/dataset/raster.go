package dataset

import "slices"

// lines is how many scanlines a row of pixels has. Along a scanline coverage is
// exact in 1/subpixel; across, it is the mean of the scanlines.
const lines = 16

// raster fills polygons by the non-zero winding rule, in integers only.
type raster struct {
	size int
	// starts[s] is where scanline s begins in crossings.
	starts []int32
	// crossings are where edges meet scanlines: 2x, plus 1 where the edge runs
	// upwards, so that sorting them sorts by x.
	crossings []int32
	// row is the coverage of one row of pixels, in 1/(lines·subpixel).
	row []int32
}

func newRaster(size int) raster {
	return raster{size: size, starts: make([]int32, size*lines+2), row: make([]int32, size)}
}

// fill writes the coverage of the polygons, 0 to 255, to dst, size·size bytes.
// The points must lie in [0, size·subpixel]; ends[c] is one past the last point
// of polygon c.
func (r *raster) fill(dst []uint8, points []point, ends []int) {
	r.collect(points, ends)
	for y := range r.size {
		clear(r.row)
		for s := y * lines; s < (y+1)*lines; s++ {
			r.scan(r.crossings[r.starts[s]:r.starts[s+1]])
		}
		out := dst[y*r.size : (y+1)*r.size]
		for x, covered := range r.row {
			out[x] = uint8((covered*255 + lines*subpixel/2) / (lines * subpixel))
		}
	}
}

// edge is a side of a polygon and the scanlines that it meets, [first, last).
type edge struct {
	top         point
	slope       int64 // dx/dy in 1/one
	first, last int
	up          int32
}

func edgeOf(a, b point) edge {
	e := edge{}
	if a.y > b.y {
		a, b, e.up = b, a, 1
	}
	// Scanline s lies at y = (s + 1/2)·step.
	const step = subpixel / lines
	e.top = a
	e.first, e.last = int((a.y+step/2-1)/step), int((b.y+step/2-1)/step)
	if e.first < e.last {
		e.slope = (b.x - a.x) * one / (b.y - a.y)
	}
	return e
}

// collect sorts the crossings by scanline, by counting: starts first holds each
// scanline's count, two places on; then its start, one place on; then, as the
// crossings are filled in, its end, which is the next one's start.
func (r *raster) collect(points []point, ends []int) {
	clear(r.starts)
	total := int32(0)
	eachEdge(points, ends, func(e edge) {
		for s := e.first; s < e.last; s++ {
			r.starts[s+2]++
		}
		total += int32(e.last - e.first)
	})
	for s := 2; s < len(r.starts); s++ {
		r.starts[s] += r.starts[s-1]
	}
	r.crossings = slices.Grow(r.crossings[:0], int(total))[:total]
	eachEdge(points, ends, func(e edge) {
		for s := e.first; s < e.last; s++ {
			const step = subpixel / lines
			y := int64(s)*step + step/2
			x := e.top.x + ((y-e.top.y)*e.slope+one/2)>>16
			r.crossings[r.starts[s+1]] = int32(x)<<1 | e.up
			r.starts[s+1]++
		}
	})
}

func eachEdge(points []point, ends []int, f func(edge)) {
	first := 0
	for _, end := range ends {
		before := points[end-1]
		for _, p := range points[first:end] {
			if e := edgeOf(before, p); e.first < e.last {
				f(e)
			}
			before = p
		}
		first = end
	}
}

// scan adds one scanline's spans of non-zero winding to row.
func (r *raster) scan(crossings []int32) {
	for k := 1; k < len(crossings); k++ { // an insertion sort: there are about four
		c, j := crossings[k], k
		for ; j > 0 && crossings[j-1] > c; j-- {
			crossings[j] = crossings[j-1]
		}
		crossings[j] = c
	}
	winding, start := int32(0), int32(0)
	for _, c := range crossings {
		if winding == 0 {
			start = c >> 1
		}
		winding += 1 - 2*(c&1)
		if winding == 0 {
			r.span(start, c>>1)
		}
	}
}

// span covers [from, to), in 1/subpixel.
func (r *raster) span(from, to int32) {
	first, last := from/subpixel, to/subpixel
	if first == last {
		if from < to {
			r.row[first] += to - from
		}
		return
	}
	r.row[first] += (first+1)*subpixel - from
	for x := first + 1; x < last; x++ {
		r.row[x] += subpixel
	}
	if rest := to - last*subpixel; rest > 0 {
		r.row[last] += rest
	}
}

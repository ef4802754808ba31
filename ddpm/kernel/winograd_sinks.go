package kernel

// tileSink takes the products of tiles, in ascending order from an image's first:
// m is 36 vectors of the sink's columns, stride apart.
type tileSink interface {
	tile(tile int, m []float32, stride int)
}

// outputSink writes y = Aᵀ m A + bias.
type outputSink struct {
	t       tiling
	cols    columns
	ch      int
	y, bias []float32
	edge    []float32 // a tile that reaches past the image
}

func (s *outputSink) tile(tile int, m []float32, stride int) {
	n, y, x := s.t.place(tile)
	dst, row := s.y[((n*s.t.h+y)*s.t.w+x)*s.ch+s.cols.first:], s.t.w*s.ch
	if s.t.inside(y, x) {
		winogradOutput(dst, row, s.ch, m, winogradSide*stride, stride, s.cols.n/panelCols, s.bias)
		return
	}
	line := winogradTile * s.cols.n
	winogradOutput(s.edge, line, s.cols.n, m, winogradSide*stride, stride, s.cols.n/panelCols, s.bias)
	for i := range min(winogradTile, s.t.h-y) {
		for j := range min(winogradTile, s.t.w-x) {
			copy(dst[i*row+j*s.ch:][:s.cols.n], s.edge[i*line+j*s.cols.n:])
		}
	}
}

// inputGradSink adds B m Bᵀ to an image with its padding, and writes the image
// without it to dx when the last tile is in.
type inputGradSink struct {
	t      tiling
	cols   columns
	ch     int
	dx     []float32
	padded []float32
	line   int // elements of a row of padded
}

func newInputGradSink(buf *[]float32, t tiling, cols columns, ch int, dx []float32) *inputGradSink {
	s := &inputGradSink{t: t, cols: cols, ch: ch, dx: dx, line: (t.cols*winogradTile + 2) * cols.n}
	s.padded = grow(buf, (t.rows*winogradTile+2)*s.line)
	return s
}

func (s *inputGradSink) tile(tile int, m []float32, stride int) {
	n, y, x := s.t.place(tile)
	if y == 0 && x == 0 {
		clear(s.padded)
	}
	winogradInputGrad(s.padded[y*s.line+x*s.cols.n:], s.line, s.cols.n, m, winogradSide*stride, stride, s.cols.n/panelCols)
	if y+winogradTile < s.t.h || x+winogradTile < s.t.w {
		return
	}
	for i := range s.t.h {
		for j := range s.t.w {
			copy(s.dx[((n*s.t.h+i)*s.t.w+j)*s.ch+s.cols.first:][:s.cols.n], s.padded[(i+1)*s.line+(j+1)*s.cols.n:])
		}
	}
}

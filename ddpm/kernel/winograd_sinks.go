package kernel

// tileSink takes the products of tiles, in ascending order from an image's first, for
// some columns of the result [N,H,W,ch]. It writes y = Aᵀ m A + bias, or, where it is
// of a gradient, dx = B m Bᵀ with the tiles added where they overlap.
type tileSink struct {
	t    tiling
	cols columns
	ch   int
	out  []float32
	bias []float32 // of all columns
	grad bool
	// buf is an image with its padding, of a gradient, in lines of so many elements;
	// else a tile that reaches past the image.
	buf  []float32
	line int
}

// set makes the sink ready, in its old memory.
func (s *tileSink) set(q *tileProduct, cols columns) {
	s.t, s.cols, s.ch, s.out, s.bias, s.grad = q.source.t, cols, q.cols, q.out, q.bias, q.source.grad
	s.line = winogradTile * cols.n
	lines := winogradTile
	if s.grad {
		s.line = (s.t.cols*winogradTile + 2) * cols.n
		lines = s.t.rows*winogradTile + 2
	}
	s.buf = grow(&s.buf, lines*s.line)
}

// tile takes a tile's 36 vectors of the sink's columns, stride apart.
func (s *tileSink) tile(tile int, m []float32, stride int) {
	if s.grad {
		s.addInputGrad(tile, m, stride)
		return
	}
	n, y, x := s.t.place(tile)
	dst, row := s.out[((n*s.t.h+y)*s.t.w+x)*s.ch+s.cols.first:], s.t.w*s.ch
	bias, groups := s.bias[s.cols.first:], s.cols.n/panelCols
	if s.t.inside(y, x) {
		winogradOutput(dst, row, s.ch, m, winogradSide*stride, stride, groups, bias)
		return
	}
	winogradOutput(s.buf, s.line, s.cols.n, m, winogradSide*stride, stride, groups, bias)
	for i := range min(winogradTile, s.t.h-y) {
		for j := range min(winogradTile, s.t.w-x) {
			copy(dst[i*row+j*s.ch:][:s.cols.n], s.buf[i*s.line+j*s.cols.n:])
		}
	}
}

// addInputGrad adds a tile to the padded image, and writes the image without its
// padding when the last tile is in.
func (s *tileSink) addInputGrad(tile int, m []float32, stride int) {
	n, y, x := s.t.place(tile)
	if y == 0 && x == 0 {
		clear(s.buf)
	}
	winogradInputGrad(s.buf[y*s.line+x*s.cols.n:], s.line, s.cols.n, m, winogradSide*stride, stride, s.cols.n/panelCols)
	if y+winogradTile < s.t.h || x+winogradTile < s.t.w {
		return
	}
	for i := range s.t.h {
		for j := range s.t.w {
			copy(s.out[((n*s.t.h+i)*s.t.w+j)*s.ch+s.cols.first:][:s.cols.n], s.buf[(i+1)*s.line+(j+1)*s.cols.n:])
		}
	}
}

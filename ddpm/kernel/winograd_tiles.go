package kernel

// tiling cuts the images of a convolution into tiles, numbered by image, then row,
// then column.
type tiling struct {
	n, h, w       int // images
	rows, cols    int // tiles of an image
	tiles, blocks int // of all images; a block is tileBlock tiles
}

func (c Conv) tiling() tiling {
	c.check()
	t := tiling{n: c.N, h: c.H, w: c.W}
	t.rows, t.cols = (c.H+winogradTile-1)/winogradTile, (c.W+winogradTile-1)/winogradTile
	t.tiles = t.n * t.rows * t.cols
	t.blocks = (t.tiles + tileBlock - 1) / tileBlock
	return t
}

// place returns a tile's image and its first output pixel.
func (t tiling) place(tile int) (image, y, x int) {
	row := tile / t.cols
	return row / t.rows, row % t.rows * winogradTile, tile % t.cols * winogradTile
}

// inside tells whether all 4×4 output pixels from (y, x) are in the image.
func (t tiling) inside(y, x int) bool { return y+winogradTile <= t.h && x+winogradTile <= t.w }

// transformed holds 36 values for each tile and channel:
// [block of 8 tiles][36][channels/16][8 tiles][16 channels]. A product reads it
// in this order, whether its rows are tiles or channels. A line between the points
// keeps them from meeting in the same lines of the cache.
type transformed struct {
	data        []float32
	ch, blocks  int
	pointStride int // elements between the points
}

func (t tiling) newTransformed(buf *[]float32, ch int) transformed {
	v := transformed{ch: ch, blocks: t.blocks, pointStride: ch*tileBlock + panelCols}
	v.data = grow(buf, v.blocks*v.blockLen())
	if t.tiles%tileBlock > 0 {
		clear(v.data[(t.blocks-1)*v.blockLen():])
	}
	return v
}

// blockLen is the elements of a block.
func (v transformed) blockLen() int { return winogradPoints * v.pointStride }

// at returns the place of a point and channel of a block's first tile.
func (v transformed) at(block, point, ch int) int {
	return block*v.blockLen() + point*v.pointStride + ch/panelCols*tileBlock*panelCols + ch%panelCols
}

// tile returns what follows from a tile's first point and channel.
func (v transformed) tile(tile int) []float32 {
	return v.data[tile/tileBlock*v.blockLen()+tile%tileBlock*panelCols:]
}

// transformInput computes Bᵀ d B for all tiles of x [N,H,W,ch].
func (t tiling) transformInput(p *Pool, v transformed, x []float32) {
	line := (t.cols*winogradTile + 2) * v.ch
	p.run(t.n*t.rows, 1, func(ws *workspace, lo, hi int) {
		band := grow(&ws.floats[0], winogradSide*line)
		for r := lo; r < hi; r++ {
			image := x[r/t.rows*t.h*t.w*v.ch:]
			t.padRows(band, image, r%t.rows*winogradTile-1, line, v.ch)
			for col := range t.cols {
				winogradInput(v.tile(r*t.cols+col), winogradSide*v.pointStride, v.pointStride,
					band[col*winogradTile*v.ch:], line, v.ch, v.ch/panelCols)
			}
		}
	})
}

// padRows fills band with 6 rows of an image from row y, one pixel of zeros at the
// left and zeros wherever there is no image.
func (t tiling) padRows(band, image []float32, y, line, ch int) {
	for i := range winogradSide {
		row := band[i*line : (i+1)*line]
		if y+i < 0 || y+i >= t.h {
			clear(row)
			continue
		}
		clear(row[:ch])
		n := copy(row[ch:], image[(y+i)*t.w*ch:(y+i+1)*t.w*ch])
		clear(row[ch+n:])
	}
}

// transformOutputGrad computes A dy Aᵀ for all tiles of dy [N,H,W,ch].
func (t tiling) transformOutputGrad(p *Pool, m transformed, dy []float32) {
	ch := m.ch
	p.run(t.n*t.rows, 1, func(ws *workspace, lo, hi int) {
		edge := grow(&ws.floats[0], winogradTile*winogradTile*ch)
		for tile := lo * t.cols; tile < hi*t.cols; tile++ {
			n, y, x := t.place(tile)
			src, row := dy[((n*t.h+y)*t.w+x)*ch:], t.w*ch
			if !t.inside(y, x) {
				clear(edge)
				valid := min(winogradTile, t.w-x) * ch
				for i := range min(winogradTile, t.h-y) {
					copy(edge[i*winogradTile*ch:], src[i*row:i*row+valid])
				}
				src, row = edge, winogradTile*ch
			}
			winogradOutputGrad(m.tile(tile), winogradSide*m.pointStride, m.pointStride, src, row, ch, ch/panelCols)
		}
	})
}

// tileSink takes the products of tiles, in ascending order from an image's first:
// m is 36 vectors of the sink's columns, stride apart.
type tileSink interface {
	tile(tile int, m []float32, stride int)
}

// multiply multiplies v by the weights of every group of columns, and gives the
// products to a sink. Units of work are groups of columns, and ranges of images
// where that gives the threads too few.
func (t tiling) multiply(p *Pool, v transformed, cols int, weights func(*workspace, columns) transformedWeights,
	sink func(*workspace, columns) tileSink) {
	groups := (cols + columnGroup - 1) / columnGroup
	parts := 1
	if threads := p.Threads(); threads > 1 {
		parts = max(1, min(t.n, 2*threads/groups))
	}
	p.run(groups*parts, 1, func(ws *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			first := u / parts * columnGroup
			group := columns{first, min(columnGroup, cols-first)}
			part := u % parts
			image := t.rows * t.cols
			t.multiplyGroup(ws, v, group, part*t.n/parts*image, (part+1)*t.n/parts*image, weights(ws, group), sink(ws, group))
		}
	})
}

// multiplyGroup multiplies tiles [t0, t1) by one group's weights.
func (t tiling) multiplyGroup(ws *workspace, v transformed, cols columns, t0, t1 int, u transformedWeights, sink tileSink) {
	tileLen := tileBlock * cols.n
	stride := chunkBlocks*tileLen + panelCols
	products := grow(&ws.floats[3], winogradPoints*stride)
	end := (t1 + tileBlock - 1) / tileBlock
	for b0 := t0 / tileBlock; b0 < end; b0 += chunkBlocks {
		b1 := min(b0+chunkBlocks, end)
		for point := range winogradPoints {
			for k := 0; k < v.ch; k += KBlock {
				weights := u.data[point*u.stride+k*cols.n:]
				groups := min(KBlock, v.ch-k) / panelCols
				for b := b0; b < b1; b++ {
					winogradTiles(products[point*stride+(b-b0)*tileLen:], cols.n, v.data[v.at(b, point, k):], weights, groups, k > 0)
				}
			}
		}
		for tile := max(t0, b0*tileBlock); tile < min(t1, b1*tileBlock); tile++ {
			sink.tile(tile, products[(tile-b0*tileBlock)*cols.n:], stride)
		}
	}
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

func newInputGradSink(ws *workspace, t tiling, cols columns, ch int, dx []float32) *inputGradSink {
	s := &inputGradSink{t: t, cols: cols, ch: ch, dx: dx, line: (t.cols*winogradTile + 2) * cols.n}
	s.padded = grow(&ws.floats[4], (t.rows*winogradTile+2)*s.line)
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

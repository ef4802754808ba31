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

// imageTiles returns the tiles of an image.
func (t tiling) imageTiles() int { return t.rows * t.cols }

// transformed holds 36 values for each tile and channel:
// [block of 8 tiles][36][channels/16][8 tiles][16 channels]. A product reads it
// in this order, whether its rows are tiles or channels. A line between the points
// keeps them from meeting in the same lines of the cache.
type transformed struct {
	data        []float32
	ch, blocks  int
	pointStride int // elements between the points
}

// newTransformed has room for so many tiles, made up to whole blocks by zeros.
func newTransformed(buf *[]float32, tiles, ch int) transformed {
	v := transformed{ch: ch, blocks: (tiles + tileBlock - 1) / tileBlock, pointStride: ch*tileBlock + panelCols}
	v.data = grow(buf, v.blocks*v.blockLen())
	if tiles%tileBlock > 0 {
		clear(v.data[(v.blocks-1)*v.blockLen():])
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

// tileSource is some channels of images [N,H,W,ch] whose tiles are transformed: those
// of inputs by Bᵀ d B, those of gradients by A dy Aᵀ.
type tileSource struct {
	t    tiling
	data []float32
	ch   int
	part columns
	grad bool
}

// transform writes the transform of a tile to place to of v.
func (s *tileSource) transform(ws *workspace, v transformed, to, tile int) {
	n, row, col := s.t.place(tile)
	image := s.data[n*s.t.h*s.t.w*s.ch+s.part.first:]
	if s.grad {
		w := s.t.window(ws, image, row, col, winogradTile, s.ch, s.part.n)
		winogradOutputGrad(v.tile(to), winogradSide*v.pointStride, v.pointStride, w.data, w.row, w.col, s.part.n/panelCols)
		return
	}
	w := s.t.window(ws, image, row-1, col-1, winogradSide, s.ch, s.part.n)
	winogradInput(v.tile(to), winogradSide*v.pointStride, v.pointStride, w.data, w.row, w.col, s.part.n/panelCols)
}

// all transforms all tiles, to buf.
func (s tileSource) all(p *Pool, buf *[]float32) transformed {
	v := newTransformed(buf, s.t.tiles, s.part.n)
	p.run(s.t.tiles, s.t.cols, func(ws *workspace, lo, hi int) {
		for tile := lo; tile < hi; tile++ {
			s.transform(ws, v, tile, tile)
		}
	})
	return v
}

// window is a square of pixels, row and col elements apart.
type window struct {
	data     []float32
	row, col int
}

// window returns side×side pixels of an image from (y, x), with n of its channels, ch
// elements apart: in place, or a copy with zeros where there is no image.
func (t tiling) window(ws *workspace, image []float32, y, x, side, ch, n int) window {
	if y >= 0 && x >= 0 && y+side <= t.h && x+side <= t.w {
		return window{image[(y*t.w+x)*ch:], t.w * ch, ch}
	}
	w := window{grow(&ws.floats[0], side*side*n), side * n, n}
	left, right := max(0, -x), min(side, t.w-x)
	for i := range side {
		line := w.data[i*w.row : (i+1)*w.row]
		if y+i < 0 || y+i >= t.h {
			clear(line)
			continue
		}
		clear(line[:left*n])
		clear(line[right*n:])
		line = line[left*n : right*n]
		at := ((y+i)*t.w + x + left) * ch
		if n == ch {
			copy(line, image[at:])
			continue
		}
		for j := 0; j < len(line); j += n {
			copy(line[j:j+n], image[at:])
			at += ch
		}
	}
	return w
}

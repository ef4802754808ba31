package kernel

// The Winograd convolution F(4×4, 3×3): a 3×3 convolution of stride 1 by a quarter
// of the multiplications (Lavin and Gray, "Fast algorithms for convolutional neural
// networks", 2015). An image is cut into tiles of 4×4 output pixels; with d the 6×6
// input pixels behind a tile, g a 3×3 window of weights and ⊙ the product by
// elements, summed over the input channels,
//
//	y = Aᵀ[ (G g Gᵀ) ⊙ (Bᵀ d B) ]A
//
// The interpolation points are 0, ±3/4, ±3/2 and infinity. With them the rounding
// error is about 1.5e-6 of the values' own (root mean square, 256 channels), which
// is five times that of the direct sums; the usual 0, ±1, ±2 would double it.
//
// The gradients are the adjoint maps, by the same three matrices:
//
//	dd = B[ (G g Gᵀ) ⊙ (A dy Aᵀ) ]Bᵀ, added where the tiles' inputs overlap
//	dg = Gᵀ[ sum over tiles of (Bᵀ d B) ⊙ (A dy Aᵀ) ]G

const (
	winogradTile   = 4  // output pixels of a tile, each way
	winogradSide   = 6  // input pixels of a tile, each way
	winogradPoints = 36 // products of a tile

	// tileBlock is how many tiles, or channels, are the rows of a product.
	tileBlock = 8
	// columnGroup is how many channels are the columns of a product.
	columnGroup = 2 * panelCols
	// chunkBlocks is how many blocks of tiles are multiplied before the result is
	// transformed: it is still in the second-level cache then.
	chunkBlocks = 8
)

// Winograd tells whether WinogradForward and its gradients can compute this
// convolution and are faster than Forward, GradInput and GradWeight. It does not
// depend on N, so that an image's result does not either.
func (c Conv) Winograd() bool {
	return c.K == 3 && c.Stride == 1 && c.Pad == 1 && c.PadEnd == 1 &&
		c.Cin%panelCols == 0 && c.Cout%panelCols == 0 && c.H >= winogradSide && c.W >= winogradSide
}

// WinogradForward computes y [N,H,W,Cout] = conv(x [N,H,W,Cin], w) + bias [Cout]
// with w in OIHW.
//
// Meaning: the formula above; a two-dimensional transform takes the columns first,
// then the rows, by the one-dimensional transforms of winograd_portable.go. The sum
// over the input channels is that of Gemm. bias is added last.
func (c Conv) WinogradForward(p *Pool, x, w, bias, y []float32) {
	t := c.tiling()
	need("x", x, c.pixelsIn()*c.Cin)
	need("w", w, c.weights())
	need("bias", bias, c.Cout)
	need("y", y, c.pixelsOut()*c.Cout)
	tileProduct{
		c: c, source: tileSource{t, x, c.Cin, columns{0, c.Cin}, false}, w: w, cols: c.Cout, out: y, bias: bias,
	}.run(p)
}

// WinogradGradInput computes dx [N,H,W,Cin], the gradient of WinogradForward's x,
// from dy [N,H,W,Cout], and overwrites dx.
//
// Meaning: as WinogradForward's, with the sum over the output channels. A dx pixel
// starts from +0, and its tiles are added in ascending order.
func (c Conv) WinogradGradInput(p *Pool, dy, w, dx []float32) {
	t := c.tiling()
	need("dy", dy, c.pixelsOut()*c.Cout)
	need("w", w, c.weights())
	need("dx", dx, c.pixelsIn()*c.Cin)
	tileProduct{c: c, source: tileSource{t, dy, c.Cout, columns{0, c.Cout}, true}, w: w, cols: c.Cin, out: dx}.run(p)
}

// WinogradGradWeight adds to dw, in OIHW, the gradient of WinogradForward's weights
// from x [N,H,W,Cin] and dy [N,H,W,Cout].
//
// Meaning: as WinogradForward's; the sum over the tiles, ascending, is that of Gemm,
// with the tiles' number made up to a multiple of 8 by tiles of zeros. The
// transformed sum is added to dw.
func (c Conv) WinogradGradWeight(p *Pool, x, dy, dw []float32) {
	t := c.tiling()
	need("x", x, c.pixelsIn()*c.Cin)
	need("dy", dy, c.pixelsOut()*c.Cout)
	need("dw", dw, c.weights())
	if t.tiles == 0 {
		return
	}
	g := weightProduct{c: c, t: t, x: x, dy: dy, dw: dw}
	g.run(p)
}

// columns are channels that are the columns of a product: 16 or 32.
type columns struct{ first, n int }

// transformedWeights is G g Gᵀ for a product: [36][k][columns], stride elements
// between the points.
type transformedWeights struct {
	data   []float32
	stride int
}

// forwardWeights transforms the weights between all input channels and the output
// channels cols.
func (c Conv) forwardWeights(ws *workspace, dst, w []float32, cols columns) transformedWeights {
	taps := grow(&ws.floats[2], 9*c.Cin*cols.n)
	off := grow(&ws.rows[0], 9*c.Cin)
	for l := range off {
		off[l] = (l%9*c.Cin + l/9) * cols.n
	}
	for j := 0; j < cols.n; j += transposeCols {
		transpose(taps[j:], off, w[(cols.first+j)*c.Cin*9:], c.Cin*9, transposeCols)
	}
	return transformWeights(dst, taps, c.Cin*cols.n)
}

// gradWeights transforms the weights between all output channels and the input
// channels cols, to dst.
func (c Conv) gradWeights(ws *workspace, dst, w []float32, cols columns) transformedWeights {
	taps := grow(&ws.floats[2], 9*c.Cout*cols.n)
	off := grow(&ws.rows[0], 9)
	for tap := range off {
		off[tap] = tap * c.Cout * cols.n
	}
	for co := range c.Cout {
		for j := 0; j < cols.n; j += transposeCols {
			transpose(taps[co*cols.n+j:], off, w[(co*c.Cin+cols.first+j)*9:], 9, transposeCols)
		}
	}
	return transformWeights(dst, taps, c.Cout*cols.n)
}

// transformedWeightsLen returns the elements of transformedWeights with k channels.
func transformedWeightsLen(k int, cols columns) int {
	return winogradPoints * (k*cols.n + panelCols)
}

// transformWeights transforms taps [9][n] to dst.
func transformWeights(dst, taps []float32, n int) transformedWeights {
	u := transformedWeights{data: dst, stride: n + panelCols}
	winogradWeight(u.data, winogradSide*u.stride, u.stride, taps, 3*n, n, n/panelCols)
	return u
}

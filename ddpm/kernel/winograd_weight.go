package kernel

const (
	// channelRange is how many input channels are worked on together: the products
	// with a group of output channels are still in the second-level cache then.
	channelRange = 64
	// fewChannelRange and fewTiles are the same, and the tiles that are at hand at a
	// time, where the tiles are transformed on the way. The tiles divide KBlock.
	fewChannelRange = 64
	fewTiles        = 32
	// manyTransformed is how many values of all transformed tiles, 4 MiB of them, make
	// that worth while.
	manyTransformed = 1 << 20
)

// weightProduct is the gradient of a convolution by its weights: for each of the 36
// points a product of transformed inputs and gradients, summed over the tiles.
type weightProduct struct {
	c         Conv
	t         tiling
	x, dy, dw []float32
}

// source and gradSource are some of the input's and of the gradient's channels.
func (g *weightProduct) source(in columns) tileSource {
	return tileSource{g.t, g.x, g.c.Cin, in, false}
}

func (g *weightProduct) gradSource(out columns) tileSource {
	return tileSource{g.t, g.dy, g.c.Cout, out, true}
}

// run adds the gradient to dw. Where channels are few, a unit of work transforms its
// own channels, some of which others transform too; else all are transformed before.
func (g *weightProduct) run(p *Pool) {
	c, t := g.c, g.t
	if winogradPoints*c.Cin*c.Cout <= fewWeights && winogradPoints*t.tiles*(c.Cin+c.Cout) > manyTransformed {
		g.parts(p, fewChannelRange, g.fewPart)
		return
	}
	ws := p.shared()
	v := g.source(columns{0, c.Cin}).all(p, &ws.floats[2])
	m := g.gradSource(columns{0, c.Cout}).all(p, &ws.floats[3])
	g.parts(p, channelRange, func(ws *workspace, in, out columns) {
		sums := grow(&ws.floats[1], winogradPoints*in.n*out.n)
		const kBlock = KBlock / tileBlock
		for b := 0; b < v.blocks; b += kBlock {
			multiplyChannels(sums, v, m, b, min(kBlock, v.blocks-b), in, out, laterAdd(b == 0))
		}
		g.add(ws, sums, in, out)
	})
}

// parts runs body for all ranges of so many input channels, with all groups of output
// channels.
func (g *weightProduct) parts(p *Pool, channels int, body func(ws *workspace, in, out columns)) {
	groups, ranges := (g.c.Cout+columnGroup-1)/columnGroup, (g.c.Cin+channels-1)/channels
	p.run(groups*ranges, 1, func(ws *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			out, in := u/ranges*columnGroup, u%ranges*channels
			body(ws, columns{in, min(channels, g.c.Cin-in)}, columns{out, min(columnGroup, g.c.Cout-out)})
		}
	})
}

// fewPart transforms some tiles at a time. The sums of a block of KBlock go on from one
// time to the next, and are then added to the blocks' before.
func (g *weightProduct) fewPart(ws *workspace, in, out columns) {
	t := g.t
	length := winogradPoints * in.n * out.n
	sums, block := grow(&ws.floats[1], length), grow(&ws.floats[3], length)
	x, dy := g.source(in), g.gradSource(out)
	for t0 := 0; t0 < t.tiles; t0 += fewTiles {
		n := min(fewTiles, t.tiles-t0)
		v, m := newTransformed(&ws.floats[4], n, in.n), newTransformed(&ws.floats[5], n, out.n)
		for i := range n {
			x.transform(ws, v, i, t0+i)
			dy.transform(ws, m, i, t0+i)
		}
		to, mode := block, sumResume
		if t0 < KBlock {
			to = sums
		}
		if t0%KBlock == 0 {
			mode = sumStore
		}
		multiplyChannels(to, v, m, 0, v.blocks, columns{0, in.n}, columns{0, out.n}, mode)
		if end := t0 + n; t0 >= KBlock && (end%KBlock == 0 || end == t.tiles) {
			AddTo(sums, block)
		}
	}
	g.add(ws, sums, in, out)
}

// multiplyChannels computes [36][in][out], the products of some channels of v and m,
// summed over blocks of tiles from b.
func multiplyChannels(to []float32, v, m transformed, b, blocks int, in, out columns, mode sumMode) {
	for point := range winogradPoints {
		for r := 0; r < in.n; r += tileBlock {
			winogradChannels(to[(point*in.n+r)*out.n:], out.n,
				v.data[v.at(b, point, in.first+r):], v.blockLen(),
				m.data[m.at(b, point, out.first):], m.blockLen(), blocks, mode)
		}
	}
}

// add transforms the sums and adds them to dw.
func (g *weightProduct) add(ws *workspace, sums []float32, in, out columns) {
	length := in.n * out.n
	taps := grow(&ws.floats[2], 9*length)
	winogradWeightGrad(taps, 3*length, length, sums, winogradSide*length, length, length/panelCols)
	off := grow(&ws.rows[0], 9*in.n)
	for l := range off {
		off[l] = (l%9*in.n + l/9) * out.n
	}
	for j := 0; j < out.n; j += transposeCols {
		transposeAdd(g.dw[((out.first+j)*g.c.Cin+in.first)*9:], g.c.Cin*9, taps[j:], off, transposeCols)
	}
}

package kernel

const (
	// fewWeights is how many values of transformed weights, 1.25 MiB of them, count
	// as few.
	fewWeights = 320 << 10
	// chunkFloats is how many values of transformed tiles are at hand at a time when
	// they are transformed on the way: they are in the second-level cache then.
	chunkFloats = 96 << 10
)

// tileProduct is a product of transformed tiles and transformed weights, which gives
// an image of so many channels: a convolution, or its gradient by its input.
type tileProduct struct {
	c      Conv
	source tileSource
	w      []float32
	cols   int
	out    []float32
	bias   []float32
}

// weights transforms those of a group of columns to dst.
func (q *tileProduct) weights(ws *workspace, dst []float32, group columns) transformedWeights {
	if q.source.grad {
		return q.c.gradWeights(ws, dst, q.w, group)
	}
	return q.c.forwardWeights(ws, dst, q.w, group)
}

func (q *tileProduct) groups() int { return (q.cols + columnGroup - 1) / columnGroup }

// group returns the i-th group of columns.
func (q *tileProduct) group(i int) columns {
	return columns{i * columnGroup, min(columnGroup, q.cols-i*columnGroup)}
}

// run computes the product. Few weights stay in the cache, and tiles come to them by
// the chunk; else the tiles are all transformed, and come to a group of weights at a
// time.
func (q tileProduct) run(p *Pool) {
	if winogradPoints*q.source.ch*q.cols <= fewWeights {
		q.byTiles(p)
		return
	}
	q.byWeights(p)
}

// byWeights makes a unit of work of a group of columns, and a range of images where
// that gives the threads too few.
func (q tileProduct) byWeights(p *Pool) {
	t := q.source.t
	v := q.source.all(p, &p.shared().floats[2])
	groups, parts := q.groups(), 1
	if threads := p.Threads(); threads > 1 {
		parts = max(1, min(t.n, 2*threads/groups))
	}
	image := t.imageTiles()
	p.run(groups*parts, 1, func(ws *workspace, lo, hi int) {
		sink := &ws.sinksFor(1)[0]
		for u := lo; u < hi; u++ {
			group, part := q.group(u/parts), u%parts
			weights := q.weights(ws, grow(&ws.floats[1], transformedWeightsLen(v.ch, group)), group)
			sink.set(&q, group)
			multiplyTiles(ws, v, 0, part*t.n/parts*image, (part+1)*t.n/parts*image, weights, sink)
		}
	})
}

// byTiles makes a unit of work of a range of images.
func (q tileProduct) byTiles(p *Pool) {
	groups, ch, image := q.groups(), q.source.ch, q.source.t.imageTiles()
	shared, length := p.shared(), transformedWeightsLen(q.source.ch, q.group(0))
	all, weights := grow(&shared.floats[2], groups*length), grow(&shared.weights, groups)
	p.run(groups, 1, func(ws *workspace, lo, hi int) {
		for g := lo; g < hi; g++ {
			weights[g] = q.weights(ws, all[g*length:], q.group(g))
		}
	})
	chunk := min(max(chunkFloats/winogradPoints/ch/tileBlock, 2), chunkBlocks) * tileBlock
	p.run(q.source.t.n, 1, func(ws *workspace, lo, hi int) {
		sinks := ws.sinksFor(groups)
		for g := range sinks {
			sinks[g].set(&q, q.group(g))
		}
		for t0 := lo * image; t0 < hi*image; t0 += chunk {
			t1 := min(t0+chunk, hi*image)
			v := newTransformed(&ws.floats[5], t1-t0, ch)
			for tile := t0; tile < t1; tile++ {
				q.source.transform(ws, v, tile-t0, tile)
			}
			for g := range sinks {
				multiplyTiles(ws, v, t0, t0, t1, weights[g], &sinks[g])
			}
		}
	})
}

// sinksFor returns n sinks, with the memory of those before.
func (ws *workspace) sinksFor(n int) []tileSink {
	for len(ws.sinks) < n {
		ws.sinks = append(ws.sinks, tileSink{})
	}
	return ws.sinks[:n]
}

// multiplyTiles multiplies tiles [t0, t1) by the weights of the sink's columns. Tile
// first is v's first.
func multiplyTiles(ws *workspace, v transformed, first, t0, t1 int, u transformedWeights, sink *tileSink) {
	cols := sink.cols
	tileLen := tileBlock * cols.n
	stride := chunkBlocks*tileLen + panelCols
	products := grow(&ws.floats[3], winogradPoints*stride)
	end := (t1 - first + tileBlock - 1) / tileBlock
	for b0 := (t0 - first) / tileBlock; b0 < end; b0 += chunkBlocks {
		b1 := min(b0+chunkBlocks, end)
		for point := range winogradPoints {
			for k := 0; k < v.ch; k += KBlock {
				weights := u.data[point*u.stride+k*cols.n:]
				groups := min(KBlock, v.ch-k) / panelCols
				for b := b0; b < b1; b++ {
					winogradTiles(products[point*stride+(b-b0)*tileLen:], cols.n, v.data[v.at(b, point, k):], weights, groups, laterAdd(k == 0))
				}
			}
		}
		at := first + b0*tileBlock // of the first product
		for tile := max(t0, at); tile < min(t1, first+b1*tileBlock); tile++ {
			sink.tile(tile, products[(tile-at)*cols.n:], stride)
		}
	}
}

package kernel

const (
	// fewWeights is how many values of transformed weights, 1.25 MiB of them, count
	// as few.
	fewWeights = 320 << 10
	// chunkFloats is how many values of transformed tiles are at hand at a time when
	// they are transformed on the way: they are in the second-level cache then.
	chunkFloats = 96 << 10
)

// tileProduct is a product of transformed tiles, which have ch channels each, and
// transformed weights; the result has cols channels.
type tileProduct struct {
	t         tiling
	ch, cols  int
	transform transformer
	// weights transforms those of a group of columns to dst.
	weights func(ws *workspace, dst []float32, group columns) transformedWeights
	// sink takes a group's products, and may use the buffer.
	sink func(buf *[]float32, group columns) tileSink
}

func (q *tileProduct) groups() int { return (q.cols + columnGroup - 1) / columnGroup }

// group returns the i-th group of columns.
func (q *tileProduct) group(i int) columns {
	return columns{i * columnGroup, min(columnGroup, q.cols-i*columnGroup)}
}

// run computes the product. Few weights stay in the cache, and tiles come to them by
// the chunk; else the tiles are all transformed, and come to a group of weights at a
// time.
func (q *tileProduct) run(p *Pool) {
	if winogradPoints*q.ch*q.cols <= fewWeights {
		q.byTiles(p)
		return
	}
	q.byWeights(p)
}

// byWeights makes a unit of work of a group of columns, and a range of images where
// that gives the threads too few.
func (q *tileProduct) byWeights(p *Pool) {
	v := newTransformed(&p.shared().floats[2], q.t.tiles, q.ch)
	q.t.transformAll(p, v, q.transform)
	groups, parts := q.groups(), 1
	if threads := p.Threads(); threads > 1 {
		parts = max(1, min(q.t.n, 2*threads/groups))
	}
	image := q.t.imageTiles()
	p.run(groups*parts, 1, func(ws *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			group, part := q.group(u/parts), u%parts
			weights := q.weights(ws, grow(&ws.floats[1], transformedWeightsLen(q.ch, group)), group)
			sink := q.sink(&ws.floats[4], group)
			q.multiply(ws, v, 0, part*q.t.n/parts*image, (part+1)*q.t.n/parts*image, group, weights, sink)
		}
	})
}

// byTiles makes a unit of work of a range of images.
func (q *tileProduct) byTiles(p *Pool) {
	groups := q.groups()
	all := grow(&p.shared().floats[2], groups*transformedWeightsLen(q.ch, q.group(0)))
	weights := make([]transformedWeights, groups)
	p.run(groups, 1, func(ws *workspace, lo, hi int) {
		for g := lo; g < hi; g++ {
			weights[g] = q.weights(ws, all[g*transformedWeightsLen(q.ch, q.group(0)):], q.group(g))
		}
	})
	p.run(q.t.n, 1, func(ws *workspace, lo, hi int) {
		sinks := make([]tileSink, groups)
		for g := range sinks {
			if len(ws.sinks) == g {
				ws.sinks = append(ws.sinks, nil)
			}
			sinks[g] = q.sink(&ws.sinks[g], q.group(g))
		}
		chunk := min(max(chunkFloats/winogradPoints/q.ch/tileBlock, 2), chunkBlocks) * tileBlock
		end := hi * q.t.imageTiles()
		for t0 := lo * q.t.imageTiles(); t0 < end; t0 += chunk {
			t1 := min(t0+chunk, end)
			v := newTransformed(&ws.floats[5], t1-t0, q.ch)
			for tile := t0; tile < t1; tile++ {
				q.transform(ws, v, tile-t0, tile)
			}
			for g, sink := range sinks {
				q.multiply(ws, v, t0, t0, t1, q.group(g), weights[g], sink)
			}
		}
	})
}

// multiply multiplies tiles [t0, t1) by one group's weights. Tile first is v's first.
func (q *tileProduct) multiply(ws *workspace, v transformed, first, t0, t1 int, cols columns, u transformedWeights, sink tileSink) {
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

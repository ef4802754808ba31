package kernel

// product is a matrix product whose A operand is found by offsets, so that the
// same loops serve plain matrices, images read in place, and transposes:
//
//	C[r] = D[r] + sum over blocks of (sum over k of A[r][k]·B[k])
//
// A block is at most KBlock values of k, cut into segments that are regular in
// memory. D is C itself, the bias, or nothing.
type product struct {
	a          []float32
	kStep      int // elements of a between neighbouring k of a segment
	b          *Packed
	c          []float32
	bias       []float32 // b.cols values, added before the first block; or nil
	accumulate bool      // the first block too adds to c; bias is nil then
	segs       []segment
	ends       []int // block i is segs[ends[i-1]:ends[i]]
	inBlock    int   // values of k in the block being built
}

// reset starts a new list of blocks.
func (q *product) reset() {
	q.segs, q.ends, q.inBlock = q.segs[:0], q.ends[:0], 0
}

// addRun appends n values of k: a is the offset of the first from a row's start,
// b the row of the packed operand that it meets. Runs are cut where a block is
// full, and joined where both operands go on without a gap.
func (q *product) addRun(a, b, n int) {
	for n > 0 {
		if q.inBlock == KBlock {
			q.endBlock()
		}
		m := min(n, KBlock-q.inBlock)
		if last := len(q.segs) - 1; q.inBlock > 0 && q.segs[last].a+q.segs[last].n*q.kStep == a &&
			q.segs[last].b+q.segs[last].n*panelCols == b*panelCols {
			q.segs[last].n += m
		} else {
			q.segs = append(q.segs, segment{a, b * panelCols, m})
		}
		q.inBlock += m
		a += m * q.kStep
		b += m
		n -= m
	}
}

// endBlock closes the block being built.
func (q *product) endBlock() {
	q.ends = append(q.ends, len(q.segs))
	q.inBlock = 0
}

// finish closes the last block. A product without terms keeps one empty block,
// which stores D or zeros.
func (q *product) finish() {
	if q.inBlock > 0 || len(q.ends) == 0 {
		q.endBlock()
	}
}

// run computes panels [p0, p1) of the rows whose starts in a and c are given. Each
// tile of rows meets all panels in turn, so that its part of A is in the first-level
// cache from the second panel on.
func (q *product) run(aRow, cRow []int, p0, p1 int) {
	from := 0
	for i, end := range q.ends {
		q.block(q.segs[from:end], aRow, cRow, p0, p1, i == 0)
		from = end
	}
}

// block adds one block to the given rows, tile by tile. Rows are spread evenly over
// the tiles, since a tile of few rows wastes the most.
func (q *product) block(segs []segment, aRow, cRow []int, p0, p1 int, first bool) {
	tiles := (len(aRow) + tileRows() - 1) / tileRows()
	for ; tiles > 0; tiles-- {
		m := (len(aRow) + tiles - 1) / tiles
		for p := p0; p < p1; {
			n := 1
			if full := q.b.cols/panelCols - p; full >= tilePanels() && p1-p >= tilePanels() {
				n = tilePanels()
			}
			q.tile(segs, aRow[:m], cRow[:m], p, n, first)
			p += n
		}
		aRow, cRow = aRow[m:], cRow[m:]
	}
}

// tile adds one block to the rows and n panels of a micro tile.
func (q *product) tile(segs []segment, aRow, cRow []int, p, n int, first bool) {
	var noRows [maxTileRows]int
	panelLen := q.b.rows * panelCols
	b := panels{q.b.data[p*panelLen:], n, panelLen}
	j := p * panelCols
	c := q.c[j:]
	d, dRow := c, cRow
	if first && !q.accumulate {
		d, dRow = nil, noRows[:len(aRow)]
		if q.bias != nil {
			d = q.bias[j:]
		}
	}
	if cols := q.b.cols - j; cols < panelCols {
		q.edge(segs, b, aRow, c, cRow, d, dRow, cols)
		return
	}
	micro(q.a, aRow, q.kStep, segs, b, c, cRow, d, dRow)
}

// edge computes a tile of fewer than panelCols columns by way of a full one.
func (q *product) edge(segs []segment, b panels, aRow []int, c []float32, cRow []int, d []float32, dRow []int, cols int) {
	var tile [maxTileRows * panelCols]float32
	var rows [maxTileRows]int
	for r := range rows {
		rows[r] = r * panelCols
	}
	m := len(aRow)
	if d == nil {
		micro(q.a, aRow, q.kStep, segs, b, tile[:], rows[:m], nil, rows[:m])
	} else {
		for r, at := range dRow {
			copy(tile[rows[r]:], d[at:at+cols])
		}
		micro(q.a, aRow, q.kStep, segs, b, tile[:], rows[:m], tile[:], rows[:m])
	}
	for r, at := range cRow {
		copy(c[at:at+cols], tile[rows[r]:])
	}
}

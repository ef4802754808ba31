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
	pack       packing
	segs       []segment
	copied     []segment // segs in a tile's copy of a, when pack asks for one
	ends       []int     // block i is segs[ends[i-1]:ends[i]]
	inBlock    int       // values of k in the block being built
}

// reset starts a new list of blocks.
func (q *product) reset() {
	q.segs, q.copied, q.ends, q.inBlock = q.segs[:0], q.copied[:0], q.ends[:0], 0
}

// addRun appends n values of k: a is the offset of the first from a row's start,
// b the row of the packed operand that it meets. Runs are cut where a block is
// full or a chunk of the operand ends, and joined where both operands go on without a gap.
func (q *product) addRun(a, b, n int) {
	for n > 0 {
		if q.inBlock == KBlock {
			q.endBlock()
		}
		m, place := min(n, KBlock-q.inBlock, q.b.chunk-b%q.b.chunk), q.b.place(b)
		if last := len(q.segs) - 1; q.inBlock > 0 && q.segs[last].a+q.segs[last].n*q.kStep == a &&
			q.segs[last].b+q.segs[last].n*panelCols == place {
			q.segs[last].n += m
			q.copied[last].n += m
		} else {
			q.segs = append(q.segs, segment{a, place, m})
			q.copied = append(q.copied, segment{q.inBlock * q.pack.kStep(), place, m})
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

// run computes panels [p0, p1) of the rows whose starts in a and c are given. Of a
// block, each tile of rows meets a group of panels in turn, so that its part of A is
// in the first-level cache from the second panel on, and the group in the second-level
// cache from the second tile on.
func (q *product) run(ws *workspace, aRow, cRow []int, p0, p1 int) {
	t := microTile{a: q.a, kStep: q.kStep}
	if q.pack != packNothing {
		t.a, t.kStep = grow(&ws.copied, copiedLen(len(aRow))), q.pack.kStep()
	}
	from := 0
	for i, end := range q.ends {
		t.segs, t.first = q.segs[from:end], i == 0
		rows := aRow
		if q.pack != packNothing {
			rows = grow(&ws.copiedRows, len(aRow))
			q.pack.copy(t.a, rows, q.a, q.kStep, t.segs, aRow)
			t.segs = q.copied[from:end]
		}
		for p := p0; p < p1; p += groupPanels {
			q.block(t, rows, cRow, p, min(p+groupPanels, p1))
		}
		from = end
	}
}

// groupPanels is how many panels are a group: of a block, 256 KiB.
const groupPanels = 16

// microTile is what the micro tiles of a block have in common, and the rows of one.
type microTile struct {
	a          []float32
	kStep      int
	segs       []segment
	aRow, cRow []int
	first      bool
}

// tileOf returns how many of n rows are the first tile. Rows are spread evenly over
// the tiles, since a tile of few rows wastes the most.
func tileOf(n int) int {
	tiles := (n + tileRows() - 1) / tileRows()
	return (n + tiles - 1) / tiles
}

// block adds one block to the given rows and panels, tile by tile.
func (q *product) block(t microTile, aRow, cRow []int, p0, p1 int) {
	full := max(p0, min(p1, q.b.cols/panelCols))
	for len(aRow) > 0 {
		m := tileOf(len(aRow))
		t.aRow, t.cRow = aRow[:m], cRow[:m]
		if full > p0 {
			b, c, d, dRow := q.operands(t, p0, full-p0)
			micro(t.a, t.aRow, t.kStep, t.segs, b, c, t.cRow, d, dRow)
		}
		if p1 > full {
			b, c, d, dRow := q.operands(t, full, 1)
			t.edge(b, c, d, dRow, q.b.cols-full*panelCols)
		}
		aRow, cRow = aRow[m:], cRow[m:]
	}
}

// noRows are the offsets of a micro tile's rows where all are the same one.
var noRows = [maxTileRows]int{}

// operands returns n panels, and what they have to do with c: d + their product goes
// to c.
func (q *product) operands(t microTile, p, n int) (b panels, c, d []float32, dRow []int) {
	j := p * panelCols
	b, c = panels{q.b.data[p*q.b.panelLen():], n, q.b.panelLen()}, q.c[j:]
	switch {
	case !t.first || q.accumulate:
		return b, c, c, t.cRow
	case q.bias != nil:
		return b, c, q.bias[j:], noRows[:len(t.aRow)]
	}
	return b, c, nil, noRows[:len(t.aRow)]
}

// edge computes a tile of fewer than panelCols columns by way of a full one.
func (t microTile) edge(b panels, c, d []float32, dRow []int, cols int) {
	var tile [maxTileRows * panelCols]float32
	var rows [maxTileRows]int
	for r := range rows {
		rows[r] = r * panelCols
	}
	m := len(t.aRow)
	if d == nil {
		micro(t.a, t.aRow, t.kStep, t.segs, b, tile[:], rows[:m], nil, rows[:m])
	} else {
		for r, at := range dRow {
			copy(tile[rows[r]:], d[at:at+cols])
		}
		micro(t.a, t.aRow, t.kStep, t.segs, b, tile[:], rows[:m], tile[:], rows[:m])
	}
	for r, at := range t.cRow {
		copy(c[at:at+cols], tile[rows[r]:])
	}
}

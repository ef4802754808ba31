package kernel

// Packed is the right operand of a product, rearranged for the micro kernel: cut
// into chunks of at most KBlock rows, each chunk into panels of 16 columns, and each
// panel row by row. What a block of a product needs of all panels is so one piece of
// memory, or two. Columns past the last are zero. The zero value is ready for Pack,
// and a Packed keeps its memory for the next Pack.
type Packed struct {
	data       []float32
	rows, cols int
	chunk      int // rows of a chunk; those past the last are there, and are not read
}

// chunkGrain is what the rows of a chunk are a multiple of, for the micro kernels'
// unrolled loops.
const chunkGrain = 8

// resize sets the shape; the contents are arbitrary afterwards.
func (pk *Packed) resize(rows, cols int) {
	pk.rows, pk.cols = rows, cols
	chunks := max(1, (rows+KBlock-1)/KBlock)
	pk.chunk = ((rows+chunks-1)/chunks + chunkGrain - 1) / chunkGrain * chunkGrain
	pk.data = grow(&pk.data, chunks*pk.panels()*pk.panelLen())
}

// panels returns the number of panels.
func (pk *Packed) panels() int { return (pk.cols + panelCols - 1) / panelCols }

// panelLen returns the elements of a panel of a chunk.
func (pk *Packed) panelLen() int { return pk.chunk * panelCols }

// place returns where a row begins in the first panel.
func (pk *Packed) place(row int) int {
	return (row/pk.chunk*pk.panels()*pk.chunk + row%pk.chunk) * panelCols
}

// Pack fills pk with b.
func (pk *Packed) Pack(p *Pool, b Mat) {
	b.check("b")
	pk.resize(b.Rows, b.Cols)
	if b.RowStride == 1 && b.ColStride != 1 {
		pk.packColumns(p, b.Data, b.ColStride, func(off []int) {
			for k := range off {
				off[k] = pk.place(k)
			}
		})
		return
	}
	if b.Rows == 0 {
		return
	}
	chunks, groups := (b.Rows+pk.chunk-1)/pk.chunk, (pk.panels()+packGroup-1)/packGroup
	p.run(groups*chunks, 1, func(_ *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			k, panel := u/groups*pk.chunk, u%groups*packGroup
			pk.packRows(b, k, min(k+pk.chunk, b.Rows), panel, min(panel+packGroup, pk.panels()))
		}
	})
}

// packGroup is how many panels are filled row by row together: a few lines of the
// source at a time, which the processor's prefetching then follows.
const packGroup = 16

// packRows fills rows [k0, k1), which are in one chunk, of panels [p0, p1).
func (pk *Packed) packRows(b Mat, k0, k1, p0, p1 int) {
	if b.ColStride == 1 {
		full := max(p0, min(p1, pk.cols/panelCols))
		if full > p0 {
			copyLines(pk.data[pk.place(k0)+p0*pk.panelLen():], b.Data[k0*b.RowStride+p0*panelCols:], lines{
				rows: k1 - k0, n: full - p0, dstRow: panelCols, dstPiece: pk.panelLen(), srcRow: b.RowStride, srcPiece: panelCols,
			})
		}
		p0 = full
	}
	for ; p0 < p1; p0++ {
		j := p0 * panelCols
		cols := min(panelCols, pk.cols-j)
		for k := k0; k < k1; k++ {
			row := pk.data[pk.place(k)+p0*pk.panelLen():][:panelCols]
			at := k*b.RowStride + j*b.ColStride
			for i := range cols {
				row[i] = b.Data[at+i*b.ColStride]
			}
			clear(row[cols:])
		}
	}
}

// packColumns fills pk from columns that are contiguous in src, ld elements
// apart. places fills a table of where each of a column's values goes.
func (pk *Packed) packColumns(p *Pool, src []float32, ld int, places func(off []int)) {
	off := grow(&p.shared().rows[0], pk.rows)
	places(off)
	blocks := (pk.rows + KBlock - 1) / KBlock
	p.run(pk.panels()*blocks, 1, func(_ *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			k := u % blocks * KBlock
			pk.packPart(u/blocks, src[k:], ld, off[k:min(k+KBlock, pk.rows)])
		}
	})
}

// packPart fills the places off of one panel from the columns that begin at src.
func (pk *Packed) packPart(panel int, src []float32, ld int, off []int) {
	dst := pk.data[panel*pk.panelLen():]
	for j := 0; j < panelCols; j += transposeCols {
		from := panel*panelCols + j
		cols := min(transposeCols, pk.cols-from)
		if cols > 0 {
			transpose(dst[j:], off, src[from*ld:], ld, cols)
		} else {
			transpose(dst[j:], off, nil, ld, 0)
		}
	}
}

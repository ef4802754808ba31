package kernel

// packing says how a product copies the part of A that the rows at hand
// need, before they meet the panels of B. That pays where A lies so that it would be fetched from
// beyond the first-level cache for every panel: values of neighbouring k, or the
// tile's rows, on lines that compete for the same places in the cache.
type packing int

const (
	// packNothing reads A in place.
	packNothing packing = iota
	// packRows copies row by row, for neighbouring k next to each other in A.
	packRows
	// packColumns copies k by k, for neighbouring rows next to each other in A.
	packColumns
)

const (
	// packedRow is how far rows are apart in a packRows copy: a block, and a line so
	// that they don't compete.
	packedRow = KBlock + panelCols
	// minPackPanels is the fewest panels of B that are worth a copy.
	minPackPanels = 4
	// crowdedStride is the distance in elements, and its multiples, at which values
	// share two places out of 64 in a first-level cache with ways of 4 KiB.
	crowdedStride = 512
)

// packingFor returns how to read A with the given strides, for a product with so
// many panels.
func packingFor(rowStride, kStep, panels int) packing {
	switch {
	case panels < minPackPanels:
		return packNothing
	case kStep == 1 && rowStride%crowdedStride == 0:
		return packRows
	case rowStride == 1 && kStep%crowdedStride == 0:
		return packColumns
	}
	return packNothing
}

// kStep returns the elements between neighbouring k in a copy.
func (p packing) kStep() int {
	if p == packColumns {
		return maxTileRows
	}
	return 1
}

// copy copies the rows of a that begin at from to dst, and sets where they begin
// there.
func (p packing) copy(dst []float32, to []int, a []float32, kStep int, segs []segment, from []int) {
	if p == packRows {
		copyRows(dst, to, a, segs, from)
		return
	}
	for base := 0; len(from) > 0; base += maxTileRows * packedRow {
		m := tileOf(len(from))
		for r := range m {
			to[r] = base + r
		}
		copyColumns(dst[base:], a, kStep, segs, from[0], m)
		from, to = from[m:], to[m:]
	}
}

// copyRows copies rows that lie evenly.
func copyRows(dst []float32, to []int, a []float32, segs []segment, from []int) {
	for r := range to {
		to[r] = r * packedRow
	}
	stride := 0
	if len(from) > 1 {
		stride = from[1] - from[0]
	}
	at := 0
	for _, s := range segs {
		lines := s.n / panelCols
		copyLines(dst[at:], packedRow, panelCols, a[from[0]+s.a:], stride, len(from), lines)
		for r, start := range from {
			copy(dst[to[r]+at:], a[start+s.a:][lines*panelCols:s.n])
		}
		at += s.n
	}
}

// copiedLen returns the elements of a copy of so many rows: tiles have from half to
// all of the rows that they may have.
func copiedLen(rows int) int { return 2 * (rows + maxTileRows) * packedRow }

// copyColumns copies a tile of rows, which are neighbours in a from the given place.
func copyColumns(dst, a []float32, kStep int, segs []segment, from, rows int) {
	at := 0
	for _, s := range segs {
		next := from + s.a
		for range s.n {
			if to := dst[at : at+maxTileRows]; next+maxTileRows <= len(a) {
				*(*[maxTileRows]float32)(to) = [maxTileRows]float32(a[next : next+maxTileRows])
			} else {
				copy(to, a[next:next+rows])
			}
			at += maxTileRows
			next += kStep
		}
	}
}

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
	const tileLen = maxTileRows * packedRow
	placeTiles(to, tileLen)
	at := 0
	for _, s := range segs {
		copyTiles(dst[at:], tileLen, a[from[0]+s.a:], kStep, s.n, len(from))
		at += s.n * maxTileRows
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
		whole := s.n / panelCols
		copyLines(dst[at:], a[from[0]+s.a:], lines{
			rows: len(from), n: whole, dstRow: packedRow, dstPiece: panelCols, srcRow: stride, srcPiece: panelCols,
		})
		for r, start := range from {
			copy(dst[to[r]+at+whole*panelCols:], a[start+s.a+whole*panelCols:start+s.a+s.n])
		}
		at += s.n
	}
}

// copiedLen returns the elements of a copy of so many rows: tiles have from half to
// all of the rows that they may have.
func copiedLen(rows int) int { return 2 * (rows + maxTileRows) * packedRow }

// placeTiles sets where rows begin in a copy of them by copyTiles.
func placeTiles(to []int, tileLen int) {
	for base := 0; len(to) > 0; base += tileLen {
		m := tileOf(len(to))
		for r := range m {
			to[r] = base + r
		}
		to = to[m:]
	}
}

// copyTiles copies n values of k of rows that are neighbours in a, kStep elements
// apart: [tile][k][maxTileRows], the tiles tileLen elements apart. What follows a
// tile's rows, where they are fewer, is arbitrary.
func copyTiles(dst []float32, tileLen int, a []float32, kStep, n, rows int) {
	for rows > 0 {
		m, tiles := tileOf(rows), 0
		first, from := dst, a
		for ; rows > 0 && tileOf(rows) == m; rows -= m {
			tiles++
			dst, a = dst[min(tileLen, len(dst)):], a[m:]
		}
		// Of the last k, what follows the rows may be past the end.
		step := max(kStep, 1)
		whole := min(n, max(0, (len(from)-(tiles-1)*m-maxTileRows+step)/step))
		copyHalfLines(first, from, lines{
			rows: whole, n: tiles, dstRow: maxTileRows, dstPiece: tileLen, srcRow: kStep, srcPiece: m,
		})
		for k := whole; k < n; k++ {
			for t := range tiles {
				copy(first[t*tileLen+k*maxTileRows:][:m], from[k*kStep+t*m:])
			}
		}
	}
}

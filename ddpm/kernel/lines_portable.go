package kernel

// lines are pieces of n rows of a matrix, at equal distances in it and where they are
// copied to; all distances are in elements.
type lines struct {
	rows, n          int // rows, and pieces of a row
	dstRow, dstPiece int
	srcRow, srcPiece int
}

// copyLinesPortable copies pieces of the given size:
//
//	dst[r·dstRow+l·dstPiece+i] = src[r·srcRow+l·srcPiece+i]
//
// for all r < rows, l < n and i < size.
func copyLinesPortable(dst, src []float32, m lines, size int) {
	for r := range m.rows {
		for l := range m.n {
			copy(dst[r*m.dstRow+l*m.dstPiece:][:size], src[r*m.srcRow+l*m.srcPiece:][:size])
		}
	}
}

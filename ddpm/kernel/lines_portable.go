package kernel

// copyLinesPortable copies lines of panelCols values:
//
//	dst[r·dstRow+l·dstLine+i] = src[r·srcRow+panelCols·l+i]
//
// for all r < rows, l < lines and i < panelCols.
func copyLinesPortable(dst []float32, dstRow, dstLine int, src []float32, srcRow, rows, lines int) {
	for r := range rows {
		for l := range lines {
			copy(dst[r*dstRow+l*dstLine:][:panelCols], src[r*srcRow+l*panelCols:][:panelCols])
		}
	}
}

package kernel

// panelCols is the number of columns of a packed panel.
const panelCols = 16

// maxTileRows is the most rows of a micro tile, at any level.
const maxTileRows = 8

// segment is a run of n consecutive values of the inner index k of a product: A
// is read from a elements after the row's start, B from element b of the panel.
type segment struct{ a, b, n int }

// panels are n neighbouring panels of a packed operand, stride elements apart.
type panels struct {
	data      []float32
	n, stride int
}

// microPortable computes one micro tile of len(aRow) rows and 16 columns for each
// panel, over one K block:
//
//	acc = +0
//	for every segment s and k in [0, s.n), ascending:
//		acc[r][j] = FMA(a[aRow[r]+s.a+k·kStep], b[j/16][s.b+16·k+j%16], acc[r][j])
//	c[cRow[r]+j] = d[dRow[r]+j] + acc[r][j], or acc[r][j] when d is nil
func microPortable(a []float32, aRow []int, kStep int, segs []segment, b panels, c []float32, cRow []int, d []float32, dRow []int) {
	for p := range b.n {
		panel, j := b.data[p*b.stride:], p*panelCols
		for r, start := range aRow {
			acc := microRow(a, start, kStep, segs, panel)
			out := c[cRow[r]+j:][:panelCols]
			if d == nil {
				copy(out, acc[:])
				continue
			}
			for i, v := range d[dRow[r]+j:][:panelCols] {
				out[i] = v + acc[i]
			}
		}
	}
}

// microRow returns the sums of one row and panel.
func microRow(a []float32, start, kStep int, segs []segment, b []float32) (acc [panelCols]float32) {
	for _, s := range segs {
		ia, ib := start+s.a, s.b
		for range s.n {
			av, bv := a[ia], b[ib:ib+panelCols]
			for j, v := range bv {
				acc[j] = FMA(av, v, acc[j])
			}
			ia += kStep
			ib += panelCols
		}
	}
	return acc
}

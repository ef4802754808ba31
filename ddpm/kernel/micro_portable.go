package kernel

// panelCols is the number of columns of a packed panel and of a micro tile.
const panelCols = 16

// tileRows is the largest number of rows of a micro tile.
const tileRows = 6

// segment is a run of n consecutive values of the inner index k of a product: A
// is read from a elements after the row's start, B from element b of the panel.
type segment struct{ a, b, n int }

// microPortable computes one micro tile of len(aRow) rows and panelCols columns,
// over one K block:
//
//	acc = +0
//	for every segment s and k in [0, s.n), ascending:
//		acc[r][j] = FMA(a[aRow[r]+s.a+k·kStep], b[s.b+16·k+j], acc[r][j])
//	c[cRow[r]+j] = d[dRow[r]+j] + acc[r][j], or acc[r][j] when d is nil
func microPortable(a []float32, aRow []int, kStep int, segs []segment, b, c []float32, cRow []int, d []float32, dRow []int) {
	for r, start := range aRow {
		var acc [panelCols]float32
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
		out := c[cRow[r] : cRow[r]+panelCols]
		if d == nil {
			copy(out, acc[:])
			continue
		}
		for j, v := range d[dRow[r] : dRow[r]+panelCols] {
			out[j] = v + acc[j]
		}
	}
}

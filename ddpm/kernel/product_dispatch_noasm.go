//go:build !amd64 || purego

package kernel

// tileRows returns the largest number of rows of a micro tile.
func tileRows() int { return 6 }

func micro(a []float32, aRow []int, kStep int, segs []segment, b panels, c []float32, cRow []int, d []float32, dRow []int) {
	microPortable(a, aRow, kStep, segs, b, c, cRow, d, dRow)
}

func peak(n int) (flops int) { return peakPortable(n) }

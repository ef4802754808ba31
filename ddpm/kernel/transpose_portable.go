package kernel

// transposeCols is the number of columns that the transposes move together.
const transposeCols = 8

// transposePortable sets dst[off[l]+j] = src[j·ld+l] for the columns j < cols and
// all l of off, and 0 for the columns from cols to 7.
func transposePortable(dst []float32, off []int, src []float32, ld, cols int) {
	for l, at := range off {
		row := dst[at : at+transposeCols]
		for j := range cols {
			row[j] = src[j*ld+l]
		}
		clear(row[cols:])
	}
}

// transposeAddPortable adds src[off[l]+j] to dst[j·ld+l], for the columns j < cols
// and all l of off.
func transposeAddPortable(dst []float32, ld int, src []float32, off []int, cols int) {
	for l, at := range off {
		for j, v := range src[at : at+cols] {
			dst[j*ld+l] += v
		}
	}
}

package kernel

func addPortable(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func scalePortable(dst []float32, s float32) {
	for i := range dst {
		dst[i] *= s
	}
}

func axpyPortable(dst []float32, s float32, x []float32) {
	for i := range dst {
		dst[i] = FMA(s, x[i], dst[i])
	}
}

// addRowPortable works on columns [from, cols).
func addRowPortable(x, row []float32, rows, cols, from int) {
	for r := range rows {
		for j := from; j < cols; j++ {
			x[r*cols+j] += row[j]
		}
	}
}

// colSumToPortable adds one block's partial sums to dst, for columns from on. The
// rows of x lie stride elements apart.
func colSumToPortable(dst, x []float32, rows, stride, from int) {
	for j := from; j < len(dst); j++ {
		var p float32
		for r := range rows {
			p += x[r*stride+j]
		}
		dst[j] += p
	}
}

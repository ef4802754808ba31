package kernel

// SumBlock is the number of rows (or pixels) that a column sum adds up before
// that partial sum joins the others. It is part of the meaning of ColSum and of
// GroupNorm.
const SumBlock = 64

// Add sets dst[i] = a[i] + b[i], for the length of dst.
func Add(dst, a, b []float32) {
	need("a", a, len(dst))
	need("b", b, len(dst))
	add(dst, a, b)
}

// AddTo sets dst[i] = dst[i] + a[i], for the length of dst.
func AddTo(dst, a []float32) {
	need("a", a, len(dst))
	add(dst, dst, a)
}

// Scale sets dst[i] = dst[i] · s.
func Scale(dst []float32, s float32) { scale(dst, s) }

// Axpy sets dst[i] = FMA(s, x[i], dst[i]), for the length of dst.
func Axpy(dst []float32, s float32, x []float32) {
	need("x", x, len(dst))
	axpy(dst, s, x)
}

// AddRow adds row [cols] to every row of x [rows,cols].
func AddRow(x, row []float32, rows, cols int) {
	need("x", x, rows*cols)
	need("row", row, cols)
	addRow(x, row, rows, cols)
}

// ColSum sums the columns of x [rows,cols] into dst [cols], or adds the sums to
// dst when accumulate is set.
//
// Meaning, for every column: t = +0, or dst when accumulating. For blocks of
// SumBlock rows, ascending, p = +0, then p = p + x for the rows ascending; then
// t = t + p. dst = t.
func ColSum(dst, x []float32, rows, cols int, accumulate bool) {
	need("dst", dst, cols)
	need("x", x, rows*cols)
	if !accumulate {
		clear(dst[:cols])
	}
	for r := 0; r < rows; r += SumBlock {
		colSumTo(dst, x[r*cols:], min(SumBlock, rows-r), cols)
	}
}

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

// ColSum sums the columns of n matrices x [n,rows,cols] into dst [n,cols], or adds
// the sums to dst when accumulate is set.
//
// Meaning, for every column: t = +0, or dst when accumulating. For blocks of
// SumBlock rows, ascending, p = +0, then p = p + x for the rows ascending; then
// t = t + p. dst = t.
func ColSum(p *Pool, dst, x []float32, n, rows, cols int, accumulate bool) {
	need("dst", dst, n*cols)
	need("x", x, n*rows*cols)
	p.columns(n, cols, lineFloats, func(_ *workspace, i, from, to int) {
		sums, m := dst[i*cols+from:i*cols+to], x[i*rows*cols:(i+1)*rows*cols]
		if !accumulate {
			clear(sums)
		}
		for r := 0; r < rows; r += SumBlock {
			colSumTo(sums, m[r*cols+from:], min(SumBlock, rows-r), cols)
		}
	})
}

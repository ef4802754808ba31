package kernel

import "fmt"

// KBlock is the number of terms of a product that are accumulated before their
// sum is added to the output. It is part of the meaning of every product here.
const KBlock = 256

// bandRows is how many rows of A are worked on together, so that the part of
// them that a block needs stays in the second-level cache.
const bandRows = 256

// Mat is a matrix in memory: element (r, c) is Data[r*RowStride+c*ColStride].
// Swapping the strides and the sizes transposes it.
type Mat struct {
	Data                             []float32
	Rows, Cols, RowStride, ColStride int
}

// Gemm computes c = a·b, or c += a·b when accumulate is set. a is [M,K], b is
// [K,N], c is [M,N] with rows ldc elements apart.
//
// Meaning, for every element: for blocks of KBlock values of k, ascending,
// acc = +0, then acc = FMA(a[i,k], b[k,j], acc) for k ascending; then
// c[i,j] = c[i,j] + acc, save that without accumulate the first block stores
// acc. K = 0 gives zeros, or leaves c as it is when accumulating.
//
// b is packed a block of k at a time, into memory that all blocks share: it is in a
// cache still when the rows of a come to it.
func Gemm(p *Pool, a, b Mat, c []float32, ldc int, accumulate bool) {
	a.check("a")
	b.check("b")
	checkProduct(a, b.Rows, b.Cols, c, ldc)
	packed := &p.shared().packed
	for k := 0; k == 0 || k < a.Cols; k += KBlock {
		n := min(KBlock, a.Cols-k)
		packed.Pack(p, b.rowsFrom(k, n))
		GemmPacked(p, a.columnsFrom(k, n), packed, c, ldc, accumulate || k > 0)
	}
}

// GemmPacked is Gemm with b packed beforehand.
func GemmPacked(p *Pool, a Mat, b *Packed, c []float32, ldc int, accumulate bool) {
	a.check("a")
	checkProduct(a, b.rows, b.cols, c, ldc)
	if a.Rows == 0 || b.cols == 0 || a.Cols == 0 && accumulate {
		return
	}
	gemmRows(p, a, b, c, ldc, nil, accumulate)
}

// checkProduct panics when c cannot hold the product of a and b [rows,cols], or there
// is none.
func checkProduct(a Mat, rows, cols int, c []float32, ldc int) {
	if a.Cols != rows {
		panic(fmt.Sprintf("kernel: product of a [%d,%d] and b [%d,%d]", a.Rows, a.Cols, rows, cols))
	}
	if a.Rows > 0 && cols > 0 && (ldc < cols || len(c) < (a.Rows-1)*ldc+cols) {
		panic(fmt.Sprintf("kernel: c of %d elements, rows %d apart, is too small for [%d,%d]", len(c), ldc, a.Rows, cols))
	}
}

// gemmRows is the product behind GemmPacked and the 1x1 convolutions: bias, when
// not nil, is added to the first block.
func gemmRows(p *Pool, a Mat, b *Packed, c []float32, ldc int, bias []float32, accumulate bool) {
	q := &p.shared().product
	q.a, q.kStep, q.b, q.c, q.bias, q.accumulate = a.Data, a.ColStride, b, c, bias, accumulate
	q.pack = packingFor(a.RowStride, a.ColStride, b.panels())
	q.reset()
	q.addRun(0, 0, a.Cols)
	q.finish()
	p.grid(a.Rows, bandRows, b.panels(), func(ws *workspace, r0, r1, p0, p1 int) {
		aRow, cRow := grow(&ws.rows[0], r1-r0), grow(&ws.rows[1], r1-r0)
		for i := range aRow {
			aRow[i], cRow[i] = (r0+i)*a.RowStride, (r0+i)*ldc
		}
		q.run(ws, aRow, cRow, p0, p1)
	})
}

// grid cuts [0, rows) into bands of at most band rows and, when that gives too
// few units for the threads, [0, panels) into groups, and runs body on each.
func (p *Pool) grid(rows, band, panels int, body func(ws *workspace, r0, r1, p0, p1 int)) {
	if rows == 0 {
		return
	}
	want := chunksPerThread * p.Threads()
	if p.Threads() == 1 {
		want = 1
	}
	bands := (rows + band - 1) / band
	groups := min(panels, (want+bands-1)/bands)
	p.run(bands*groups, 1, func(ws *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			i, g := u/groups, u%groups
			body(ws, i*rows/bands, (i+1)*rows/bands, g*panels/groups, (g+1)*panels/groups)
		}
	})
}

// rowsFrom returns n rows of the matrix, from row r on.
func (m Mat) rowsFrom(r, n int) Mat {
	m.Data, m.Rows = m.Data[min(r*m.RowStride, len(m.Data)):], n
	return m
}

// columnsFrom returns n columns of the matrix, from column c on.
func (m Mat) columnsFrom(c, n int) Mat {
	m.Data, m.Cols = m.Data[min(c*m.ColStride, len(m.Data)):], n
	return m
}

// check panics when the matrix reaches past its data.
func (m Mat) check(name string) {
	if m.Rows > 0 && m.Cols > 0 && len(m.Data) <= (m.Rows-1)*m.RowStride+(m.Cols-1)*m.ColStride {
		panic(fmt.Sprintf("kernel: %s of %d elements is too small for [%d,%d] with strides %d and %d",
			name, len(m.Data), m.Rows, m.Cols, m.RowStride, m.ColStride))
	}
}

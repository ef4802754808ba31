package kernel

// SoftmaxRows replaces every row of x [rows,cols] by softmax(scale·row); scale is
// positive.
//
// Meaning, for every row: m is the largest value (a NaN is never the largest);
// e[i] = Exp(scale·(x[i]-m)); lane l of 8 sums e[l], e[l+8], ... ascending from +0;
// with s(i,j) = lane i + lane j, sum = (s(0,4)+s(2,6)) + (s(1,5)+s(3,7)); the
// result is e[i] · (1/sum).
func SoftmaxRows(p *Pool, x []float32, rows, cols int, scale float32) {
	need("x", x, rows*cols)
	if cols == 0 {
		return
	}
	p.run(rows, 1, func(_ *workspace, lo, hi int) {
		for r := lo; r < hi; r++ {
			softmaxRow(x[r*cols:(r+1)*cols], scale)
		}
	})
}

// SoftmaxRowsGrad computes dx = scale·y·(dy - sum(dy·y)) for every row, the
// gradient of SoftmaxRows's input from its result y and dy, all [rows,cols].
//
// Meaning: lane l of 8 is acc = FMA(dy[i], y[i], acc) for i = l, l+8, ...
// ascending from +0; s is the lanes' sum by SoftmaxRows's tree;
// dx[i] = scale · (y[i] · (dy[i]-s)).
func SoftmaxRowsGrad(p *Pool, dx, dy, y []float32, rows, cols int, scale float32) {
	need("dx", dx, rows*cols)
	need("dy", dy, rows*cols)
	need("y", y, rows*cols)
	if cols == 0 {
		return
	}
	p.run(rows, 1, func(_ *workspace, lo, hi int) {
		for r := lo; r < hi; r++ {
			at, end := r*cols, (r+1)*cols
			softmaxGradRow(dx[at:end], dy[at:end], y[at:end], scale)
		}
	})
}

// softmaxRow is SoftmaxRows of one row.
func softmaxRow(x []float32, s float32) {
	var lanes [8]float32
	expSum(&lanes, x, rowMax(x), s)
	scale(x, 1/treeSum(&lanes))
}

// softmaxGradRow is SoftmaxRowsGrad of one row.
func softmaxGradRow(dx, dy, y []float32, s float32) {
	var lanes [8]float32
	dotLanes(&lanes, dy, y)
	softmaxGradApply(dx, dy, y, treeSum(&lanes), s)
}

// treeSum adds 8 lanes by a fixed tree.
func treeSum[T float32 | float64](l *[8]T) T {
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// Linear is y = x·Wᵀ + b with W of shape [out, in].
type Linear struct {
	e        *Engine
	in, out  int
	w, b     *Param
	forward  kernel.Packed // Wᵀ, [in, out]
	backward kernel.Packed // W, [out, in]
}

// NewLinear builds the layer from the parameters name.weight and name.bias.
func NewLinear(e *Engine, ps *Params, name string, in, out int) *Linear {
	return &Linear{
		e: e, in: in, out: out,
		w: ps.Get(name+".weight", out*in),
		b: ps.Get(name+".bias", out),
	}
}

// Pack lays out the weights for the products, once after they change.
func (l *Linear) Pack() {
	l.forward.Pack(l.e.pool, kernel.Mat{Data: l.w.W, Rows: l.in, Cols: l.out, RowStride: 1, ColStride: l.in})
	l.backward.Pack(l.e.pool, kernel.Mat{Data: l.w.W, Rows: l.out, Cols: l.in, RowStride: l.in, ColStride: 1})
}

// Forward takes x [..., in] and returns [..., out].
func (l *Linear) Forward(x Tensor) Tensor {
	y := l.e.newLike(x, l.out)
	rows := x.Shape().TotalSize() / l.in
	kernel.GemmPacked(l.e.pool, rowMajor(x.Float32s(), rows, l.in), &l.forward, y.Float32s(), l.out, false)
	l.e.addRow(y.Float32s(), l.b.W, rows)
	return y
}

// Backward takes Forward's input and the gradient by its result, and returns the
// gradient by the input.
func (l *Linear) Backward(x, dy Tensor) Tensor {
	l.BackwardParams(x, dy)
	return l.BackwardInput(dy)
}

// BackwardParams is the part of Backward that adds to the parameters' gradients.
func (l *Linear) BackwardParams(x, dy Tensor) {
	d, rows := dy.Float32s(), dy.Shape().TotalSize()/l.out
	kernel.Gemm(l.e.pool, transposed(rowMajor(d, rows, l.out)), rowMajor(x.Float32s(), rows, l.in), l.w.G, l.in, true)
	kernel.ColSum(l.e.pool, l.b.G, d, 1, rows, l.out, true)
}

// BackwardInput is the part of Backward that returns the gradient by the input.
func (l *Linear) BackwardInput(dy Tensor) Tensor {
	dx := l.e.newLike(dy, l.in)
	rows := dy.Shape().TotalSize() / l.out
	kernel.GemmPacked(l.e.pool, rowMajor(dy.Float32s(), rows, l.out), &l.backward, dx.Float32s(), l.in, false)
	return dx
}

func rowMajor(data []float32, rows, cols int) kernel.Mat {
	return kernel.Mat{Data: data, Rows: rows, Cols: cols, RowStride: cols, ColStride: 1}
}

func transposed(m kernel.Mat) kernel.Mat {
	return kernel.Mat{Data: m.Data, Rows: m.Cols, Cols: m.Rows, RowStride: m.ColStride, ColStride: m.RowStride}
}

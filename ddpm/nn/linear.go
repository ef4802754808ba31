package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// Linear is y = x·Wᵀ + b with W of shape [out, in].
type Linear struct {
	e        *Engine
	in, out  int
	w, b     *Param
	forward  kernel.Packed // Wᵀ, [in, out]
	backward kernel.Packed // W, [out, in]
	x        Tensor
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
	l.x = x
	y := l.e.New(withLast(x.Shape(), l.out)...)
	rows := x.Shape().TotalSize() / l.in
	kernel.GemmPacked(l.e.pool, rowMajor(x.Float32s(), rows, l.in), &l.forward, y.Float32s(), l.out, false)
	l.e.addRow(y.Float32s(), l.b.W, rows)
	return y
}

// Backward takes the gradient by y and returns that by x.
func (l *Linear) Backward(dy Tensor) Tensor {
	rows := dy.Shape().TotalSize() / l.out
	dx := l.e.New(l.x.Shape()...)
	d := dy.Float32s()
	kernel.GemmPacked(l.e.pool, rowMajor(d, rows, l.out), &l.backward, dx.Float32s(), l.in, false)
	dyT := kernel.Mat{Data: d, Rows: l.out, Cols: rows, RowStride: 1, ColStride: l.out}
	kernel.Gemm(l.e.pool, dyT, rowMajor(l.x.Float32s(), rows, l.in), l.w.G, l.in, true)
	kernel.ColSum(l.e.pool, l.b.G, d, 1, rows, l.out, true)
	return dx
}

func rowMajor(data []float32, rows, cols int) kernel.Mat {
	return kernel.Mat{Data: data, Rows: rows, Cols: cols, RowStride: cols, ColStride: 1}
}

// withLast is a shape with its last dimension replaced.
func withLast(shape []int, last int) []int {
	s := append([]int(nil), shape...)
	s[len(s)-1] = last
	return s
}

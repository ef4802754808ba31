package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// Plus returns a + b, element by element; the shapes agree.
func (e *Engine) Plus(a, b Tensor) Tensor {
	y := e.New(a.Shape()...)
	ys, as, bs := y.Float32s(), a.Float32s(), b.Float32s()
	e.split(len(ys), 1, func(lo, hi int) { kernel.Add(ys[lo:hi], as[lo:hi], bs[lo:hi]) })
	return y
}

// AddTo adds b to a in place.
func (e *Engine) AddTo(a, b Tensor) {
	as, bs := a.Float32s(), b.Float32s()
	e.split(len(as), 1, func(lo, hi int) { kernel.AddTo(as[lo:hi], bs[lo:hi]) })
}

// addRow adds row to each of the rows of x.
func (e *Engine) addRow(x, row []float32, rows int) {
	n := len(row)
	e.split(rows, n, func(lo, hi int) { kernel.AddRow(x[lo*n:hi*n], row, hi-lo, n) })
}

// SiLU is x·sigmoid(x).
type SiLU struct {
	e *Engine
	x Tensor
}

// NewSiLU builds the layer.
func NewSiLU(e *Engine) *SiLU { return &SiLU{e: e} }

// Forward takes and returns any shape.
func (s *SiLU) Forward(x Tensor) Tensor {
	s.x = x
	y := s.e.New(x.Shape()...)
	ys, xs := y.Float32s(), x.Float32s()
	s.e.split(len(ys), 1, func(lo, hi int) { kernel.SiLU(ys[lo:hi], xs[lo:hi]) })
	return y
}

// Backward takes the gradient by y and returns that by x.
func (s *SiLU) Backward(dy Tensor) Tensor {
	dx := s.e.New(s.x.Shape()...)
	ds, gs, xs := dx.Float32s(), dy.Float32s(), s.x.Float32s()
	s.e.split(len(ds), 1, func(lo, hi int) { kernel.SiLUGrad(ds[lo:hi], gs[lo:hi], xs[lo:hi]) })
	return dx
}

// JoinChannels joins two tensors [N, H, W, C] along the channels, a first.
func (e *Engine) JoinChannels(a, b Tensor) Tensor {
	ca, cb := a.Shape()[3], b.Shape()[3]
	y := e.New(withLast(a.Shape(), ca+cb)...)
	ys, as, bs := y.Float32s(), a.Float32s(), b.Float32s()
	e.split(len(as)/ca, ca+cb, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			row := ys[p*(ca+cb) : (p+1)*(ca+cb)]
			copy(row, as[p*ca:(p+1)*ca])
			copy(row[ca:], bs[p*cb:(p+1)*cb])
		}
	})
	return y
}

// SplitChannels undoes JoinChannels: the first ca channels, and the rest.
func (e *Engine) SplitChannels(y Tensor, ca int) (a, b Tensor) {
	cb := y.Shape()[3] - ca
	a, b = e.New(withLast(y.Shape(), ca)...), e.New(withLast(y.Shape(), cb)...)
	ys, as, bs := y.Float32s(), a.Float32s(), b.Float32s()
	e.split(len(as)/ca, ca+cb, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			row := ys[p*(ca+cb) : (p+1)*(ca+cb)]
			copy(as[p*ca:(p+1)*ca], row)
			copy(bs[p*cb:(p+1)*cb], row[ca:])
		}
	})
	return a, b
}

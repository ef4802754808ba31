package nn

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// Attention is the paper's single-head self-attention over the pixels of an
// image, with its own norm and a residual connection:
//
//	y = x + out(softmax(q·kᵀ/√C)·v), q, k, v = linear(norm(x))
type Attention struct {
	e          *Engine
	channels   int
	norm       *GroupNorm
	q, k, v, o *Linear
	// Of the last Forward: the projections [N, HW, C] and the weights
	// [N, HW, HW] that softmax gave.
	qs, ks, vs, p Tensor
}

// NewAttention builds the block from the parameters under name.
func NewAttention(e *Engine, ps *Params, name string, channels, groups int, eps float64) *Attention {
	linear := func(part string) *Linear { return NewLinear(e, ps, name+"."+part, channels, channels) }
	return &Attention{
		e: e, channels: channels,
		norm: NewGroupNorm(e, ps, name+".group_norm", channels, groups, eps, false),
		q:    linear("to_q"), k: linear("to_k"), v: linear("to_v"), o: linear("to_out.0"),
	}
}

// Pack lays out the weights for the products, once after they change.
func (a *Attention) Pack() {
	for _, l := range []*Linear{a.q, a.k, a.v, a.o} {
		l.Pack()
	}
}

// Forward takes and returns [N, H, W, C].
func (a *Attention) Forward(x Tensor) Tensor {
	n, h, w, _ := dims(x)
	hw := h * w
	y := a.norm.Forward(x)
	a.qs, a.ks, a.vs = a.q.Forward(y), a.k.Forward(y), a.v.Forward(y)
	a.p = a.e.New(n, hw, hw)
	mixed := a.e.New(x.Shape()...)
	for i := range n {
		a.e.mul(a.pixels(a.qs, i), a.pixels(a.ks, i).transposed(), a.weights(i))
		kernel.SoftmaxRows(a.e.pool, a.weights(i).data, hw, hw, a.scale())
		a.e.mul(a.weights(i), a.pixels(a.vs, i), a.pixels(mixed, i))
	}
	return a.e.Plus(x, a.o.Forward(mixed))
}

// Backward takes the gradient by y and returns that by x.
func (a *Attention) Backward(dy Tensor) Tensor {
	n, h, w, _ := dims(dy)
	hw := h * w
	dMixed := a.o.Backward(dy)
	dq, dk, dv := a.e.New(dy.Shape()...), a.e.New(dy.Shape()...), a.e.New(dy.Shape()...)
	dp := view{data: a.e.New(hw, hw).Float32s(), rows: hw, cols: hw}
	for i := range n {
		p := a.weights(i)
		a.e.mul(p.transposed(), a.pixels(dMixed, i), a.pixels(dv, i))
		a.e.mul(a.pixels(dMixed, i), a.pixels(a.vs, i).transposed(), dp)
		kernel.SoftmaxRowsGrad(a.e.pool, dp.data, dp.data, p.data, hw, hw, a.scale())
		a.e.mul(dp, a.pixels(a.ks, i), a.pixels(dq, i))
		a.e.mul(dp.transposed(), a.pixels(a.qs, i), a.pixels(dk, i))
	}
	d := a.q.Backward(dq)
	a.e.AddTo(d, a.k.Backward(dk))
	a.e.AddTo(d, a.v.Backward(dv))
	return a.e.Plus(dy, a.norm.Backward(d))
}

func (a *Attention) scale() float32 { return float32(1 / math.Sqrt(float64(a.channels))) }

// pixels is image i of [N, H, W, C] as the matrix [HW, C].
func (a *Attention) pixels(t Tensor, i int) view {
	n := t.Shape()[0]
	length := t.Shape().TotalSize() / n
	return view{data: t.Float32s()[i*length : (i+1)*length], rows: length / a.channels, cols: a.channels}
}

// weights is image i of the attention weights as a matrix [HW, HW].
func (a *Attention) weights(i int) view {
	hw := a.p.Shape()[1]
	return view{data: a.p.Float32s()[i*hw*hw : (i+1)*hw*hw], rows: hw, cols: hw}
}

// view is a row-major matrix, or its transpose.
type view struct {
	data       []float32
	rows, cols int
	t          bool
}

func (v view) transposed() view { return view{v.data, v.rows, v.cols, !v.t} }

// mul sets out = a·b.
func (e *Engine) mul(a, b, out view) {
	if err := e.MatMul(e.dense(a), e.dense(b), e.dense(out)); err != nil {
		panic(fmt.Sprintf("nn: attention: %v", err)) // shapes are this file's own
	}
}

func (e *Engine) dense(v view) tensor.Tensor {
	t := e.Wrap(v.data, v.rows, v.cols)
	if v.t {
		if err := t.T(); err != nil {
			panic(fmt.Sprintf("nn: transposing [%d, %d]: %v", v.rows, v.cols, err))
		}
	}
	return t
}

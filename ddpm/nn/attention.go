package nn

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// Attention is the paper's single-head self-attention over the pixels of an
// image, with its own norm and a residual connection:
//
//	y = x + out(softmax(q·kᵀ/√C)·v), q, k, v = linear(norm(x))
//
// It keeps x alone. The weights [HW, HW] that softmax gives are there for one image
// at a time. q, k, v and what is mixed of v would be 5 MiB an image of the CIFAR-10
// network, beside the 11.6 of all that is kept; to compute them again is a fiftieth
// of a step's products.
type Attention struct {
	e          *Engine
	channels   int
	norm       *GroupNorm
	q, k, v, o *Linear
	x          Tensor
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

// Forward takes over x [N, H, W, C] and returns y of its shape.
func (a *Attention) Forward(x Tensor) Tensor {
	e := a.e
	n, height, width, _ := dims(x)
	norm := a.norm.Forward(x)
	q, k, v := a.q.Forward(norm), a.k.Forward(norm), a.v.Forward(norm)
	e.Release(norm)
	mixed, weights := e.New(x.Shape()...), e.New(height*width, height*width)
	for i := range n {
		a.attend(a.image(q, i), a.image(k, i), a.image(v, i), square(weights), a.image(mixed, i))
	}
	e.Release(q, k, v, weights)
	y := a.o.Forward(mixed)
	e.Release(mixed)
	e.AddTo(y, x)
	a.x = e.Keep(x)
	return y
}

// Backward takes over the gradient by y and returns that by x.
func (a *Attention) Backward(dy Tensor) Tensor {
	e := a.e
	n, height, width, _ := dims(dy)
	norm := a.norm.Repeat(a.x)
	q, k, v := a.q.Forward(norm), a.k.Forward(norm), a.v.Forward(norm)
	mixed, weights := e.New(dy.Shape()...), e.New(height*width, height*width)
	dMixed := a.o.BackwardInput(dy)
	dq, dk, dv := e.New(dy.Shape()...), e.New(dy.Shape()...), e.New(dy.Shape()...)
	dWeights := e.New(height*width, height*width)
	for i := range n {
		qi, ki, vi, dMixedI := a.image(q, i), a.image(k, i), a.image(v, i), a.image(dMixed, i)
		w, dw := square(weights), square(dWeights)
		a.attend(qi, ki, vi, w, a.image(mixed, i))
		e.mul(transposed(w), dMixedI, a.image(dv, i))
		e.mul(dMixedI, transposed(vi), dw)
		kernel.SoftmaxRowsGrad(e.pool, dw.Data, dw.Data, w.Data, w.Rows, w.Cols, a.scale())
		e.mul(dw, ki, a.image(dq, i))
		e.mul(transposed(dw), qi, a.image(dk, i))
	}
	e.Release(q, k, v, weights, dWeights, dMixed)
	a.o.BackwardParams(mixed, dy)
	e.Release(mixed)

	d := a.q.Backward(norm, dq)
	e.Release(dq)
	e.take(d, a.k.Backward(norm, dk))
	e.Release(dk)
	e.take(d, a.v.Backward(norm, dv))
	e.Release(dv, norm)
	a.norm.Backward(a.x, d)
	e.Release(a.x)
	e.take(d, dy)
	return d
}

// attend computes one image's weights = softmax(q·kᵀ/√C) and mixed = weights·v.
func (a *Attention) attend(q, k, v, weights, mixed kernel.Mat) {
	a.e.mul(q, transposed(k), weights)
	kernel.SoftmaxRows(a.e.pool, weights.Data, weights.Rows, weights.Cols, a.scale())
	a.e.mul(weights, v, mixed)
}

func (a *Attention) scale() float32 { return float32(1 / math.Sqrt(float64(a.channels))) }

// square is [HW, HW] as a matrix.
func square(t Tensor) kernel.Mat { return rowMajor(t.Float32s(), t.Shape()[0], t.Shape()[1]) }

// image is image i of [N, H, W, C] as the matrix [HW, C].
func (a *Attention) image(t Tensor, i int) kernel.Mat {
	pixels := t.Shape().TotalSize() / t.Shape()[0] / a.channels
	return rowMajor(t.Float32s()[i*pixels*a.channels:(i+1)*pixels*a.channels], pixels, a.channels)
}

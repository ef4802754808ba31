package nn

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// Attention is self-attention over the pixels of an image, with its own norm and a
// residual connection:
//
//	y = x + out(softmax(q·kᵀ/√d)·v), q, k, v = linear(norm(x))
//
// The paper's has one head, d = C. With more, each takes d channels of q, k and v in
// turn, and gives the same d of what out reads (Vaswani et al. 2017, section 3.2.2).
//
// It keeps x alone. The weights [HW, HW] that softmax gives are there for one image
// at a time. q, k, v and what is mixed of v would be 5 MiB an image of the CIFAR-10
// network, beside the 11.6 of all that is kept; to compute them again is a fiftieth
// of a step's products.
type Attention struct {
	e          *Engine
	channels   int
	headDim    int // d, a divisor of channels
	norm       *GroupNorm
	q, k, v, o *Linear
	x          Tensor
}

// NewAttention builds the block from the parameters under name. headDim is the
// channels of a head; 0 is one head of all.
func NewAttention(e *Engine, ps *Params, name string, channels, headDim, groups int, eps float64) *Attention {
	if headDim == 0 {
		headDim = channels
	}
	linear := func(part string) *Linear { return NewLinear(e, ps, name+"."+part, channels, channels) }
	return &Attention{
		e: e, channels: channels, headDim: headDim,
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
		for h := range a.heads() {
			a.attend(a.head(q, i, h), a.head(k, i, h), a.head(v, i, h), square(weights), a.head(mixed, i, h))
		}
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
		for h := range a.heads() {
			qi, ki, vi, dMixedI := a.head(q, i, h), a.head(k, i, h), a.head(v, i, h), a.head(dMixed, i, h)
			w, dw := square(weights), square(dWeights)
			a.attend(qi, ki, vi, w, a.head(mixed, i, h))
			e.mul(transposed(w), dMixedI, a.head(dv, i, h))
			e.mul(dMixedI, transposed(vi), dw)
			kernel.SoftmaxRowsGrad(e.pool, dw.Data, dw.Data, w.Data, w.Rows, w.Cols, a.scale())
			e.mul(dw, ki, a.head(dq, i, h))
			e.mul(transposed(dw), qi, a.head(dk, i, h))
		}
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

// attend computes one head's weights = softmax(q·kᵀ/√d) and mixed = weights·v.
func (a *Attention) attend(q, k, v, weights, mixed kernel.Mat) {
	a.e.mul(q, transposed(k), weights)
	kernel.SoftmaxRows(a.e.pool, weights.Data, weights.Rows, weights.Cols, a.scale())
	a.e.mul(weights, v, mixed)
}

func (a *Attention) scale() float32 { return float32(1 / math.Sqrt(float64(a.headDim))) }

// square is [HW, HW] as a matrix.
func square(t Tensor) kernel.Mat { return rowMajor(t.Float32s(), t.Shape()[0], t.Shape()[1]) }

func (a *Attention) heads() int { return a.channels / a.headDim }

// head is the channels of a head in image i of [N, H, W, C], as the matrix [HW, d].
func (a *Attention) head(t Tensor, i, head int) kernel.Mat {
	pixels := t.Shape().TotalSize() / t.Shape()[0] / a.channels
	m := rowMajor(t.Float32s()[i*pixels*a.channels:(i+1)*pixels*a.channels], pixels, a.channels)
	m.Data, m.Cols = m.Data[head*a.headDim:], a.headDim
	return m
}

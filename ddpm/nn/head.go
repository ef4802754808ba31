package nn

// Head ends the network: conv(SiLU(norm(x))). It keeps x.
type Head struct {
	e    *Engine
	norm *GroupNorm
	conv *Conv
	x    Tensor
}

// NewHead builds the block from the parameters of its norm and its convolution.
func NewHead(e *Engine, norm *GroupNorm, conv *Conv) *Head {
	return &Head{e: e, norm: norm, conv: conv}
}

// Pack lays out the weights for the products, once after they change.
func (o *Head) Pack() { o.conv.Pack() }

// Forward takes over x [N, H, W, in] and returns [N, H, W, out].
func (o *Head) Forward(x Tensor) Tensor {
	a := o.norm.Forward(x)
	o.x = o.e.Keep(x)
	y := o.conv.Forward(a)
	o.e.Release(a)
	return y
}

// Backward takes over the gradient by y and returns that by x.
func (o *Head) Backward(dy Tensor) Tensor {
	a := o.norm.Repeat(o.x)
	o.conv.BackwardParams(a, dy)
	o.e.Release(a)
	dx := o.conv.BackwardInput(dy)
	o.e.Release(dy)
	o.norm.Backward(o.x, dx)
	o.e.Release(o.x)
	return dx
}

package nn

// ResBlock is the paper's residual block:
//
//	h = conv1(SiLU(norm1(x))) + time(s)        s = SiLU(time embedding), over all pixels
//	y = shortcut(x) + conv2(dropout(SiLU(norm2(h))))
//
// On the way up x has the channels of a skip tensor joined to it. The shortcut is
// x itself, or a 1x1 convolution where the widths differ.
//
// It keeps x, in its two parts, and h; what the convolutions read is computed
// again, which costs a pass over memory each, and no product.
type ResBlock struct {
	e            *Engine
	norm1, norm2 *GroupNorm
	conv1, conv2 *Conv
	time         *Linear
	dropout      *Dropout
	shortcut     *Conv // nil for the identity
	x, skip, h   Tensor
}

// Pass is what all residual blocks of a pass share.
type Pass struct {
	// S is SiLU of the time embedding, [N, time channels].
	S Tensor
	// DS is the loss' gradient by S, to which each Backward adds.
	DS Tensor
	// Masks is what dropout draws from; nil drops nothing.
	Masks *Masks
}

// ResBlockShape is what a residual block is built from.
type ResBlockShape struct {
	In, Out, TimeChannels, Groups int
	Eps, Dropout                  float64
	// Layer is the number of the block's dropout in the network.
	Layer int
}

// NewResBlock builds the block from the parameters under name.
func NewResBlock(e *Engine, ps *Params, name string, s ResBlockShape) *ResBlock {
	b := &ResBlock{
		e:       e,
		norm1:   NewGroupNorm(e, ps, name+".norm1", s.In, s.Groups, s.Eps, true),
		conv1:   NewConv(e, ps, name+".conv1", s.In, s.Out, 3),
		time:    NewLinear(e, ps, name+".time_emb_proj", s.TimeChannels, s.Out),
		norm2:   NewGroupNorm(e, ps, name+".norm2", s.Out, s.Groups, s.Eps, true),
		dropout: NewDropout(e, s.Layer, s.Dropout),
		conv2:   NewConv(e, ps, name+".conv2", s.Out, s.Out, 3),
	}
	if s.In != s.Out {
		b.shortcut = NewConv(e, ps, name+".conv_shortcut", s.In, s.Out, 1)
	}
	return b
}

// Offset is where the block's parameters begin in the flat vector.
func (b *ResBlock) Offset() int { return b.norm1.w.off }

// Pack lays out the weights for the products, once after they change.
func (b *ResBlock) Pack() {
	b.conv1.Pack()
	b.time.Pack()
	b.conv2.Pack()
	if b.shortcut != nil {
		b.shortcut.Pack()
	}
}

// Forward takes over x [N, H, W, ·] and skip, the channels joined to it on the
// way up, or nil; it returns [N, H, W, out].
func (b *ResBlock) Forward(x, skip Tensor, p *Pass) Tensor {
	e := b.e
	in := e.join(x, skip)
	b.x, b.skip = e.Keep(x), e.Keep(skip)
	a := b.norm1.Forward(in)
	h := b.conv1.Forward(a)
	e.Release(a)
	t := b.time.Forward(p.S)
	e.addToPixels(h, t)
	e.Release(t)
	a = b.norm2.Forward(h)
	b.h = e.Keep(h)
	b.dropout.Forward(a, p.Masks)
	y := b.conv2.Forward(a)
	e.Release(a)
	if b.shortcut != nil {
		r := b.shortcut.Forward(in)
		e.Release(in)
		in = r
	}
	e.take(y, in)
	return y
}

// Backward takes over the gradient by y, and returns that by x and that by skip,
// if there was one.
func (b *ResBlock) Backward(dy Tensor, p *Pass) (dx, dSkip Tensor) {
	e := b.e
	a := b.norm2.Repeat(b.h)
	b.dropout.Repeat(a)
	b.conv2.BackwardParams(a, dy)
	e.Release(a)
	dh := b.conv2.BackwardInput(dy)
	b.dropout.Backward(dh)
	b.norm2.Backward(b.h, dh)
	e.Release(b.h)
	dt := e.sumPixels(dh)
	b.time.BackwardParams(p.S, dt)
	e.take(p.DS, b.time.BackwardInput(dt))
	e.Release(dt)

	in, channels := e.join(b.x, b.skip), b.x.Shape()[3]
	e.Release(b.x, b.skip)
	if b.shortcut != nil {
		b.shortcut.BackwardParams(in, dy)
	}
	a = b.norm1.Repeat(in)
	b.conv1.BackwardParams(a, dh)
	e.Release(a)
	dx = b.conv1.BackwardInput(dh)
	e.Release(dh)
	b.norm1.Backward(in, dx)
	e.Release(in)
	if b.shortcut != nil {
		r := b.shortcut.BackwardInput(dy)
		e.Release(dy)
		dy = r
	}
	e.take(dx, dy)
	if b.skip == nil {
		return dx, nil
	}
	joined := dx
	dx, dSkip = e.SplitChannels(joined, channels)
	e.Release(joined)
	return dx, dSkip
}

// join returns x with the channels of skip, if any; to the caller it is a tensor
// of its own either way.
func (e *Engine) join(x, skip Tensor) Tensor {
	if skip == nil {
		return e.Share(x)
	}
	return e.JoinChannels(x, skip)
}

package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// ResBlock is the paper's residual block:
//
//	h = conv1(SiLU(norm1(x))) + time(s)        s = SiLU(time embedding), over all pixels
//	y = shortcut(x) + conv2(dropout(SiLU(norm2(h))))
//
// The shortcut is x itself, or a 1x1 convolution where the widths differ.
type ResBlock struct {
	e            *Engine
	norm1, norm2 *GroupNorm
	conv1, conv2 *Conv
	time         *Linear
	dropout      *Dropout
	shortcut     *Conv // nil for the identity
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

// Pack lays out the weights for the products, once after they change.
func (b *ResBlock) Pack() {
	b.conv1.Pack()
	b.time.Pack()
	b.conv2.Pack()
	if b.shortcut != nil {
		b.shortcut.Pack()
	}
}

// Forward takes x [N, H, W, in] and s [N, time channels], returns [N, H, W, out].
func (b *ResBlock) Forward(x, s Tensor, masks *Masks) Tensor {
	h := b.conv1.Forward(b.norm1.Forward(x))
	b.addTime(h, b.time.Forward(s))
	h = b.norm2.Forward(h)
	b.dropout.Forward(h, masks)
	h = b.conv2.Forward(h)
	if b.shortcut != nil {
		x = b.shortcut.Forward(x)
	}
	return b.e.Plus(x, h)
}

// Backward takes the gradient by y, returns that by x, and adds that by s to ds.
func (b *ResBlock) Backward(dy, ds Tensor) Tensor {
	dh := b.conv2.Backward(dy)
	b.dropout.Backward(dh)
	dh = b.norm2.Backward(dh)
	b.e.AddTo(ds, b.time.Backward(b.timeGrad(dh)))
	dx := b.norm1.Backward(b.conv1.Backward(dh))
	if b.shortcut != nil {
		dy = b.shortcut.Backward(dy)
	}
	b.e.AddTo(dx, dy)
	return dx
}

// addTime adds row n of t [N, out] to every pixel of image n of h.
func (b *ResBlock) addTime(h, t Tensor) {
	n, height, w, c := dims(h)
	hs, ts, pixels := h.Float32s(), t.Float32s(), height*w
	for i := range n {
		b.e.addRow(hs[i*pixels*c:(i+1)*pixels*c], ts[i*c:(i+1)*c], pixels)
	}
}

// timeGrad sums the gradient over the pixels of each image: [N, out].
func (b *ResBlock) timeGrad(dh Tensor) Tensor {
	n, height, w, c := dims(dh)
	dt := b.e.New(n, c)
	kernel.ColSum(b.e.pool, dt.Float32s(), dh.Float32s(), n, height*w, c, false)
	return dt
}

package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// Downsample is a block that halves the resolution by a 3x3 convolution of stride
// 2. It keeps its input.
type Downsample struct {
	e    *Engine
	conv *Conv
	x    Tensor
}

// NewDownsample builds the block from the parameters under name. The convolution
// pads the bottom and the right, or all sides.
func NewDownsample(e *Engine, ps *Params, name string, channels int, allSides bool) *Downsample {
	return &Downsample{e: e, conv: newConvDown(e, ps, name, channels, allSides)}
}

// Pack lays out the weights for the products, once after they change.
func (d *Downsample) Pack() { d.conv.Pack() }

// Forward takes over x [N, H, W, C] and returns [N, H/2, W/2, C].
func (d *Downsample) Forward(x Tensor) Tensor {
	y := d.conv.Forward(x)
	d.x = d.e.Keep(x)
	return y
}

// Backward takes over the gradient by y and returns that by x.
func (d *Downsample) Backward(dy Tensor) Tensor {
	d.conv.BackwardParams(d.x, dy)
	d.e.Release(d.x)
	dx := d.conv.BackwardInput(dy)
	d.e.Release(dy)
	return dx
}

// Upsample is a block that doubles the resolution, each pixel repeated, and
// applies a 3x3 convolution. It keeps its input, and repeats the pixels again.
type Upsample struct {
	e    *Engine
	conv *Conv
	x    Tensor
}

// NewUpsample builds the block from the parameters under name.
func NewUpsample(e *Engine, ps *Params, name string, channels int) *Upsample {
	return &Upsample{e: e, conv: NewConv(e, ps, name, channels, channels, 3)}
}

// Pack lays out the weights for the products, once after they change.
func (u *Upsample) Pack() { u.conv.Pack() }

// Forward takes over x [N, H, W, C] and returns [N, 2H, 2W, C].
func (u *Upsample) Forward(x Tensor) Tensor {
	large := u.e.Upsample(x)
	u.x = u.e.Keep(x)
	y := u.conv.Forward(large)
	u.e.Release(large)
	return y
}

// Backward takes over the gradient by y and returns that by x.
func (u *Upsample) Backward(dy Tensor) Tensor {
	large := u.e.Upsample(u.x)
	u.e.Release(u.x)
	u.conv.BackwardParams(large, dy)
	u.e.Release(large)
	large = u.conv.BackwardInput(dy)
	u.e.Release(dy)
	dx := u.e.UpsampleGrad(large)
	u.e.Release(large)
	return dx
}

// Upsample doubles height and width, each pixel repeated (nearest).
func (e *Engine) Upsample(x Tensor) Tensor {
	n, h, w, c := dims(x)
	y := e.New(n, 2*h, 2*w, c)
	xs, ys := x.Float32s(), y.Float32s()
	e.split(n*h, 4*w*c, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			top := ys[2*r*2*w*c : (2*r+1)*2*w*c]
			for p := range w {
				pixel := xs[(r*w+p)*c : (r*w+p+1)*c]
				copy(top[2*p*c:], pixel)
				copy(top[(2*p+1)*c:], pixel)
			}
			copy(ys[(2*r+1)*2*w*c:(2*r+2)*2*w*c], top)
		}
	})
	return y
}

// UpsampleGrad is the gradient by Upsample's input: each pixel gets the sum over its
// four copies, (top left + top right) + (bottom left + bottom right). It uses dy
// for its sums and leaves it undefined.
func (e *Engine) UpsampleGrad(dy Tensor) Tensor {
	n, h2, w2, c := dims(dy)
	h, w := h2/2, w2/2
	dx := e.New(n, h, w, c)
	ds, gs := dx.Float32s(), dy.Float32s()
	e.split(n*h, 4*w*c, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			for p := range w {
				pixel := ds[(r*w+p)*c : (r*w+p+1)*c]
				up, down := (2*r*w2+2*p)*c, ((2*r+1)*w2+2*p)*c
				bottom := gs[down : down+c]
				kernel.Add(pixel, gs[up:up+c], gs[up+c:up+2*c])
				kernel.AddTo(bottom, gs[down+c:down+2*c])
				kernel.AddTo(pixel, bottom)
			}
		}
	})
	return dx
}

func dims(x Tensor) (n, h, w, c int) {
	s := x.Shape()
	return s[0], s[1], s[2], s[3]
}

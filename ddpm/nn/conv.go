package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// Conv is a convolution on channels-last data with weights [out, in, k, k] and a
// bias. Which algorithm computes it follows from its sizes, the number of images
// apart: Winograd's tiles where they suit, else direct sums.
type Conv struct {
	e        *Engine
	geometry kernel.Conv // of the last Forward
	w, b     *Param
	// For the direct sums alone; Winograd's transform of the weights is made again
	// for every pass, since it is four times as large as they are.
	forward, backward             kernel.Packed
	packedForward, packedBackward bool
}

// NewConv builds a convolution of stride 1 that keeps the size: k = 3 pads by 1,
// k = 1 not at all.
func NewConv(e *Engine, ps *Params, name string, in, out, k int) *Conv {
	return newConv(e, ps, name, kernel.Conv{Cin: in, Cout: out, K: k, Stride: 1, Pad: k / 2, PadEnd: k / 2})
}

// newConvDown builds the 3x3 convolution of stride 2 that halves the size. It
// pads the bottom and the right by one, and nothing else, as "SAME" does in the
// paper's code on even sizes; or all sides by one.
func newConvDown(e *Engine, ps *Params, name string, channels int, allSides bool) *Conv {
	g := kernel.Conv{Cin: channels, Cout: channels, K: 3, Stride: 2, Pad: 0, PadEnd: 1}
	if allSides {
		g.Pad = 1
	}
	return newConv(e, ps, name, g)
}

func newConv(e *Engine, ps *Params, name string, g kernel.Conv) *Conv {
	return &Conv{
		e: e, geometry: g,
		w: ps.Get(name+".weight", g.Cout*g.Cin*g.K*g.K),
		b: ps.Get(name+".bias", g.Cout),
	}
}

// Pack is called once after the weights change. A pass lays them out for the products
// when it needs them so: the images' size decides whether it does, and a pass for
// sampling needs nothing for gradients.
func (c *Conv) Pack() { c.packedForward, c.packedBackward = false, false }

func (c *Conv) packForward() *kernel.Packed {
	if !c.packedForward {
		c.geometry.PackForward(c.e.pool, &c.forward, c.w.W)
		c.packedForward = true
	}
	return &c.forward
}

func (c *Conv) packBackward() *kernel.Packed {
	if !c.packedBackward {
		c.geometry.PackGradInput(c.e.pool, &c.backward, c.w.W)
		c.packedBackward = true
	}
	return &c.backward
}

// winograd tells whether the passes are by Winograd's tiles.
func (c *Conv) winograd() bool { return c.geometry.Winograd() && !c.e.direct }

// DirectSums makes every convolution a direct sum from now on. That gives other bits,
// so no run does it: it is there to measure what Winograd's tiles change.
func (e *Engine) DirectSums() { e.direct = true }

// ConvCall is a convolution on the way back: its sizes, its input, the gradient by its
// result, its weights and its bias.
type ConvCall struct {
	kernel.Conv
	X, DY, Weights, Bias []float32
}

// WatchConvs calls watch for every convolution of a Backward; nil ends that. It must
// not keep the slices.
func (e *Engine) WatchConvs(watch func(ConvCall)) { e.watch = watch }

// Forward takes x [N, H, W, in] and returns [N, H/stride, W/stride, out].
func (c *Conv) Forward(x Tensor) Tensor {
	c.geometry.N, c.geometry.H, c.geometry.W = x.Shape()[0], x.Shape()[1], x.Shape()[2]
	g := c.geometry
	y := c.e.New(g.N, g.OutH(), g.OutW(), g.Cout)
	if c.winograd() {
		g.WinogradForward(c.e.pool, x.Float32s(), c.w.W, c.b.W, y.Float32s())
		return y
	}
	g.Forward(c.e.pool, x.Float32s(), c.packForward(), c.b.W, y.Float32s())
	return y
}

// Backward takes Forward's input and the gradient by its result, and returns the
// gradient by the input.
func (c *Conv) Backward(x, dy Tensor) Tensor {
	c.BackwardParams(x, dy)
	return c.BackwardInput(dy)
}

// BackwardParams is the part of Backward that adds to the parameters' gradients.
func (c *Conv) BackwardParams(x, dy Tensor) {
	g := c.geometry
	if c.e.watch != nil {
		c.e.watch(ConvCall{g, x.Float32s(), dy.Float32s(), c.w.W, c.b.W})
	}
	if c.winograd() {
		g.WinogradGradWeight(c.e.pool, x.Float32s(), dy.Float32s(), c.w.G)
	} else {
		g.GradWeight(c.e.pool, x.Float32s(), dy.Float32s(), c.w.G)
	}
	kernel.ColSum(c.e.pool, c.b.G, dy.Float32s(), 1, g.N*g.OutH()*g.OutW(), g.Cout, true)
}

// BackwardInput is the part of Backward that returns the gradient by the input.
func (c *Conv) BackwardInput(dy Tensor) Tensor {
	g := c.geometry
	dx := c.e.New(g.N, g.H, g.W, g.Cin)
	if c.winograd() {
		g.WinogradGradInput(c.e.pool, dy.Float32s(), c.w.W, dx.Float32s())
		return dx
	}
	g.GradInput(c.e.pool, dy.Float32s(), c.packBackward(), dx.Float32s())
	return dx
}

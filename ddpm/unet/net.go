package unet

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/nn"
)

// Key names an example's randomness for dropout.
type Key = nn.Key

// Options says what a pass is for.
type Options struct {
	backward bool
	masks    nn.Masks
	classes  []int
}

// WithClasses gives the row of the class embedding for each image, for a network that
// has one. Without it, such a network takes the last row for every image.
func (o Options) WithClasses(classes []int) Options {
	o.classes = classes
	return o
}

// Sampling is a pass without dropout that no Backward follows: it keeps nothing
// for one.
func Sampling() Options { return Options{} }

// Training is a pass for Backward, with dropout that is drawn from the seed for
// the key of each image; without keys nothing is dropped.
func Training(seed uint64, keys []Key) Options {
	return Options{backward: true, masks: nn.Masks{Seed: seed, Keys: keys}}
}

// Net is the network: eps_theta(x_t, t). It keeps what Backward needs of the last
// Forward, so it serves one goroutine; its work is split over the pool, whose size
// never changes a bit.
type Net struct {
	config Config
	e      *nn.Engine
	params *nn.Params

	time   *nn.TimeEmbedding
	convIn *nn.Conv
	down   []*stage
	mid    *stage
	up     []*stage
	head   *nn.Head

	// Of the pass between Forward and Backward.
	options Options
	pass    nn.Pass
	x       nn.Tensor
	// Stacks of the skip tensors on the way, and of their gradients on the way
	// back; empty between passes.
	skips, dSkips []nn.Tensor
}

// New builds the network of a valid config. SetWeights comes before Forward.
func New(c Config, pool *kernel.Pool) *Net {
	e, ps := nn.NewEngine(pool), nn.NewParams()
	for _, p := range c.Params() {
		ps.Declare(p.Name, p.Len())
	}
	b := builder{c: c, e: e, ps: ps}
	n := &Net{
		config: c, e: e, params: ps,
		time: nn.NewTimeEmbedding(e, ps, "time_embedding", c.Channels[0], c.TimeChannels(),
			nn.SinusoidForm{CosFirst: c.CosFirst, Unshifted: c.Unshifted}),
		convIn: nn.NewConv(e, ps, "conv_in", c.InChannels, c.Channels[0], 3),
		head: nn.NewHead(e,
			nn.NewGroupNorm(e, ps, "conv_norm_out", c.Channels[0], c.Groups, c.NormEps, true),
			nn.NewConv(e, ps, "conv_out", c.Channels[0], c.OutChannels, 3)),
	}
	if c.ClassEmbeds > 0 {
		n.time.WithClasses(ps, "class_embedding", c.ClassEmbeds)
	}
	for _, blk := range c.downBlocks() {
		s := b.stage(blk)
		if blk.resample {
			s.downsample = nn.NewDownsample(e, ps, blk.name+".downsamplers.0.conv", blk.out, c.PadAllSides)
		}
		n.down = append(n.down, s)
	}
	n.mid = b.stage(c.midBlock())
	for _, blk := range c.upBlocks() {
		s := b.stage(blk)
		if blk.resample {
			s.upsample = nn.NewUpsample(e, ps, blk.name+".upsamplers.0.conv", blk.out)
		}
		n.up = append(n.up, s)
	}
	return n
}

// Engine returns what the network computes with, for measurements of it.
func (n *Net) Engine() *nn.Engine { return n.e }

// SetWeights points the network at a flat parameter vector in the order of
// Config.Params and lays it out for the kernels. The vector must stay as it is
// until the next SetWeights.
func (n *Net) SetWeights(weights []float32) {
	if len(weights) != n.params.Len() {
		panic(fmt.Sprintf("unet: %d weights for a network of %d parameters", len(weights), n.params.Len()))
	}
	n.params.BindWeights(weights)
	n.time.Pack()
	n.convIn.Pack()
	for _, s := range n.stages() {
		s.pack()
	}
	n.head.Pack()
}

func (n *Net) stages() []*stage {
	all := append([]*stage(nil), n.down...)
	all = append(all, n.mid)
	return append(all, n.up...)
}

// Forward predicts eps for the images x [len(t), Size, Size, InChannels] at the
// timesteps t. The result has x's shape and is valid until the next Forward; x and
// the options' keys must stay as they are until Backward.
func (n *Net) Forward(x []float32, t []int, o Options) []float32 {
	if len(t) == 0 || len(x) != len(t)*n.config.ImageLen() {
		panic(fmt.Sprintf("unet: %d values for %d images of %d", len(x), len(t), n.config.ImageLen()))
	}
	n.begin(x, t, o)
	h := n.convIn.Forward(n.x)
	n.pushSkip(h)
	for _, st := range n.down {
		for j := range st.res {
			h = st.forward(j, h, nil, &n.pass)
			n.pushSkip(h)
		}
		if st.downsample != nil {
			h = st.downsample.Forward(h)
			n.pushSkip(h)
		}
	}
	for j := range n.mid.res {
		h = n.mid.forward(j, h, nil, &n.pass)
	}
	for _, st := range n.up {
		for j := range st.res {
			h = st.forward(j, h, pop(&n.skips), &n.pass)
		}
		if st.upsample != nil {
			h = st.upsample.Forward(h)
		}
	}
	return n.head.Forward(h).Float32s()
}

// begin starts a pass: nothing is left of the one before it.
func (n *Net) begin(x []float32, t []int, o Options) {
	n.skips, n.dSkips = n.skips[:0], n.dSkips[:0]
	n.options = o
	if o.backward {
		n.e.Reset()
	} else {
		n.e.ResetForward()
	}
	n.pass = nn.Pass{S: n.time.Forward(t, n.classes(len(t)))}
	if o.masks.Keys != nil {
		n.pass.Masks = &n.options.masks
	}
	n.x = n.e.Wrap(x, len(t), n.config.Size, n.config.Size, n.config.InChannels)
}

// classes are the rows of the pass' images.
func (n *Net) classes(images int) []int {
	if n.config.ClassEmbeds == 0 {
		return nil
	}
	if c := n.options.classes; c != nil {
		if len(c) != images {
			panic(fmt.Sprintf("unet: %d classes for %d images", len(c), images))
		}
		return c
	}
	free := make([]int, images)
	for i := range free {
		free[i] = n.config.ClassEmbeds - 1
	}
	return free
}

// pushSkip holds on to a tensor for the way up, beside the block that takes it
// over.
func (n *Net) pushSkip(h nn.Tensor) { n.skips = append(n.skips, n.e.Share(h)) }

// addSkip adds to dh what came back on the way up to the tensor of which it is the
// gradient.
func (n *Net) addSkip(dh nn.Tensor) {
	dSkip := pop(&n.dSkips)
	n.e.AddTo(dh, dSkip)
	n.e.Release(dSkip)
}

func pop(stack *[]nn.Tensor) nn.Tensor {
	last := len(*stack) - 1
	t := (*stack)[last]
	*stack = (*stack)[:last]
	return t
}

// Backward takes the loss' gradient by the last Forward's result and adds the
// gradient by every parameter to grad, a flat vector in the order of
// Config.Params. That Forward was one for Training.
//
// Parameters come in the order in which the way down and up passes them, so the way
// back is done with the last ones first: final, if it is not nil, is called with lower
// and lower lo, and at last with 0, when nothing from grad[lo] on will be touched any
// more.
func (n *Net) Backward(dOut, grad []float32, final func(lo int)) {
	if final == nil {
		final = func(int) {}
	}
	if !n.options.backward {
		panic("unet: Backward of a pass for sampling, or twice of one pass")
	}
	n.options.backward = false
	c, e := n.config, n.e
	images := len(dOut) / c.ImageLen()
	n.params.BindGrad(grad)
	n.pass.DS = e.Zeros(images, c.TimeChannels())
	dh := n.head.Backward(e.Wrap(dOut, images, c.Size, c.Size, c.OutChannels))
	for u := len(n.up) - 1; u >= 0; u-- {
		st := n.up[u]
		if st.upsample != nil {
			dh = st.upsample.Backward(dh)
		}
		for j := len(st.res) - 1; j >= 0; j-- {
			var dSkip nn.Tensor
			dh, dSkip = st.backward(j, dh, &n.pass)
			n.dSkips = append(n.dSkips, dSkip)
			final(st.res[j].Offset())
		}
	}
	for j := len(n.mid.res) - 1; j >= 0; j-- {
		dh, _ = n.mid.backward(j, dh, &n.pass)
		final(n.mid.res[j].Offset())
	}
	// dSkips is in the order of pushing, since the way up took the skip tensors
	// last in, first out.
	for i := len(n.down) - 1; i >= 0; i-- {
		st := n.down[i]
		if st.downsample != nil {
			n.addSkip(dh)
			dh = st.downsample.Backward(dh)
		}
		for j := len(st.res) - 1; j >= 0; j-- {
			n.addSkip(dh)
			dh, _ = st.backward(j, dh, &n.pass)
			final(st.res[j].Offset())
		}
	}
	n.addSkip(dh)
	n.convIn.BackwardParams(n.x, dh)
	e.Release(dh, n.x)
	n.time.Backward(n.pass.DS)
	final(0) // those of the input and of the time, which every block adds to, are the first
}

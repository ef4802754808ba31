package unet

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/nn"
)

// Key names an example's randomness for dropout.
type Key = nn.Key

// Options says what a pass is for.
type Options struct{ masks *nn.Masks }

// Sampling is a pass without dropout.
func Sampling() Options { return Options{} }

// Training is a pass with dropout, drawn from the seed for the key of each image.
func Training(seed uint64, keys []Key) Options {
	return Options{masks: &nn.Masks{Seed: seed, Keys: keys}}
}

// Net is the network: eps_theta(x_t, t). It keeps the activations of the last
// Forward for Backward, so it serves one goroutine; its work is split over the
// pool, whose size never changes a bit.
type Net struct {
	config Config
	e      *nn.Engine
	params *nn.Params

	time1, time2 *nn.Linear
	timeAct      *nn.SiLU
	embAct       *nn.SiLU
	convIn       *nn.Conv
	down         []*stage
	mid          *stage
	up           []*stage
	normOut      *nn.GroupNorm
	convOut      *nn.Conv
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
		time1:   nn.NewLinear(e, ps, "time_embedding.linear_1", c.Channels[0], c.TimeChannels()),
		timeAct: nn.NewSiLU(e),
		time2:   nn.NewLinear(e, ps, "time_embedding.linear_2", c.TimeChannels(), c.TimeChannels()),
		embAct:  nn.NewSiLU(e),
		convIn:  nn.NewConv(e, ps, "conv_in", c.InChannels, c.Channels[0], 3),
		normOut: nn.NewGroupNorm(e, ps, "conv_norm_out", c.Channels[0], c.Groups, c.NormEps, true),
		convOut: nn.NewConv(e, ps, "conv_out", c.Channels[0], c.OutChannels, 3),
	}
	for _, blk := range c.downBlocks() {
		s := b.stage(blk)
		if blk.resample {
			s.resample = nn.NewDownsample(e, ps, blk.name+".downsamplers.0.conv", blk.out)
		}
		n.down = append(n.down, s)
	}
	n.mid = b.stage(c.midBlock())
	for _, blk := range c.upBlocks() {
		s := b.stage(blk)
		if blk.resample {
			s.resample = nn.NewConv(e, ps, blk.name+".upsamplers.0.conv", blk.out, blk.out, 3)
		}
		n.up = append(n.up, s)
	}
	return n
}

// SetWeights points the network at a flat parameter vector in the order of
// Config.Params and lays it out for the kernels. The vector must stay as it is
// until the next SetWeights.
func (n *Net) SetWeights(weights []float32) {
	if len(weights) != n.params.Len() {
		panic(fmt.Sprintf("unet: %d weights for a network of %d parameters", len(weights), n.params.Len()))
	}
	n.params.BindWeights(weights)
	for _, l := range []*nn.Linear{n.time1, n.time2} {
		l.Pack()
	}
	n.convIn.Pack()
	for _, s := range n.stages() {
		s.pack()
	}
	n.convOut.Pack()
}

func (n *Net) stages() []*stage {
	all := append([]*stage(nil), n.down...)
	all = append(all, n.mid)
	return append(all, n.up...)
}

// Forward predicts eps for the images x [len(t), Size, Size, InChannels] at the
// timesteps t. The result has x's shape and is valid until the next Forward.
func (n *Net) Forward(x []float32, t []int, o Options) []float32 {
	c, e := n.config, n.e
	if len(t) == 0 || len(x) != len(t)*c.ImageLen() {
		panic(fmt.Sprintf("unet: %d values for %d images of %d", len(x), len(t), c.ImageLen()))
	}
	e.Reset()
	s := n.embed(t)
	h := n.convIn.Forward(e.Wrap(x, len(t), c.Size, c.Size, c.InChannels))
	skips := []nn.Tensor{h}
	for _, st := range n.down {
		for j := range st.res {
			h = st.forward(j, h, s, o.masks)
			skips = append(skips, h)
		}
		if st.resample != nil {
			h = st.resample.Forward(h)
			skips = append(skips, h)
		}
	}
	for j := range n.mid.res {
		h = n.mid.forward(j, h, s, o.masks)
	}
	for _, st := range n.up {
		for j := range st.res {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			h = st.forward(j, e.JoinChannels(h, skip), s, o.masks)
		}
		if st.resample != nil {
			h = st.resample.Forward(e.Upsample(h))
		}
	}
	return n.convOut.Forward(n.normOut.Forward(h)).Float32s()
}

// embed is SiLU(linear(SiLU(linear(sinusoid(t))))): [N, 4·Channels[0]]. Each
// residual block applies SiLU to the embedding first, so it is applied here once.
func (n *Net) embed(t []int) nn.Tensor {
	h := n.time1.Forward(n.e.Sinusoid(t, n.config.Channels[0]))
	return n.embAct.Forward(n.time2.Forward(n.timeAct.Forward(h)))
}

// Backward takes the loss' gradient by the last Forward's result and adds the
// gradient by every parameter to grad, a flat vector in the order of
// Config.Params.
func (n *Net) Backward(dOut, grad []float32) {
	c, e := n.config, n.e
	images := len(dOut) / c.ImageLen()
	n.params.BindGrad(grad)
	ds := e.Zeros(images, c.TimeChannels())
	dh := n.normOut.Backward(n.convOut.Backward(e.Wrap(dOut, images, c.Size, c.Size, c.OutChannels)))
	var dSkips []nn.Tensor
	for u := len(n.up) - 1; u >= 0; u-- {
		st := n.up[u]
		if st.resample != nil {
			dh = e.UpsampleGrad(st.resample.Backward(dh))
		}
		for j := len(st.res) - 1; j >= 0; j-- {
			joined := st.backward(j, dh, ds)
			var dSkip nn.Tensor
			dh, dSkip = e.SplitChannels(joined, st.block.in[j]-st.block.skip[j])
			dSkips = append(dSkips, dSkip)
		}
	}
	for j := len(n.mid.res) - 1; j >= 0; j-- {
		dh = n.mid.backward(j, dh, ds)
	}
	// dSkips is in the order of pushing, since the way up took the skip tensors
	// last in, first out.
	addSkip := func() {
		e.AddTo(dh, dSkips[len(dSkips)-1])
		dSkips = dSkips[:len(dSkips)-1]
	}
	for i := len(n.down) - 1; i >= 0; i-- {
		st := n.down[i]
		if st.resample != nil {
			addSkip()
			dh = st.resample.Backward(dh)
		}
		for j := len(st.res) - 1; j >= 0; j-- {
			addSkip()
			dh = st.backward(j, dh, ds)
		}
	}
	addSkip()
	n.convIn.BackwardParams(dh)
	n.time1.Backward(n.timeAct.Backward(n.time2.Backward(n.embAct.Backward(ds))))
}

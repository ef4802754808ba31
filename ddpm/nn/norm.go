package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// GroupNorm normalises each group of channels of each image (Wu and He 2018),
// then scales and shifts each channel; with SiLU it applies x·sigmoid(x) on top.
type GroupNorm struct {
	e          *Engine
	channels   int
	groups     int
	eps        float32
	silu       bool
	w, b       *Param
	x          Tensor
	mean, rstd Tensor
}

// NewGroupNorm builds the norm from the parameters name.weight and name.bias.
func NewGroupNorm(e *Engine, ps *Params, name string, channels, groups int, eps float64, silu bool) *GroupNorm {
	return &GroupNorm{
		e: e, channels: channels, groups: groups, eps: float32(eps), silu: silu,
		w: ps.Get(name+".weight", channels),
		b: ps.Get(name+".bias", channels),
	}
}

func (g *GroupNorm) geometry() kernel.GroupNorm {
	s := g.x.Shape()
	return kernel.GroupNorm{N: s[0], HW: s.TotalSize() / s[0] / g.channels, C: g.channels, Groups: g.groups, Eps: g.eps}
}

// Forward takes and returns [N, ..., channels].
func (g *GroupNorm) Forward(x Tensor) Tensor {
	g.x = x
	geo := g.geometry()
	g.mean, g.rstd = g.e.New(geo.N, geo.Groups), g.e.New(geo.N, geo.Groups)
	y := g.e.New(x.Shape()...)
	run := geo.Forward
	if g.silu {
		run = geo.ForwardSiLU
	}
	run(g.e.pool, x.Float32s(), g.w.W, g.b.W, y.Float32s(), g.mean.Float32s(), g.rstd.Float32s())
	return y
}

// Backward takes the gradient by y and returns that by x.
func (g *GroupNorm) Backward(dy Tensor) Tensor {
	geo := g.geometry()
	dx := g.e.New(g.x.Shape()...)
	mean, rstd := g.mean.Float32s(), g.rstd.Float32s()
	if g.silu {
		geo.BackwardSiLU(g.e.pool, dy.Float32s(), g.x.Float32s(), g.w.W, g.b.W, mean, rstd, dx.Float32s(), g.w.G, g.b.G)
	} else {
		geo.Backward(g.e.pool, dy.Float32s(), g.x.Float32s(), g.w.W, mean, rstd, dx.Float32s(), g.w.G, g.b.G)
	}
	return dx
}

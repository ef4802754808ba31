package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// GroupNorm normalises each group of channels of each image (Wu and He 2018),
// then scales and shifts each channel; with SiLU it applies x·sigmoid(x) on top.
type GroupNorm struct {
	e        *Engine
	channels int
	groups   int
	eps      float32
	silu     bool
	w, b     *Param
	// The statistics [N, groups] of the last Forward: so little that they are the
	// layer's own, and stay.
	mean, rstd []float32
}

// NewGroupNorm builds the norm from the parameters name.weight and name.bias.
func NewGroupNorm(e *Engine, ps *Params, name string, channels, groups int, eps float64, silu bool) *GroupNorm {
	return &GroupNorm{
		e: e, channels: channels, groups: groups, eps: float32(eps), silu: silu,
		w: ps.Get(name+".weight", channels),
		b: ps.Get(name+".bias", channels),
	}
}

func (g *GroupNorm) geometry(x Tensor) kernel.GroupNorm {
	s := x.Shape()
	return kernel.GroupNorm{N: s[0], HW: s.TotalSize() / s[0] / g.channels, C: g.channels, Groups: g.groups, Eps: g.eps}
}

// Forward takes and returns [N, ..., channels].
func (g *GroupNorm) Forward(x Tensor) Tensor {
	geo := g.geometry(x)
	if n := geo.N * geo.Groups; len(g.mean) < n {
		g.mean, g.rstd = make([]float32, n), make([]float32, n)
	}
	y := g.e.New(x.Shape()...)
	run := geo.Forward
	if g.silu {
		run = geo.ForwardSiLU
	}
	run(g.e.pool, x.Float32s(), g.w.W, g.b.W, y.Float32s(), g.mean, g.rstd)
	return y
}

// Repeat returns the last Forward's result again, given the same x.
func (g *GroupNorm) Repeat(x Tensor) Tensor {
	geo := g.geometry(x)
	y := g.e.New(x.Shape()...)
	run := geo.Repeat
	if g.silu {
		run = geo.RepeatSiLU
	}
	run(g.e.pool, x.Float32s(), g.w.W, g.b.W, g.mean, g.rstd, y.Float32s())
	return y
}

// Backward takes Forward's input and the gradient by its result, and turns the
// latter in place into the gradient by the input, which it returns.
func (g *GroupNorm) Backward(x, dy Tensor) Tensor {
	geo := g.geometry(x)
	d := dy.Float32s()
	if g.silu {
		geo.BackwardSiLU(g.e.pool, d, x.Float32s(), g.w.W, g.b.W, g.mean, g.rstd, d, g.w.G, g.b.G)
	} else {
		geo.Backward(g.e.pool, d, x.Float32s(), g.w.W, g.mean, g.rstd, d, g.w.G, g.b.G)
	}
	return dy
}

package nn

import (
	"fmt"
	"math"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// layer is what the gradient check drives. A backward that has kept x pays no heed
// to it.
type layer struct {
	pack     func()
	forward  func(x Tensor) Tensor
	backward func(x, dy Tensor) Tensor
}

// block is a layer that takes over what it is given.
func block(pack func(), forward, backward func(Tensor) Tensor) layer {
	return layer{pack, forward, func(_, dy Tensor) Tensor { return backward(dy) }}
}

// bench holds a layer's parameters as flat vectors, as the network does.
type bench struct {
	e    *Engine
	ps   *Params
	w, g []float32
}

func newBench(t *testing.T, threads int, declare func(*Params)) *bench {
	pool := kernel.NewPool(threads)
	t.Cleanup(pool.Close)
	b := &bench{e: NewEngine(pool), ps: NewParams()}
	declare(b.ps)
	b.w, b.g = make([]float32, b.ps.Len()), make([]float32, b.ps.Len())
	rng.Normals(b.w, 1, rng.Init, 0, 0)
	for i := range b.w {
		b.w[i] *= 0.3
	}
	b.ps.BindWeights(b.w)
	b.ps.BindGrad(b.g)
	return b
}

// check compares the layer's gradients with central differences of
// L = Σ r·y along random directions, for the input and for each parameter.
func (b *bench) check(t *testing.T, l layer, shape ...int) {
	t.Helper()
	n := 1
	for _, d := range shape {
		n *= d
	}
	x := make([]float32, n)
	rng.Normals(x, 2, rng.Init, 0, 1)
	var r []float32
	loss := func() float64 {
		b.e.Reset()
		l.pack()
		y := l.forward(b.e.Wrap(append([]float32(nil), x...), shape...)).Float32s()
		if r == nil {
			r = make([]float32, len(y))
			rng.Normals(r, 3, rng.Init, 0, 2)
		}
		sum := 0.0
		for i := range y {
			sum += float64(y[i]) * float64(r[i])
		}
		return sum
	}
	loss()
	dy := append([]float32(nil), r...)
	b.e.Reset()
	l.pack()
	input := b.e.Wrap(append([]float32(nil), x...), shape...)
	y := l.forward(input)
	clear(b.g)
	dx := append([]float32(nil), l.backward(input, b.e.Wrap(dy, y.Shape()...)).Float32s()...)
	dw := append([]float32(nil), b.g...)

	compare(t, "input", x, dx, loss)
	for name, p := range b.ps.byName {
		compare(t, name, b.w[p.off:p.off+p.len], dw[p.off:p.off+p.len], loss)
	}
}

// compare checks <grad, u> against (L(v+hu) - L(v-hu)) / 2h.
func compare(t *testing.T, name string, v, grad []float32, loss func() float64) {
	t.Helper()
	saved := append([]float32(nil), v...)
	defer copy(v, saved)
	norm := 0.0
	for _, g := range grad {
		norm += float64(g) * float64(g)
	}
	norm = math.Sqrt(norm)
	for trial := range 3 {
		u := make([]float32, len(v))
		rng.Normals(u, 4, rng.Init, uint64(trial), 3)
		length := 0.0
		for _, x := range u {
			length += float64(x) * float64(x)
		}
		length = math.Sqrt(length)
		const h = 1e-2
		at := func(sign float64) float64 {
			for i := range v {
				v[i] = saved[i] + float32(sign*h*float64(u[i])/length)
			}
			return loss()
		}
		want := (at(1) - at(-1)) / (2 * h)
		got := 0.0
		for i := range grad {
			got += float64(grad[i]) * float64(u[i]) / length
		}
		if math.Abs(got-want) > 5e-3*norm+1e-3 {
			t.Errorf("%s, direction %d: gradient gives %.6f, differences give %.6f (norm %.4f)", name, trial, got, want, norm)
		}
	}
}

func declareNorm(ps *Params, name string, c int) {
	ps.Declare(name+".weight", c)
	ps.Declare(name+".bias", c)
}

func declareLinear(ps *Params, name string, out, in int) {
	ps.Declare(name+".weight", out*in)
	ps.Declare(name+".bias", out)
}

func TestGradients(t *testing.T) {
	noPack := func() {}
	for name, run := range map[string]func(t *testing.T){
		"linear": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) { declareLinear(ps, "l", 7, 5) })
			l := NewLinear(b.e, b.ps, "l", 5, 7)
			b.check(t, layer{l.Pack, l.Forward, l.Backward}, 3, 5)
		},
		"conv 3x3": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) { declareLinear(ps, "c", 6, 5*9) })
			l := NewConv(b.e, b.ps, "c", 5, 6, 3)
			b.check(t, layer{l.Pack, l.Forward, l.Backward}, 2, 5, 4, 5)
		},
		"conv 1x1": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) { declareLinear(ps, "c", 6, 5) })
			l := NewConv(b.e, b.ps, "c", 5, 6, 1)
			b.check(t, layer{l.Pack, l.Forward, l.Backward}, 2, 3, 4, 5)
		},
		"downsample":                      func(t *testing.T) { testDownsample(t, false) },
		"downsample, padded on all sides": func(t *testing.T) { testDownsample(t, true) },
		"group norm": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) { declareNorm(ps, "n", 6) })
			l := NewGroupNorm(b.e, b.ps, "n", 6, 3, 1e-6, false)
			b.check(t, layer{noPack, l.Forward, l.Backward}, 2, 4, 4, 6)
		},
		"group norm with silu": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) { declareNorm(ps, "n", 6) })
			l := NewGroupNorm(b.e, b.ps, "n", 6, 3, 1e-6, true)
			b.check(t, layer{noPack, l.Forward, l.Backward}, 2, 4, 4, 6)
		},
		"silu": func(t *testing.T) {
			b := newBench(t, 2, func(*Params) {})
			b.check(t, layer{noPack, b.e.SiLU, b.e.SiLUGrad}, 3, 41)
		},
		"upsample": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) { declareLinear(ps, "c", 5, 5*9) })
			l := NewUpsample(b.e, b.ps, "c", 5)
			b.check(t, block(l.Pack, l.Forward, l.Backward), 2, 3, 4, 5)
		},
		"dropout": func(t *testing.T) {
			b := newBench(t, 2, func(*Params) {})
			l := NewDropout(b.e, 3, 0.4)
			masks := &Masks{Seed: 9, Keys: []Key{{Step: 1, Slot: 0}, {Step: 1, Slot: 1}}}
			forward := func(x Tensor) Tensor { l.Forward(x, masks); return x }
			backward := func(dy Tensor) Tensor { l.Backward(dy); return dy }
			b.check(t, block(noPack, forward, backward), 2, 3, 3, 5)
		},
		"join and split": func(t *testing.T) {
			b := newBench(t, 2, func(*Params) {})
			other := make([]float32, 2*3*3*2)
			forward := func(x Tensor) Tensor { return b.e.JoinChannels(x, b.e.Wrap(other, 2, 3, 3, 2)) }
			backward := func(dy Tensor) Tensor { dx, _ := b.e.SplitChannels(dy, 5); return dx }
			b.check(t, block(noPack, forward, backward), 2, 3, 3, 5)
		},
		"head": func(t *testing.T) {
			b := newBench(t, 2, func(ps *Params) {
				declareNorm(ps, "n", 6)
				declareLinear(ps, "c", 4, 6*9)
			})
			l := NewHead(b.e, NewGroupNorm(b.e, b.ps, "n", 6, 3, 1e-6, true), NewConv(b.e, b.ps, "c", 6, 4, 3))
			b.check(t, block(l.Pack, l.Forward, l.Backward), 2, 4, 4, 6)
		},
		"attention":          func(t *testing.T) { testAttention(t, 0) },
		"attention, 2 heads": func(t *testing.T) { testAttention(t, 4) },
	} {
		t.Run(name, run)
	}
	for _, skip := range []int{0, 2} {
		for _, in := range []int{4, 6} {
			t.Run(fmt.Sprintf("residual block %d and %d to 4", in, skip), func(t *testing.T) { testResBlock(t, in, skip, 4) })
		}
	}
}

func testDownsample(t *testing.T, allSides bool) {
	b := newBench(t, 2, func(ps *Params) { declareLinear(ps, "c", 5, 5*9) })
	l := NewDownsample(b.e, b.ps, "c", 5, allSides)
	b.check(t, block(l.Pack, l.Forward, l.Backward), 2, 6, 4, 5)
}

func testAttention(t *testing.T, headDim int) {
	b := newBench(t, 2, func(ps *Params) {
		declareNorm(ps, "a.group_norm", 8)
		for _, part := range []string{"to_q", "to_k", "to_v", "to_out.0"} {
			declareLinear(ps, "a."+part, 8, 8)
		}
	})
	l := NewAttention(b.e, b.ps, "a", 8, headDim, 4, 1e-6)
	b.check(t, block(l.Pack, l.Forward, l.Backward), 2, 3, 3, 8)
}

package nn

import (
	"math"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// How a loop is cut into ranges shows in no result: each layer gives the same bits
// in one range and in as many as there can be.
func TestCutsShowNowhere(t *testing.T) {
	const n, h, w, a, b = 3, 6, 4, 5, 8
	for name, compute := range map[string]func(e *Engine) []Tensor{
		"add to": func(e *Engine) []Tensor {
			x := noise(e, 1, n, h, w, a)
			e.AddTo(x, noise(e, 2, n, h, w, a))
			return []Tensor{x}
		},
		"add row": func(e *Engine) []Tensor {
			x := noise(e, 1, n*h*w, a)
			e.addRow(x.Float32s(), noise(e, 2, a).Float32s(), n*h*w)
			return []Tensor{x}
		},
		"add to pixels": func(e *Engine) []Tensor {
			x := noise(e, 1, n, h, w, a)
			e.addToPixels(x, noise(e, 2, n, a))
			return []Tensor{x, e.sumPixels(x)}
		},
		"SiLU": func(e *Engine) []Tensor {
			x := noise(e, 1, n, a)
			return []Tensor{e.SiLU(x), e.SiLUGrad(x, noise(e, 2, n, a))}
		},
		"join and split": func(e *Engine) []Tensor {
			y := e.JoinChannels(noise(e, 1, n, h, w, a), noise(e, 2, n, h, w, b))
			first, second := e.SplitChannels(y, b)
			return []Tensor{y, first, second}
		},
		"upsample": func(e *Engine) []Tensor {
			return []Tensor{e.Upsample(noise(e, 1, n, h, w, a)), e.UpsampleGrad(noise(e, 2, n, h, w, a))}
		},
		"dropout": func(e *Engine) []Tensor {
			x := noise(e, 1, n, h, w, a)
			NewDropout(e, 3, 0.3).Forward(x, &Masks{Seed: 4, Keys: []Key{{5, 6}, {5, 7}, {5, 8}}})
			return []Tensor{x}
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := compute(NewEngine(nil))
			for _, threads := range []int{2, 3, 16} {
				pool := kernel.NewPool(threads)
				e := NewEngine(pool)
				e.grain = 1
				for i, got := range compute(e) {
					requireBits(t, threads, got, want[i])
				}
				pool.Close()
			}
		})
	}
}

func noise(e *Engine, number uint32, shape ...int) Tensor {
	x := e.New(shape...)
	rng.Normals(x.Float32s(), 9, rng.Init, 0, number)
	return x
}

func requireBits(t *testing.T, threads int, got, want Tensor) {
	t.Helper()
	g, w := got.Float32s(), want.Float32s()
	if len(g) != len(w) || len(g) == 0 {
		t.Fatalf("%d threads: %d elements, one has %d", threads, len(g), len(w))
	}
	for i := range w {
		if math.Float32bits(g[i]) != math.Float32bits(w[i]) {
			t.Fatalf("%d threads: element %d is %v, one has %v", threads, i, g[i], w[i])
		}
	}
}

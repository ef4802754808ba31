package kernel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestPoolFor checks that ranges cover everything once and keep to the grain,
// also when loops follow each other so closely that helpers still spin.
func TestPoolFor(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 3, 8} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			p := NewPool(threads)
			defer p.Close()
			if want := max(threads, 1); p.Threads() != want {
				t.Fatalf("Threads is %d, want %d", p.Threads(), want)
			}
			for _, n := range []int{0, 1, 2, 7, 64, 1000} {
				for _, grain := range []int{1, 3, 64, 5000} {
					seen := make([]atomic.Int32, n)
					p.For(n, grain, func(lo, hi int) {
						if lo%grain != 0 || hi%grain != 0 && hi != n || lo >= hi {
							t.Errorf("n %d, grain %d: range [%d, %d)", n, grain, lo, hi)
						}
						for i := lo; i < hi; i++ {
							seen[i].Add(1)
						}
					})
					for i := range seen {
						if c := seen[i].Load(); c != 1 {
							t.Fatalf("n %d, grain %d: index %d seen %d times", n, grain, i, c)
						}
					}
				}
			}
		})
	}
}

// TestPoolSleeps runs loops on helpers that have gone to sleep.
func TestPoolSleeps(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for range 5 {
		for i := range p.helpers {
			for p.helpers[i].state.Load() != helperAsleep {
				p.helpers[i].state.Load()
			}
		}
		var sum atomic.Int64
		p.For(100, 1, func(lo, hi int) { sum.Add(int64(hi - lo)) })
		if sum.Load() != 100 {
			t.Fatalf("the loop ran %d of 100 times", sum.Load())
		}
	}
}

func TestPoolAfterClose(t *testing.T) {
	p := NewPool(4)
	p.Close()
	p.Close()
	var none *Pool
	none.Close()
	for _, q := range []*Pool{p, none} {
		ran := 0
		q.For(10, 1, func(lo, hi int) { ran += hi - lo })
		if ran != 10 {
			t.Errorf("a closed or nil pool ran %d of 10", ran)
		}
	}
	if none.Threads() != 1 {
		t.Errorf("a nil pool has %d threads", none.Threads())
	}
}

// TestSteadyStateAllocations checks that scratch memory is reused.
func TestSteadyStateAllocations(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	c := Conv{N: 2, H: 8, W: 8, Cin: 16, Cout: 24, K: 3, Stride: 1, Pad: 1, PadEnd: 1}
	rng := newRand(t)
	x, w, dy := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights()), randoms(rng, c.pixelsOut()*c.Cout)
	y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
	g := GroupNorm{N: 2, HW: 64, C: 16, Groups: 4, Eps: 1e-6}
	gamma, mean, rstd := randoms(rng, 16), make([]float32, 8), make([]float32, 8)
	var pk, pg Packed
	step := func() {
		c.PackForward(p, &pk, w)
		c.Forward(p, x, &pk, nil, y)
		c.PackGradInput(p, &pg, w)
		c.GradInput(p, dy, &pg, dx)
		c.GradWeight(p, x, dy, dw)
		g.ForwardSiLU(p, x, gamma, gamma, dx, mean, rstd)
		SoftmaxRows(p, y, 128, 24, 1)
		SumSquares(p, dw)
	}
	step()
	const steps = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	bytes := (after.TotalAlloc - before.TotalAlloc) / steps
	// Closures, no buffers: the smallest buffer here has 24·128·4 bytes.
	if bytes > 4096 {
		t.Errorf("a repeated step allocates %d bytes", bytes)
	}
}

package main

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// kernelBench is a call of a kernel with the work that it does: floating-point
// operations, or bytes read and written.
type kernelBench struct {
	name         string
	flops, bytes float64
	run          func()
}

// benchShapes are convolutions of the built-in networks, with so few images that a
// call takes some milliseconds: the fastest of many is then one that nothing disturbed.
func benchShapes(portable bool) []kernel.Conv {
	same := func(n, size, in, out, k int) kernel.Conv {
		return kernel.Conv{N: n, H: size, W: size, Cin: in, Cout: out, K: k, Stride: 1, Pad: k / 2, PadEnd: k / 2}
	}
	if portable {
		return []kernel.Conv{same(1, 16, 128, 128, 3)}
	}
	return []kernel.Conv{
		same(1, 32, 128, 128, 3), same(1, 32, 256, 256, 3), same(1, 16, 128, 128, 3), same(2, 16, 256, 256, 3), same(2, 16, 512, 256, 3),
		same(2, 16, 512, 512, 3), same(8, 8, 256, 256, 3), same(8, 4, 256, 256, 3), same(8, 28, 32, 32, 3), same(8, 14, 64, 64, 3),
		same(2, 16, 256, 256, 1),
		{N: 2, H: 32, W: 32, Cin: 128, Cout: 128, K: 3, Stride: 2, PadEnd: 1},
	}
}

// kernelBenches lists the kernels; portable Go gets less to do.
func kernelBenches(pool *kernel.Pool, portable bool) []kernelBench {
	size, elements := 1024, 1<<20
	if portable {
		size, elements = 256, 1<<16
	}
	all := []kernelBench{gemmBench(pool, size)}
	for _, c := range benchShapes(portable) {
		all = append(all, convBenches(pool, c)...)
	}
	return append(all, memoryBenches(pool, elements)...)
}

func gemmBench(pool *kernel.Pool, n int) kernelBench {
	a, b, c := noise(n*n), noise(n*n), hugepages.Make[float32](n*n)
	mat := func(data []float32) kernel.Mat {
		return kernel.Mat{Data: data, Rows: n, Cols: n, RowStride: n, ColStride: 1}
	}
	return kernelBench{name: fmt.Sprintf("GEMM %d×%d×%d", n, n, n), flops: 2 * float64(n) * float64(n) * float64(n), run: func() {
		kernel.Gemm(pool, mat(a), mat(b), c, n, false)
	}}
}

// convBenches is the three passes by direct sums, and by Winograd where it suits.
func convBenches(pool *kernel.Pool, c kernel.Conv) []kernelBench {
	in, out := c.N*c.H*c.W*c.Cin, c.N*c.OutH()*c.OutW()*c.Cout
	weights := c.Cout * c.Cin * c.K * c.K
	x, w, dy, bias := noise(in), noise(weights), noise(out), noise(c.Cout)
	y, dx, dw := hugepages.Make[float32](out), hugepages.Make[float32](in), hugepages.Make[float32](weights)
	var forward, grad kernel.Packed
	c.PackForward(pool, &forward, w)
	c.PackGradInput(pool, &grad, w)
	of := func(what string, run func()) kernelBench {
		name := fmt.Sprintf("%s %d images %d×%d, %d to %d channels, %d×%d", what, c.N, c.H, c.W, c.Cin, c.Cout, c.K, c.K)
		if c.Stride > 1 {
			name += fmt.Sprintf(" by %d", c.Stride)
		}
		return kernelBench{name: name, flops: 2 * float64(out) * float64(c.Cin*c.K*c.K), run: run}
	}
	all := []kernelBench{
		of("convolution", func() { c.Forward(pool, x, &forward, bias, y) }),
		of("gradient by data", func() { c.GradInput(pool, dy, &grad, dx) }),
		of("gradient by weights", func() { c.GradWeight(pool, x, dy, dw) }),
	}
	if c.Winograd() {
		all = append(all,
			of("Winograd convolution", func() { c.WinogradForward(pool, x, w, bias, y) }),
			of("Winograd gradient by data", func() { c.WinogradGradInput(pool, dy, w, dx) }),
			of("Winograd gradient by weights", func() { c.WinogradGradWeight(pool, x, dy, dw) }))
	}
	return all
}

// memoryBenches is what moves more than it computes, n values each.
func memoryBenches(pool *kernel.Pool, n int) []kernelBench {
	const channels, groups, cols = 128, 32, 256
	g := kernel.GroupNorm{N: 8, HW: n / 8 / channels, C: channels, Groups: groups, Eps: 1e-6}
	x, dy, y := noise(n), noise(n), hugepages.Make[float32](n)
	gamma, beta := noise(channels), noise(channels)
	dgamma, dbeta := make([]float32, channels), make([]float32, channels)
	mean, rstd := make([]float32, g.N*groups), make([]float32, g.N*groups)
	w, m, v, ema := noise(n), hugepages.Make[float32](n), hugepages.Make[float32](n), hugepages.Make[float32](n)
	adam := kernel.AdamStep{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Bias1: 0.1, Bias2: 0.001, GradScale: 1, EMADecay: 0.999}
	of := func(what string, vectors float64, run func()) kernelBench {
		return kernelBench{name: fmt.Sprintf("%s of %d values", what, n), bytes: 4 * vectors * float64(n), run: run}
	}
	return []kernelBench{
		of("GroupNorm and SiLU", 2, func() { g.ForwardSiLU(pool, x, gamma, beta, y, mean, rstd) }),
		of("GroupNorm and SiLU, gradient", 3, func() { g.BackwardSiLU(pool, dy, x, gamma, beta, mean, rstd, y, dgamma, dbeta) }),
		of("SiLU", 2, func() { kernel.SiLU(y, x) }),
		of("softmax of rows of 256", 2, func() { kernel.SoftmaxRows(pool, y, n/cols, cols, 0.1) }),
		of("Adam and moving average", 9, func() { adam.Apply(pool, w, m, v, ema, x) }),
	}
}

// noise returns n normally distributed values, in memory as a step has them.
func noise(n int) []float32 {
	x := hugepages.Make[float32](n)
	rng.Normals(x, 1, rng.Noise, 0, 0)
	return x
}

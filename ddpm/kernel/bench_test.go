package kernel

import "testing"

// BenchmarkFMAPeak is what no product can exceed.
func BenchmarkFMAPeak(b *testing.B) {
	const rounds = 10_000
	flops := 0
	for b.Loop() {
		flops += FMAPeak(rounds)
	}
	b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// BenchmarkGemm multiplies matrices of 1024×1024.
func BenchmarkGemm(b *testing.B) {
	const n = 1024
	rng := newRand(b)
	x, y, c := randoms(rng, n*n), randoms(rng, n*n), make([]float32, n*n)
	onPools(b, 2*n*n*n, func(p *Pool) {
		Gemm(p, Mat{x, n, n, n, 1}, Mat{y, n, n, n, 1}, c, n, false)
	})
}

var benchConvs = []struct {
	name string
	Conv
}{
	{"32ch16x16N8", Conv{N: 8, H: 16, W: 16, Cin: 32, Cout: 32, K: 3, Stride: 1, Pad: 1, PadEnd: 1}},
	{"128ch32x32N2", Conv{N: 2, H: 32, W: 32, Cin: 128, Cout: 128, K: 3, Stride: 1, Pad: 1, PadEnd: 1}},
	{"128ch32x32N8", same3(8, 32, 32, 128, 128)},
	{"256ch16x16N8", same3(8, 16, 16, 256, 256)},
	{"256ch8x8N8", same3(8, 8, 8, 256, 256)},
	{"32ch24x24N4", same3(4, 24, 24, 32, 32)},
	{"64ch12x12N4", same3(4, 12, 12, 64, 64)},
	{"64ch6x6N4", same3(4, 6, 6, 64, 64)},
	{"256ch4x4N8", Conv{N: 8, H: 4, W: 4, Cin: 256, Cout: 256, K: 3, Stride: 1, Pad: 1, PadEnd: 1}},
	{"128chDown32x32N2", Conv{N: 2, H: 32, W: 32, Cin: 128, Cout: 128, K: 3, Stride: 2, Pad: 0, PadEnd: 1}},
}

// BenchmarkConv runs the three passes, weights packed beforehand.
func BenchmarkConv(b *testing.B) {
	for _, bc := range benchConvs {
		c := bc.Conv
		rng := newRand(b)
		x, w, dy := randoms(rng, c.pixelsIn()*c.Cin), randoms(rng, c.weights()), randoms(rng, c.pixelsOut()*c.Cout)
		bias, y, dx, dw := randoms(rng, c.Cout), make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		var forward, grad Packed
		c.PackForward(nil, &forward, w)
		c.PackGradInput(nil, &grad, w)
		work := 2 * float64(c.pixelsOut()*c.Cin*c.Cout*c.K*c.K)
		b.Run(bc.name+"/Forward", func(b *testing.B) {
			onPools(b, work, func(p *Pool) { c.Forward(p, x, &forward, bias, y) })
		})
		b.Run(bc.name+"/GradInput", func(b *testing.B) {
			onPools(b, work, func(p *Pool) { c.GradInput(p, dy, &grad, dx) })
		})
		b.Run(bc.name+"/GradWeight", func(b *testing.B) {
			onPools(b, work, func(p *Pool) { c.GradWeight(p, x, dy, dw) })
		})
		if c.Winograd() {
			b.Run(bc.name+"/WinogradForward", func(b *testing.B) {
				onPools(b, work, func(p *Pool) { c.WinogradForward(p, x, w, bias, y) })
			})
			b.Run(bc.name+"/WinogradGradInput", func(b *testing.B) {
				onPools(b, work, func(p *Pool) { c.WinogradGradInput(p, dy, w, dx) })
			})
			b.Run(bc.name+"/WinogradGradWeight", func(b *testing.B) {
				onPools(b, work, func(p *Pool) { c.WinogradGradWeight(p, x, dy, dw) })
			})
		}
		b.Run(bc.name+"/Pack", func(b *testing.B) {
			onPools(b, 0, func(p *Pool) { c.PackForward(p, &forward, w); c.PackGradInput(p, &grad, w) })
		})
	}
}

// BenchmarkGroupNorm runs the fused normalisation on activations that do not fit
// the first-level cache.
func BenchmarkGroupNorm(b *testing.B) {
	g := GroupNorm{N: 8, HW: 256, C: 128, Groups: 32, Eps: 1e-6}
	rng := newRand(b)
	n := g.N * g.HW * g.C
	x, dy, y, dx := randoms(rng, n), randoms(rng, n), make([]float32, n), make([]float32, n)
	gamma, beta := randoms(rng, g.C), randoms(rng, g.C)
	mean, rstd := make([]float32, g.N*g.Groups), make([]float32, g.N*g.Groups)
	dgamma, dbeta := make([]float32, g.C), make([]float32, g.C)
	b.Run("Forward", func(b *testing.B) {
		b.SetBytes(int64(8 * n))
		onPools(b, 0, func(p *Pool) { g.Forward(p, x, gamma, beta, y, mean, rstd) })
	})
	b.Run("ForwardSiLU", func(b *testing.B) {
		b.SetBytes(int64(8 * n))
		onPools(b, 0, func(p *Pool) { g.ForwardSiLU(p, x, gamma, beta, y, mean, rstd) })
	})
	b.Run("BackwardSiLU", func(b *testing.B) {
		b.SetBytes(int64(12 * n))
		onPools(b, 0, func(p *Pool) { g.BackwardSiLU(p, dy, x, gamma, beta, mean, rstd, dx, dgamma, dbeta) })
	})
}

// BenchmarkElementwise runs the activations and the update on 64 Ki values.
func BenchmarkElementwise(b *testing.B) {
	const n = 1 << 16
	rng := newRand(b)
	x, y, z := randoms(rng, n), make([]float32, n), randoms(rng, n)
	m, v, ema := make([]float32, n), make([]float32, n), make([]float32, n)
	for _, k := range []struct {
		name string
		run  func()
	}{
		{"SiLU", func() { SiLU(y, x) }},
		{"SiLUGrad", func() { SiLUGrad(y, z, x) }},
		{"Exp", func() { Exp(y, x) }},
		{"Softmax64", func() { SoftmaxRows(nil, y, n/64, 64, 0.1) }},
		{"Adam", func() {
			AdamStep{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Bias1: 0.1, Bias2: 0.001, GradScale: 1, EMADecay: 0.999}.
				Apply(nil, z, m, v, ema, x)
		}},
		{"SumSquares", func() { SumSquares(nil, x) }},
	} {
		b.Run(k.name, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				k.run()
			}
		})
	}
}

// onPools times run on one thread and on two, and reports its speed when it has
// a number of floating-point operations.
func onPools(b *testing.B, work float64, run func(p *Pool)) {
	for _, threads := range []int{1, 2} {
		b.Run(map[int]string{1: "1thread", 2: "2threads"}[threads], func(b *testing.B) {
			p := NewPool(threads)
			defer p.Close()
			for b.Loop() {
				run(p)
			}
			if work > 0 {
				b.ReportMetric(work*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			}
		})
	}
}

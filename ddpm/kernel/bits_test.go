package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A kernelCase is one call for the tests that compare levels and thread counts:
// operands are inputs and outputs alike, and run leaves its results in them.
type kernelCase struct {
	name string
	lens []int
	run  func(p *Pool, s [][]float32)
}

// TestLevelsAgree runs every kernel in portable Go and in assembly, with
// unaligned operands and special values between guard words.
func TestLevelsAgree(t *testing.T) {
	rng := newRand(t)
	for _, k := range kernelCases() {
		for trial := range 2 {
			operands := operandsFor(rng, k, trial > 0)
			offset := rng.IntN(8)
			t.Run(fmt.Sprintf("%s/%d", k.name, trial), func(t *testing.T) {
				want := runCase(t, LevelPortable, 1, k, operands, 0)
				for _, l := range []Level{LevelAVX2, LevelAVX512} {
					got := runCase(t, l, 1, k, operands, offset)
					for i := range want {
						compareBits(t, fmt.Sprintf("%s, operand %d", l, i), got[i], want[i])
					}
				}
			})
		}
	}
}

// TestThreadsAgree runs every kernel on several numbers of threads.
func TestThreadsAgree(t *testing.T) {
	rng := newRand(t)
	for _, k := range kernelCases() {
		operands := operandsFor(rng, k, false)
		t.Run(k.name, func(t *testing.T) {
			want := runCase(t, ActiveLevel(), 0, k, operands, 0)
			for _, threads := range []int{1, 2, 3} {
				got := runCase(t, ActiveLevel(), threads, k, operands, 0)
				for i := range want {
					compareBits(t, fmt.Sprintf("%d threads, operand %d", threads, i), got[i], want[i])
				}
			}
		})
	}
}

// operandsFor draws a kernel's operands.
func operandsFor(rng *rand.Rand, k kernelCase, special bool) [][]float32 {
	var s [][]float32
	for _, n := range k.lens {
		if special {
			s = append(s, withSpecials(rng, n))
		} else {
			s = append(s, randoms(rng, n))
		}
	}
	return s
}

// runCase runs a kernel on copies of the operands and returns them. No threads
// stand for a nil pool.
func runCase(t *testing.T, l Level, threads int, k kernelCase, operands [][]float32, offset int) [][]float32 {
	setLevel(t, l)
	var p *Pool
	if threads > 0 {
		p = NewPool(threads)
		defer p.Close()
	}
	var all []guarded
	var s [][]float32
	for _, o := range operands {
		g := newGuarded(o, offset)
		all, s = append(all, g), append(s, g.data)
	}
	k.run(p, s)
	for i, g := range all {
		g.check(t, fmt.Sprintf("%s, operand %d", l, i))
	}
	return s
}

// kernelCases lists every kernel at many sizes.
func kernelCases() []kernelCase {
	var cases []kernelCase
	for n := range 71 {
		cases = append(cases, elementwiseCases(n)...)
	}
	for _, n := range []int{4095, 4096, 4097, 10_000} {
		cases = append(cases, updateCases(n)...)
	}
	for cols := 1; cols <= 70; cols++ {
		cases = append(cases, rowCases(3, cols)...)
	}
	for _, rows := range []int{0, 1, 63, 64, 65, 130} {
		for _, cols := range []int{1, 8, 13, 16, 24, 37} {
			cases = append(cases, rowCases(rows, cols)...)
		}
	}
	for _, g := range normCases {
		cases = append(cases, groupNormCases(g)...)
	}
	for _, m := range []int{1, 2, 5, 6, 7, 13, 100, 200} {
		for _, n := range []int{3, 16, 33} {
			for _, k := range []int{0, 1, 3, 4, 257, 520} {
				if m < 100 || k == 257 {
					cases = append(cases, gemmCases(m, n, k)...)
				}
			}
		}
	}
	// Strides that make a product copy its left operand.
	cases = append(cases, gemmCases(7, 70, 512)...)
	cases = append(cases, gemmCases(512, 70, 9)...)
	for _, c := range convCases {
		cases = append(cases, convKernelCases(c)...)
	}
	for _, c := range winogradCases {
		cases = append(cases, winogradKernelCases(c)...)
	}
	return cases
}

func elementwiseCases(n int) []kernelCase {
	two, three := []int{n, n}, []int{n, n, n}
	named := func(name string, lens []int, run func(s [][]float32)) kernelCase {
		return kernelCase{fmt.Sprintf("%s/%d", name, n), lens, func(_ *Pool, s [][]float32) { run(s) }}
	}
	return append([]kernelCase{
		named("Exp", two, func(s [][]float32) { Exp(s[0], s[1]) }),
		named("SiLU", two, func(s [][]float32) { SiLU(s[0], s[1]) }),
		named("SiLUGrad", three, func(s [][]float32) { SiLUGrad(s[0], s[1], s[2]) }),
		named("SiLUGradInPlace", two, func(s [][]float32) { SiLUGrad(s[0], s[0], s[1]) }),
		named("Add", three, func(s [][]float32) { Add(s[0], s[1], s[2]) }),
		named("AddTo", two, func(s [][]float32) { AddTo(s[0], s[1]) }),
		named("Scale", []int{n}, func(s [][]float32) { Scale(s[0], 1.7) }),
		named("Axpy", two, func(s [][]float32) { Axpy(s[0], -0.3, s[1]) }),
	}, updateCases(n)...)
}

func updateCases(n int) []kernelCase {
	step := AdamStep{LR: 2e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Bias1: 0.271, Bias2: 0.002997, GradScale: 0.125, EMADecay: 0.9999}
	return []kernelCase{
		{fmt.Sprintf("Adam/%d", n), []int{n, n, n, n, n}, func(p *Pool, s [][]float32) { step.Apply(p, s[0], s[1], s[2], s[3], s[4]) }},
		{fmt.Sprintf("SumSquares/%d", n), []int{n, 4}, func(p *Pool, s [][]float32) {
			copy(s[1], words(SumSquares(p, s[0])))
		}},
	}
}

// words returns the bits of a float64 as four small whole numbers, the same for
// every NaN.
func words(v float64) []float32 {
	u := math.Float64bits(v)
	if v != v {
		u = math.Float64bits(math.NaN())
	}
	return []float32{float32(u >> 48), float32(u >> 32 & 0xffff), float32(u >> 16 & 0xffff), float32(u & 0xffff)}
}

func rowCases(rows, cols int) []kernelCase {
	n := rows * cols
	named := func(name string, lens []int, run func(p *Pool, s [][]float32)) kernelCase {
		return kernelCase{fmt.Sprintf("%s/%dx%d", name, rows, cols), lens, run}
	}
	return []kernelCase{
		named("AddRow", []int{n, cols}, func(_ *Pool, s [][]float32) { AddRow(s[0], s[1], rows, cols) }),
		named("ColSum", []int{cols, n}, func(p *Pool, s [][]float32) { ColSum(p, s[0], s[1], 1, rows, cols, false) }),
		named("ColSumAccumulate", []int{cols, n}, func(p *Pool, s [][]float32) { ColSum(p, s[0], s[1], 1, rows, cols, true) }),
		named("SoftmaxRows", []int{n}, func(p *Pool, s [][]float32) { SoftmaxRows(p, s[0], rows, cols, 0.3) }),
		named("SoftmaxRowsGrad", []int{n, n, n}, func(p *Pool, s [][]float32) {
			SoftmaxRowsGrad(p, s[0], s[1], s[2], rows, cols, 0.3)
		}),
	}
}

// normCases has group widths on both sides of a vector's.
var normCases = []GroupNorm{
	{N: 1, HW: 1, C: 1, Groups: 1, Eps: 1e-6},
	{N: 2, HW: 16, C: 32, Groups: 8, Eps: 1e-6},
	{N: 3, HW: 65, C: 12, Groups: 3, Eps: 1e-5},
	{N: 2, HW: 130, C: 20, Groups: 4, Eps: 1e-6},
	{N: 1, HW: 70, C: 64, Groups: 16, Eps: 1e-6}, // threads share the channels
	{N: 2, HW: 65, C: 60, Groups: 15, Eps: 1e-6}, // and the last has no whole vector
	{N: 1, HW: 64, C: 7, Groups: 7, Eps: 1e-6},
	{N: 4, HW: 49, C: 45, Groups: 5, Eps: 1e-6},
	{N: 0, HW: 4, C: 8, Groups: 2, Eps: 1e-6},
}

func groupNormCases(g GroupNorm) []kernelCase {
	n, c, m := g.N*g.HW*g.C, g.C, g.N*g.Groups
	return []kernelCase{
		{fmt.Sprintf("GroupNorm/%+v", g), []int{n, c, c, n, m, m}, func(p *Pool, s [][]float32) {
			g.Forward(p, s[0], s[1], s[2], s[3], s[4], s[5])
		}},
		{fmt.Sprintf("GroupNormSiLU/%+v", g), []int{n, c, c, n, m, m}, func(p *Pool, s [][]float32) {
			g.ForwardSiLU(p, s[0], s[1], s[2], s[3], s[4], s[5])
		}},
		{fmt.Sprintf("GroupNormRepeat/%+v", g), []int{n, c, c, m, m, n}, func(p *Pool, s [][]float32) {
			g.Repeat(p, s[0], s[1], s[2], s[3], s[4], s[5])
		}},
		{fmt.Sprintf("GroupNormRepeatSiLU/%+v", g), []int{n, c, c, m, m, n}, func(p *Pool, s [][]float32) {
			g.RepeatSiLU(p, s[0], s[1], s[2], s[3], s[4], s[5])
		}},
		{fmt.Sprintf("GroupNormBackward/%+v", g), []int{n, n, c, m, m, n, c, c}, func(p *Pool, s [][]float32) {
			g.Backward(p, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])
		}},
		{fmt.Sprintf("GroupNormBackwardSiLU/%+v", g), []int{n, n, c, c, m, m, n, c, c}, func(p *Pool, s [][]float32) {
			g.BackwardSiLU(p, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8])
		}},
		{fmt.Sprintf("GroupNormBackwardInPlace/%+v", g), []int{n, n, c, m, m, c, c}, func(p *Pool, s [][]float32) {
			g.Backward(p, s[0], s[1], s[2], s[3], s[4], s[0], s[5], s[6])
		}},
	}
}

func gemmCases(m, n, k int) []kernelCase {
	const gap = 5 // c's rows are this much further apart than they are long
	lens := []int{m * k, k * n, m*(n+gap) + 1}
	var cases []kernelCase
	for _, v := range []struct {
		name       string
		accumulate bool
		a, b       Mat
	}{
		{"Gemm", false, Mat{nil, m, k, k, 1}, Mat{nil, k, n, n, 1}},
		{"GemmAccumulate", true, Mat{nil, m, k, k, 1}, Mat{nil, k, n, 1, k}},
		{"GemmTransposed", false, Mat{nil, m, k, 1, m}, Mat{nil, k, n, n, 1}},
	} {
		cases = append(cases, kernelCase{fmt.Sprintf("%s/%dx%dx%d", v.name, m, n, k), lens, func(p *Pool, s [][]float32) {
			a, b := v.a, v.b
			a.Data, b.Data = s[0], s[1]
			Gemm(p, a, b, s[2], n+gap, v.accumulate)
		}})
	}
	return cases
}

func convKernelCases(c Conv) []kernelCase {
	x, w, y := c.pixelsIn()*c.Cin, c.weights(), c.pixelsOut()*c.Cout
	return []kernelCase{
		{fmt.Sprintf("ConvForward/%+v", c), []int{x, w, c.Cout, y}, func(p *Pool, s [][]float32) {
			var pk Packed
			c.PackForward(p, &pk, s[1])
			c.Forward(p, s[0], &pk, s[2], s[3])
		}},
		{fmt.Sprintf("ConvGradInput/%+v", c), []int{y, w, x}, func(p *Pool, s [][]float32) {
			var pk Packed
			c.PackGradInput(p, &pk, s[1])
			c.GradInput(p, s[0], &pk, s[2])
		}},
		{fmt.Sprintf("ConvGradWeight/%+v", c), []int{x, y, w}, func(p *Pool, s [][]float32) {
			c.GradWeight(p, s[0], s[1], s[2])
		}},
	}
}

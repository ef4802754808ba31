package kernel

import (
	"fmt"
	"math"
)

// GroupNorm normalises each group of channels of each image (Wu and He, "Group
// Normalization", 2018): activations [N,HW,C], where group g is channels
// [g·C/Groups, (g+1)·C/Groups). Eps is added to the biased variance.
//
// In the meanings below a "channel sum" of a value over the pixels of one image
// is: for blocks of SumBlock pixels, ascending, a float32 chain from +0; the
// blocks' results converted to float64 and added ascending from 0. A group's sum
// adds its channels' sums ascending in float64. M is HW·C/Groups.
type GroupNorm struct {
	N, HW, C, Groups int
	Eps              float32
}

// Forward computes y = (x-mean)·rstd·gamma + beta. x and y are [N,HW,C], gamma and
// beta [C]; mean and rstd [N,Groups] are kept for Repeat and Backward. y may be x.
//
// Meaning: mean is the group's sum of x (chain p = p + x) divided by M in float64,
// rounded to float32. v is the group's sum of squares (d = x-mean, chain
// p = FMA(d, d, p)) divided by M in float64; rstd = 1/sqrt(v + Eps) in float64,
// rounded to float32. y = FMA(x-mean, rstd·gamma, beta).
func (g GroupNorm) Forward(p *Pool, x, gamma, beta, y, mean, rstd []float32) {
	g.forward(p, x, gamma, beta, y, mean, rstd, normalize, true)
}

// ForwardSiLU computes y = SiLU(z), with z as Forward's y.
func (g GroupNorm) ForwardSiLU(p *Pool, x, gamma, beta, y, mean, rstd []float32) {
	g.forward(p, x, gamma, beta, y, mean, rstd, normalizeSiLU, true)
}

// Repeat computes Forward's y again from the mean and rstd that it kept.
func (g GroupNorm) Repeat(p *Pool, x, gamma, beta, mean, rstd, y []float32) {
	g.forward(p, x, gamma, beta, y, mean, rstd, normalize, false)
}

// RepeatSiLU computes ForwardSiLU's y again from the mean and rstd that it kept.
func (g GroupNorm) RepeatSiLU(p *Pool, x, gamma, beta, mean, rstd, y []float32) {
	g.forward(p, x, gamma, beta, y, mean, rstd, normalizeSiLU, false)
}

func (g GroupNorm) forward(p *Pool, x, gamma, beta, y, mean, rstd []float32, apply func(y, x []float32, n normRows), measure bool) {
	g.check()
	need("x", x, g.N*g.HW*g.C)
	need("y", y, g.N*g.HW*g.C)
	need("gamma", gamma, g.C)
	need("beta", beta, g.C)
	need("mean", mean, g.N*g.Groups)
	need("rstd", rstd, g.N*g.Groups)
	p.columns(g.N, g.C, g.grain(), func(ws *workspace, i, from, to int) {
		at, end := i*g.HW*g.C+from, (i+1)*g.HW*g.C
		m, r := g.ofImage(mean, i, from, to), g.ofImage(rstd, i, from, to)
		n := normRows{rows: g.HW, stride: g.C, beta: beta[from:to]}
		n.mean, n.factor = grow(&ws.floats[0], to-from), grow(&ws.floats[1], to-from)
		if measure {
			g.moments(ws, x[at:end], m, r, n.mean)
		}
		g.spread(n.mean, m)
		g.spread(n.factor, r)
		for c, v := range gamma[from:to] {
			n.factor[c] *= v
		}
		apply(y[at:end], x[at:end], n)
	})
}

// grain returns the fewest channels that an image may be cut into: whole groups,
// and whole cache lines if that leaves anything to cut.
func (g GroupNorm) grain() int {
	width := g.C / g.Groups
	for n := width; n < g.C; n += width {
		if n%lineFloats == 0 {
			return n
		}
	}
	return g.C
}

// ofImage returns the part of [N,Groups] that belongs to channels [from, to) of
// image i.
func (g GroupNorm) ofImage(groups []float32, i, from, to int) []float32 {
	width := g.C / g.Groups
	return groups[i*g.Groups+from/width : i*g.Groups+to/width]
}

// moments computes mean and rstd of the groups of some channels of an image. x
// begins at the first channel; each channel's mean is left in channelMean.
func (g GroupNorm) moments(ws *workspace, x, mean, rstd, channelMean []float32) {
	cols := len(channelMean)
	part, sums := grow(&ws.floats[2], cols), grow(&ws.doubles, cols)
	clear(sums)
	g.blocks(func(at, rows int) {
		clear(part)
		colSumTo(part, x[at:], rows, g.C)
		widenAdd(sums, part)
	})
	for i := range mean {
		mean[i] = float32(g.groupSum(sums, i) / float64(g.HW*g.C/g.Groups))
	}
	g.spread(channelMean, mean)
	clear(sums)
	g.blocks(func(at, rows int) {
		squareSums(part, x[at:], channelMean, rows, g.C)
		widenAdd(sums, part)
	})
	for i := range rstd {
		v := g.groupSum(sums, i) / float64(g.HW*g.C/g.Groups)
		rstd[i] = float32(1 / math.Sqrt(v+float64(g.Eps)))
	}
}

// blocks calls body for every block of pixels of an image: its first element, and
// its number of pixels.
func (g GroupNorm) blocks(body func(at, rows int)) {
	for r := 0; r < g.HW; r += SumBlock {
		body(r*g.C, min(SumBlock, g.HW-r))
	}
}

// groupSum adds the channels of one group.
func (g GroupNorm) groupSum(sums []float64, group int) float64 {
	n := g.C / g.Groups
	var s float64
	for _, v := range sums[group*n : (group+1)*n] {
		s += v
	}
	return s
}

// spread gives every channel its group's value.
func (g GroupNorm) spread(dst, groups []float32) {
	n := g.C / g.Groups
	for c := range dst {
		dst[c] = groups[c/n]
	}
}

// check panics when the sizes make no normalisation.
func (g GroupNorm) check() {
	if g.N < 0 || min(g.HW, g.C, g.Groups) < 1 || g.C%g.Groups != 0 {
		panic(fmt.Sprintf("kernel: no such group normalisation: %+v", g))
	}
}

// normRows are the values that some channels of an image are normalised with:
// z = FMA(x-mean, factor, beta) for rows pixels, which lie stride elements apart.
// mean, factor and beta have one value for each of the channels.
type normRows struct {
	rows, stride       int
	mean, factor, beta []float32
}

package nn

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// resBench is a residual block with all that it reads; x is what the check moves.
type resBench struct {
	*bench
	l            *ResBlock
	x, skip, s   []float32
	in, joined   int
	dSkip, dTime []float32
}

const (
	resImages, resSize = 2, 4
	resTime            = 5
)

// testResBlock checks the gradients by a block's input of so many channels, by the
// channels that are joined to it, by the time embedding and by the parameters.
func testResBlock(t *testing.T, in, joined, out int) {
	b := &resBench{in: in, joined: joined}
	width := in + joined
	b.bench = newBench(t, 2, func(ps *Params) {
		declareNorm(ps, "r.norm1", width)
		declareLinear(ps, "r.conv1", out, width*9)
		declareLinear(ps, "r.time_emb_proj", out, resTime)
		declareNorm(ps, "r.norm2", out)
		declareLinear(ps, "r.conv2", out, out*9)
		if width != out {
			declareLinear(ps, "r.conv_shortcut", out, width)
		}
	})
	b.l = NewResBlock(b.e, b.ps, "r", ResBlockShape{In: width, Out: out, TimeChannels: resTime, Groups: 2, Eps: 1e-6})
	b.s, b.skip = make([]float32, resImages*resTime), make([]float32, resImages*resSize*resSize*joined)
	rng.Normals(b.s, 5, rng.Init, 0, 4)
	rng.Normals(b.skip, 5, rng.Init, 0, 5)
	var p *Pass
	forward := func(x Tensor) Tensor {
		p = &Pass{S: b.e.Wrap(b.s, resImages, resTime), DS: b.e.Zeros(resImages, resTime)}
		return b.l.Forward(x, b.skipTensor(), p)
	}
	backward := func(dy Tensor) Tensor {
		dx, dSkip := b.l.Backward(dy, p)
		b.dTime = append([]float32(nil), p.DS.Float32s()...)
		if joined > 0 {
			b.dSkip = append([]float32(nil), dSkip.Float32s()...)
		}
		return dx
	}
	b.check(t, block(b.l.Pack, forward, backward), resImages, resSize, resSize, in)

	b.x = make([]float32, resImages*resSize*resSize*in)
	rng.Normals(b.x, 2, rng.Init, 0, 1)
	compare(t, "time embedding", b.s, b.dTime, b.loss(forward))
	if joined > 0 {
		compare(t, "joined channels", b.skip, b.dSkip, b.loss(forward))
	}
}

func (b *resBench) skipTensor() Tensor {
	if b.joined == 0 {
		return nil
	}
	return b.e.Wrap(b.skip, resImages, resSize, resSize, b.joined)
}

// loss is bench.check's.
func (b *resBench) loss(forward func(x Tensor) Tensor) func() float64 {
	var r []float32
	return func() float64 {
		b.e.Reset()
		b.l.Pack()
		y := forward(b.e.Wrap(append([]float32(nil), b.x...), resImages, resSize, resSize, b.in)).Float32s()
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
}

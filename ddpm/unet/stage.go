package unet

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/nn"
)

// stage is a block with its layers.
type stage struct {
	block block
	res   []*nn.ResBlock
	attn  []*nn.Attention
	// What changes the resolution at the end, on the way down or up; nil in the
	// middle, and at the last level of a direction.
	downsample *nn.Downsample
	upsample   *nn.Upsample
}

// builder numbers the dropouts while it builds the stages in order.
type builder struct {
	c        Config
	e        *nn.Engine
	ps       *nn.Params
	dropouts int
}

func (b *builder) stage(blk block) *stage {
	s := &stage{block: blk}
	for j, in := range blk.in {
		s.res = append(s.res, nn.NewResBlock(b.e, b.ps, fmt.Sprintf("%s.resnets.%d", blk.name, j), nn.ResBlockShape{
			In: in, Out: blk.out, TimeChannels: b.c.TimeChannels(), Groups: b.c.Groups,
			Eps: b.c.NormEps, Dropout: b.c.Dropout, Layer: b.dropouts,
		}))
		b.dropouts++
	}
	for j := range blk.attentions {
		name := fmt.Sprintf("%s.attentions.%d", blk.name, j)
		s.attn = append(s.attn, nn.NewAttention(b.e, b.ps, name, blk.out, b.c.HeadDim, b.c.Groups, b.c.NormEps))
	}
	return s
}

func (s *stage) pack() {
	for _, r := range s.res {
		r.Pack()
	}
	for _, a := range s.attn {
		a.Pack()
	}
	if s.downsample != nil {
		s.downsample.Pack()
	}
	if s.upsample != nil {
		s.upsample.Pack()
	}
}

// forward runs residual block j, with the skip tensor that it takes on the way up,
// and the attention that follows it, if any.
func (s *stage) forward(j int, x, skip nn.Tensor, p *nn.Pass) nn.Tensor {
	h := s.res[j].Forward(x, skip, p)
	if j < len(s.attn) {
		h = s.attn[j].Forward(h)
	}
	return h
}

// backward undoes forward.
func (s *stage) backward(j int, dy nn.Tensor, p *nn.Pass) (dx, dSkip nn.Tensor) {
	if j < len(s.attn) {
		dy = s.attn[j].Backward(dy)
	}
	return s.res[j].Backward(dy, p)
}

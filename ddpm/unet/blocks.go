package unet

import "fmt"

// block is one entry of down_blocks, mid_block or up_blocks: residual blocks of
// one width, each followed by attention or not, and a change of resolution.
type block struct {
	name string
	// in holds the input width of each residual block; on the way up it counts
	// the skip tensor that is concatenated.
	in []int
	// skip holds the width of the skip tensor that each residual block takes on
	// the way up; nil elsewhere.
	skip       []int
	out        int
	size       int
	attentions int
	resample   bool
}

func (c Config) downBlocks() []block {
	blocks := make([]block, c.Levels())
	prev := c.Channels[0]
	for i := range blocks {
		b := block{name: fmt.Sprintf("down_blocks.%d", i), out: c.Channels[i], size: c.Resolution(i)}
		for range c.ResBlocks {
			b.in = append(b.in, prev)
			prev = b.out
		}
		if c.HasAttention(i) {
			b.attentions = c.ResBlocks
		}
		b.resample = i < c.Levels()-1
		blocks[i] = b
	}
	return blocks
}

// midBlock is residual, attention, residual at the coarsest level.
func (c Config) midBlock() block {
	last := c.Levels() - 1
	ch := c.Channels[last]
	return block{name: "mid_block", in: []int{ch, ch}, out: ch, size: c.Resolution(last), attentions: 1}
}

// upBlocks runs from the coarsest level to the finest. Its skip tensors are what
// the way down pushed, last in first out.
func (c Config) upBlocks() []block {
	skips := c.skipWidths()
	blocks := make([]block, c.Levels())
	prev := c.Channels[c.Levels()-1]
	for u := range blocks {
		level := c.Levels() - 1 - u
		b := block{name: fmt.Sprintf("up_blocks.%d", u), out: c.Channels[level], size: c.Resolution(level)}
		for range c.ResBlocks + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			b.in = append(b.in, prev+skip)
			b.skip = append(b.skip, skip)
			prev = b.out
		}
		if c.HasAttention(level) {
			b.attentions = c.ResBlocks + 1
		}
		b.resample = level > 0
		blocks[u] = b
	}
	return blocks
}

// skipWidths lists the widths of the skip tensors in the order of pushing: the
// input convolution, each residual block (after its attention), each downsample.
func (c Config) skipWidths() []int {
	widths := []int{c.Channels[0]}
	for _, b := range c.downBlocks() {
		for range b.in {
			widths = append(widths, b.out)
		}
		if b.resample {
			widths = append(widths, b.out)
		}
	}
	return widths
}

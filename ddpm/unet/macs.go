package unet

// MACs counts the multiply-adds of one image's forward pass: convolutions, linear
// layers and attention. A convolution counts as its direct sum, whatever the
// algorithm that computes it; the way back is twice as many.
func (c Config) MACs() int {
	wide, s := c.TimeChannels(), c.Size*c.Size
	n := c.Channels[0]*wide + wide*wide + 9*s*c.Channels[0]*(c.InChannels+c.OutChannels)
	add := func(b block, resampled int) {
		p := b.size * b.size
		for _, in := range b.in {
			n += 9*p*b.out*(in+b.out) + wide*b.out
			if in != b.out {
				n += p * in * b.out
			}
		}
		n += b.attentions * (4*p*b.out*b.out + 2*p*p*b.out)
		if b.resample {
			n += 9 * resampled * resampled * b.out * b.out
		}
	}
	for _, b := range c.downBlocks() {
		add(b, b.size/2)
	}
	add(c.midBlock(), 0)
	for _, b := range c.upBlocks() {
		add(b, 2*b.size)
	}
	return n
}

package unet

// SamplingBytes is about what a pass for sampling needs for each image, in bytes: the
// skip tensors, and beside them the maps of the widest block and its convolutions'
// working copies. A test holds it against what passes need.
func (c Config) SamplingBytes() int {
	const elem = 4
	skips := c.Size * c.Size * c.Channels[0]
	widest := 0
	for _, b := range append(append(c.downBlocks(), c.midBlock()), c.upBlocks()...) {
		pixels := b.size * b.size
		for _, in := range b.in {
			maps := 2*in + 3*b.out
			if b.attentions > 0 {
				maps = max(maps, 5*b.out+pixels) // x, q, k, v, and the weights of a pixel
			}
			widest = max(widest, pixels*maps)
			if b.skip == nil && b.name != c.midBlock().name {
				skips += pixels * b.out
			}
		}
	}
	return elem * (skips + widest)
}

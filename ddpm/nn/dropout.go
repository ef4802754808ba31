package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"

// Key names an example's randomness: its step and its place in the batch.
type Key struct {
	Step uint64
	Slot uint32
}

// Masks says how dropout draws: nil drops nothing.
type Masks struct {
	Seed uint64
	// Keys has one entry for each image of the batch.
	Keys []Key
}

// Dropout zeroes an element with a probability and scales the others by its
// complement's inverse (Srivastava et al. 2014). The mask is counted: it is
// drawn again in Backward instead of being kept.
type Dropout struct {
	e *Engine
	// layer tells the network's dropouts apart in the counter.
	layer uint32
	// threshold is the probability in units of 2^-32.
	threshold uint32
	scale     float32
	masks     *Masks
}

// An image's element i of layer l takes word i%4 of block l·2^22 + i/4.
const dropoutLayerBits = 22

// NewDropout builds the layer-th dropout of the network; 0 <= p < 1.
func NewDropout(e *Engine, layer int, p float64) *Dropout {
	return &Dropout{e: e, layer: uint32(layer), threshold: uint32(p * (1 << 32)), scale: float32(1 / (1 - p))}
}

// Forward masks x in place.
func (d *Dropout) Forward(x Tensor, masks *Masks) {
	d.masks = masks
	d.apply(x)
}

// Backward masks the gradient in place.
func (d *Dropout) Backward(dy Tensor) { d.apply(dy) }

func (d *Dropout) apply(x Tensor) {
	if d.masks == nil || d.threshold == 0 {
		return
	}
	xs := x.Float32s()
	imageLen := len(xs) / len(d.masks.Keys)
	const block = 4
	blocks := (imageLen + block - 1) / block
	d.e.split(len(d.masks.Keys)*blocks, block, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			image, b := j/blocks, j%blocks
			key := d.masks.Keys[image]
			words := rng.Philox4x32(d.masks.Seed, rng.Counter(rng.Dropout, key.Step, key.Slot, d.layer<<dropoutLayerBits|uint32(b)))
			from := image*imageLen + b*block
			part := xs[from:min(from+block, (image+1)*imageLen)]
			for i := range part {
				if words[i] < d.threshold {
					part[i] = 0
				} else {
					part[i] *= d.scale
				}
			}
		}
	})
}

package nn

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

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
// complement's inverse (Srivastava et al. 2014). The mask is counted, a function of
// the example and the layer; it is kept for Repeat and Backward, since reading it is
// cheaper than drawing it again.
type Dropout struct {
	e *Engine
	// layer tells the network's dropouts apart in the counter.
	layer uint32
	// threshold is the probability in units of 2^-32.
	threshold uint32
	scale     float32
	masks     *Masks
	// kept has a byte for each 4 elements of an image; bit i is set where element i
	// stays.
	kept []uint8
}

// An image's element i of layer l takes word i%4 of block l·2^22 + i/4.
const dropoutLayerBits = 22

// NewDropout builds the layer-th dropout of the network; 0 <= p < 1.
func NewDropout(e *Engine, layer int, p float64) *Dropout {
	return &Dropout{e: e, layer: uint32(layer), threshold: uint32(p * (1 << 32)), scale: float32(1 / (1 - p))}
}

// Forward draws the mask and applies it to x in place.
func (d *Dropout) Forward(x Tensor, masks *Masks) {
	d.masks = masks
	if d.off() {
		return
	}
	d.draw(len(x.Float32s()) / len(masks.Keys))
	d.apply(x)
}

// Repeat applies the mask of the last Forward to the same x in place.
func (d *Dropout) Repeat(x Tensor) { d.apply(x) }

// Backward applies the mask of the last Forward to the gradient in place.
func (d *Dropout) Backward(dy Tensor) { d.apply(dy) }

// off tells whether nothing is dropped.
func (d *Dropout) off() bool { return d.masks == nil || d.threshold == 0 }

// dropoutBlock is how many elements one block of random words decides.
const dropoutBlock = 4

func (d *Dropout) draw(imageLen int) {
	blocks := (imageLen + dropoutBlock - 1) / dropoutBlock
	n := len(d.masks.Keys) * blocks
	if cap(d.kept) < n {
		d.kept = make([]uint8, n)
	}
	d.kept = d.kept[:n]
	d.e.split(n, dropoutBlock, func(lo, hi int) {
		for lo < hi {
			image, block := lo/blocks, lo%blocks
			next := min(hi, (image+1)*blocks)
			key := d.masks.Keys[image]
			rng.Masks(d.kept[lo:next], d.threshold, d.masks.Seed, rng.Dropout, key.Step, key.Slot, d.layer<<dropoutLayerBits|uint32(block))
			lo = next
		}
	})
}

func (d *Dropout) apply(x Tensor) {
	if d.off() {
		return
	}
	xs := x.Float32s()
	imageLen := len(xs) / len(d.masks.Keys)
	blocks := (imageLen + dropoutBlock - 1) / dropoutBlock
	d.e.split(len(d.kept), dropoutBlock, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			from := j/blocks*imageLen + j%blocks*dropoutBlock
			part := xs[from:min(from+dropoutBlock, (j/blocks+1)*imageLen)]
			kept := uint32(d.kept[j])
			for i, v := range part {
				// All bits of a value that stays, none of one that does not.
				bits := math.Float32bits(v*d.scale) & -(kept >> i & 1)
				part[i] = math.Float32frombits(bits)
			}
		}
	})
}

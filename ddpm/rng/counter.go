package rng

import "math/bits"

// Purpose says what a random number is for. Two purposes never share a number.
// The values are part of the format of a run: append, never renumber.
type Purpose uint8

// The purposes of a run.
const (
	Order         Purpose = iota + 1 // permutation of the dataset, per epoch
	Timestep                         // t of an example
	Noise                            // eps of an example
	Flip                             // horizontal flip of an example
	Dropout                          // dropout mask of an example in a layer
	Init                             // initial weights; "example" is the tensor's number
	SampleStart                      // x_T of a sampled image
	SampleNoise                      // z of a sampling step
	GlyphChoice                      // class, face and geometry of a drawn digit
	EvalNoise                        // eps of a held-out image; "step" is t
	EvalTerm                         // which t of a stratum is evaluated; "step" is the stratum
	LabelDrop                        // whether an example is seen without its class
	PurposeFuture                    // the first value that is free
)

// Counter names one block of four words: the block-th of the example of the
// step, for the purpose. step must be below 2^56.
func Counter(p Purpose, step uint64, example, block uint32) [4]uint32 {
	return [4]uint32{block, example, uint32(step), uint32(p)<<24 | uint32(step>>32)&0xffffff}
}

// Uint32n maps a word to [0, n) by multiplication, as Lemire does without the
// rejection: the bias is below n/2^32.
func Uint32n(word, n uint32) uint32 {
	hi, _ := bits.Mul32(word, n)
	return hi
}

// Unit maps a word to the open interval (0, 1): (word + 1/2) / 2^32.
func Unit(word uint32) float64 {
	return (float64(word) + 0.5) * (1.0 / (1 << 32))
}

package rng

import "math"

// Normals fills dst with standard normals: element i is a function of
// (seed, p, step, example, i) alone. Box and Muller (1958) in float64, rounded
// once to float32; block j of the counter gives elements 4j to 4j+3.
func Normals(dst []float32, seed uint64, p Purpose, step uint64, example uint32) {
	normals(dst, seed, Counter(p, step, example, 0))
}

// Uniforms fills dst with uniforms in (-a, a), element i a function of
// (seed, p, step, example, i) alone.
func Uniforms(dst []float32, a float64, seed uint64, p Purpose, step uint64, example uint32) {
	uniforms(dst, a, seed, Counter(p, step, example, 0))
}

// Masks sets bit i of dst[j], for i in 0 … 3, where word i of the counter's block
// first+j is threshold or more, and clears the other bits: each is set with
// probability 1 - threshold/2^32.
func Masks(dst []uint8, threshold uint32, seed uint64, p Purpose, step uint64, example, first uint32) {
	masks(dst, threshold, seed, Counter(p, step, example, first))
}

// The portable functions begin at the counter's block; a block gives four elements
// of dst, or one mask.

func normalsPortable(dst []float32, seed uint64, ctr [4]uint32) {
	for i := 0; i < len(dst); i += 4 {
		w := Philox4x32(seed, ctr)
		var z [4]float32
		z[0], z[1] = boxMuller(w[0], w[1])
		z[2], z[3] = boxMuller(w[2], w[3])
		copy(dst[i:], z[:])
		ctr[0]++
	}
}

func boxMuller(a, b uint32) (float32, float32) {
	r := math.Sqrt(-2 * Log(Unit(a)))
	sin, cos := sinCosTurn(Unit(b))
	return float32(r * cos), float32(r * sin)
}

func uniformsPortable(dst []float32, a float64, seed uint64, ctr [4]uint32) {
	for i := 0; i < len(dst); i += 4 {
		w := Philox4x32(seed, ctr)
		var u [4]float32
		for j := range u {
			u[j] = float32(a * (float64((float64(w[j])+0.5)*(1.0/(1<<31))) - 1))
		}
		copy(dst[i:], u[:])
		ctr[0]++
	}
}

func masksPortable(dst []uint8, threshold uint32, seed uint64, ctr [4]uint32) {
	for j := range dst {
		var mask uint64
		for i, w := range Philox4x32(seed, ctr) {
			// The difference is negative, with the highest bit set, where the word is below.
			mask |= (^(uint64(w) - uint64(threshold)) >> 63) << i
		}
		dst[j] = uint8(mask)
		ctr[0]++
	}
}

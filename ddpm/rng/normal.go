package rng

import "math"

// Normals fills dst with standard normals: element i is a function of
// (seed, p, step, example, i) alone. Box and Muller (1958) in float64, rounded
// once to float32; block j of the counter gives elements 4j to 4j+3.
func Normals(dst []float32, seed uint64, p Purpose, step uint64, example uint32) {
	for i := 0; i < len(dst); i += 4 {
		w := Philox4x32(seed, Counter(p, step, example, uint32(i/4)))
		var z [4]float32
		z[0], z[1] = boxMuller(w[0], w[1])
		z[2], z[3] = boxMuller(w[2], w[3])
		copy(dst[i:], z[:])
	}
}

func boxMuller(a, b uint32) (float32, float32) {
	r := math.Sqrt(-2 * Log(Unit(a)))
	sin, cos := sinCosTurn(Unit(b))
	return float32(r * cos), float32(r * sin)
}

// Uniforms fills dst with uniforms in (-a, a), element i a function of
// (seed, p, step, example, i) alone.
func Uniforms(dst []float32, a float64, seed uint64, p Purpose, step uint64, example uint32) {
	for i := 0; i < len(dst); i += 4 {
		w := Philox4x32(seed, Counter(p, step, example, uint32(i/4)))
		var u [4]float32
		for j := range u {
			u[j] = float32(a * (float64((float64(w[j])+0.5)*(1.0/(1<<31))) - 1))
		}
		copy(dst[i:], u[:])
	}
}

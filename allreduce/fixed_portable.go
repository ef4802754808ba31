package allreduce

import (
	"encoding/binary"
	"math"
)

// accumulatePortable is Fixed.Accumulate, with 2^FractionBits and the largest
// magnitude of a scaled value that fits.
func accumulatePortable(dst []int64, src []float32, scale, limit float64) bool {
	ok := true
	for i, x := range src {
		y := float64(x) * scale
		if !(math.Abs(y) <= limit) { // also false for NaN
			ok = false
			continue
		}
		dst[i] += int64(math.RoundToEven(y))
	}
	return ok
}

// convertPortable is Fixed.Convert, in the same way.
func convertPortable(dst []int64, src []float32, scale, limit float64) bool {
	clear(dst)
	return accumulatePortable(dst, src, scale, limit)
}

// meansPortable is Fixed.Mean of every element, with 2^-FractionBits.
func meansPortable(dst []float32, src []int64, resolution, terms float64) {
	for i, x := range src {
		dst[i] = float32(float64(x) * resolution / terms)
	}
}

// putFloat32sPortable writes values as a message holds them, little-endian.
func putFloat32sPortable(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

// getFloat32sPortable reads as many values as dst takes.
func getFloat32sPortable(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// addPortable sets dst to a plus b, element by element. They have the same length, and
// dst may be one of them.
func addPortable(dst, a, b []int64) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

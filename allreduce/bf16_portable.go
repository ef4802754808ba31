package allreduce

import (
	"encoding/binary"
	"math"
)

// roundBF16Portable rounds every element by roundBF16.
func roundBF16Portable(x []float32) {
	for i, v := range x {
		x[i] = roundBF16(v)
	}
}

// roundBF16 is the bfloat16 nearest to x, ties to even; a NaN stays one.
func roundBF16(x float32) float32 {
	b := math.Float32bits(x)
	const half, quiet = 1 << 15, 1 << 22
	if b<<1 > 0xff<<24 {
		return math.Float32frombits((b | quiet) &^ 0xffff)
	}
	return math.Float32frombits((b + half - 1 + b>>16&1) &^ 0xffff)
}

// putBF16Portable writes the upper halves of values, little-endian.
func putBF16Portable(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(math.Float32bits(v)>>16))
	}
}

// getBF16Portable reads as many values as dst takes.
func getBF16Portable(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

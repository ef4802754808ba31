package allreduce

import (
	"encoding/binary"
	"math"
)

// Gather is the form in which results travel. It is part of what they are: a rank
// that has a result has it as it travels.
type Gather uint8

// The forms.
const (
	// GatherFloat32 is every bit of a result.
	GatherFloat32 Gather = iota
	// GatherBF16 is bfloat16, the upper half of a float32: 8 bits of precision and the
	// whole range. Results are rounded to it, to nearest, ties to even.
	GatherBF16
)

// bytes is how many bytes n results take.
func (g Gather) bytes(n int) int {
	if g == GatherBF16 {
		return 2 * n
	}
	return 4 * n
}

// round makes results what the form can hold.
func (g Gather) round(x []float32) {
	if g == GatherBF16 {
		for i, v := range x {
			x[i] = roundBF16(v)
		}
	}
}

// put writes rounded results as they travel, little-endian.
func (g Gather) put(dst []byte, src []float32) {
	if g != GatherBF16 {
		putFloat32s(dst, src)
		return
	}
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(math.Float32bits(v)>>16))
	}
}

// get reads as many results as dst takes.
func (g Gather) get(dst []float32, src []byte) {
	if g != GatherBF16 {
		getFloat32s(dst, src)
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
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

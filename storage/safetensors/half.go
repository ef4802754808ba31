package safetensors

import (
	"encoding/binary"
	"io"
	"math"
)

// readHalves is ReadFloats of values of two bytes.
func readHalves(r io.Reader, dst []float32, d DType) error {
	widen := fromF16
	if d == BF16 {
		widen = fromBF16
	}
	buf := make([]byte, min(64<<10, 2*len(dst)))
	for len(dst) > 0 {
		b := buf[:min(len(buf), 2*len(dst))]
		if _, err := io.ReadFull(r, b); err != nil {
			return readError(err)
		}
		for i := range len(b) / 2 {
			dst[i] = widen(binary.LittleEndian.Uint16(b[2*i:]))
		}
		dst = dst[len(b)/2:]
	}
	return nil
}

// fromBF16 widens a bfloat16: the upper half of a float32.
func fromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// fromF16 widens an IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction.
func fromF16(b uint16) float32 {
	sign, exponent, fraction := uint32(b>>15)<<31, uint32(b>>10&31), uint32(b&1023)
	switch exponent {
	case 31: // infinities and NaNs
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	case 0: // zeros and subnormals: fraction units of 2^-24, exact in float32
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

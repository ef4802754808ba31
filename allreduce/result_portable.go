package allreduce

import "math"

const (
	signBit       = 1 << 31
	magnitudeBits = signBit - 1
)

// magnitudesPortable returns the least and the most of the values' magnitudes, each the
// bits of a float32 but its sign, of one value at least.
func magnitudesPortable(src []float32) (least, most uint32) {
	least = magnitudeBits
	for _, x := range src {
		m := math.Float32bits(x) & magnitudeBits
		least, most = min(least, m), max(most, m)
	}
	return least, most
}

// offsetsPortable sets dst to twice what each value's magnitude, without its lowest shift
// bits, is above base; plus 1 for those whose sign is set.
func offsetsPortable(dst []uint64, src []float32, base uint64, shift uint) {
	for i, x := range src {
		b := math.Float32bits(x)
		dst[i] = (uint64(b&magnitudeBits>>shift)-base)<<1 | uint64(b>>31)
	}
}

// fromOffsetsPortable is the way back, from what offsets are as zigzag forms. It returns
// all bits that any of the magnitudes has, without the lowest shift bits: where these are
// more than a magnitude's, some value is none.
func fromOffsetsPortable(dst []float32, src []int64, base uint64, shift uint) (all uint64) {
	for i := range dst {
		sign := src[i] >> 63
		m := uint64(src[i]^sign) + base
		all |= m
		dst[i] = math.Float32frombits(uint32(m<<shift) | uint32(sign)&signBit)
	}
	return all
}

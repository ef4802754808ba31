package allreduce

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

// width is how many bits of a result travel, shift how many of its lowest do not.
func (g Gather) width() int {
	if g == GatherBF16 {
		return 16
	}
	return 32
}

func (g Gather) shift() uint { return uint(32 - g.width()) }

// bytes is how many bytes n plain results take.
func (g Gather) bytes(n int) int { return g.width() / 8 * n }

// round makes results what the form can hold.
func (g Gather) round(x []float32) {
	if g == GatherBF16 {
		roundBF16s(x)
	}
}

// put writes rounded results as they travel, little-endian.
func (g Gather) put(dst []byte, src []float32) {
	if g == GatherBF16 {
		putBF16s(dst, src)
	} else {
		putFloat32s(dst, src)
	}
}

// get reads as many results as dst takes.
func (g Gather) get(dst []float32, src []byte) {
	if g == GatherBF16 {
		getBF16s(dst, src)
	} else {
		getFloat32s(dst, src)
	}
}

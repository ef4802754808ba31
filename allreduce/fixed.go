package allreduce

import (
	"fmt"
	"math"
)

// DefaultFractionBits is the resolution that a run has when it sets none: 2^-40.
const DefaultFractionBits = 40

// Fixed is a fixed-point format: an int64 x stands for x·2^-FractionBits.
//
// Values are rounded to it one by one, before any sum. Sums of integers do not
// depend on the order of their terms, so neither does anything made from them.
// All of its arithmetic is of IEEE 754 operations that round once, and gives the
// same bits on every architecture.
type Fixed struct {
	FractionBits int
}

// Validate refuses a format that leaves no room for a value or for its fraction.
func (f Fixed) Validate() error {
	if f.FractionBits < 1 || f.FractionBits > 62 {
		return fmt.Errorf("fixed point with %d fraction bits: must be in 1 … 62", f.FractionBits)
	}
	return nil
}

// Accumulate adds src to dst element by element: dst[i] += src[i]·2^FractionBits,
// rounded to the nearest integer, ties to even. Both have the same length.
//
// terms is how many values are summed into an element in all, on all ranks. A
// value fits when terms of its magnitude can be summed without overflow. One that
// doesn't fit, a NaN or an infinity adds nothing; the others are added all the
// same. The result is false when any did not fit.
func (f Fixed) Accumulate(dst []int64, src []float32, terms int) bool {
	sameLength(dst, src)
	return accumulate(dst, src, f.scale(), largest(terms))
}

// Convert sets dst to what Accumulate would make of sums that are 0, and reads none: it is
// for the first of a rank's own terms.
func (f Fixed) Convert(dst []int64, src []float32, terms int) bool {
	sameLength(dst, src)
	return convert(dst, src, f.scale(), largest(terms))
}

// Fits says that Accumulate would be true of the values: that each fits.
func (f Fixed) Fits(src []float32, terms int) bool {
	if len(src) == 0 {
		return true
	}
	// The bits of magnitudes are in the order of the magnitudes, and above them of NaNs.
	_, most := magnitudes(src)
	return float64(math.Float32frombits(most))*f.scale() <= largest(terms)
}

func sameLength(dst []int64, src []float32) {
	if len(dst) != len(src) {
		panic(fmt.Sprintf("allreduce: %d values for %d sums", len(src), len(dst)))
	}
}

// FromFloat64 rounds x to the format, under the rules of Accumulate. It is false,
// with 0, when x does not fit.
func (f Fixed) FromFloat64(x float64, terms int) (int64, bool) {
	y := x * f.scale()
	if !(math.Abs(y) <= largest(terms)) {
		return 0, false
	}
	return int64(math.RoundToEven(y)), true
}

// ToFloat64 is the value of a sum. A sum of 2^53 or more is rounded once, to
// nearest, ties to even.
func (f Fixed) ToFloat64(sum int64) float64 {
	return float64(sum) * f.resolution()
}

// Mean is the mean of terms values whose sum is given. It rounds three times,
// each to nearest, ties to even: the sum to float64, the quotient to float64, the
// mean to float32. Scaling by a power of two is exact.
func (f Fixed) Mean(sum int64, terms int) float32 {
	return float32(f.ToFloat64(sum) / float64(terms))
}

// Means returns a Vector's Finish: the Mean of every element. Both slices of it have
// the same length.
func (f Fixed) Means(terms int) func(dst []float32, sum []int64) {
	resolution, n := f.resolution(), float64(terms)
	if terms > 0 && terms&(terms-1) == 0 {
		// Dividing by a power of two is exact, and so is scaling by both at once.
		resolution, n = resolution/n, 1
	}
	return func(dst []float32, sum []int64) {
		if len(dst) != len(sum) {
			panic(fmt.Sprintf("allreduce: %d means of %d sums", len(dst), len(sum)))
		}
		means(dst, sum, resolution, n)
	}
}

func (f Fixed) scale() float64      { return math.Ldexp(1, f.FractionBits) }
func (f Fixed) resolution() float64 { return math.Ldexp(1, -f.FractionBits) }

// largest is the largest float64 that can be summed terms times within an int64.
func largest(terms int) float64 {
	if terms < 1 {
		panic(fmt.Sprintf("allreduce: a sum of %d terms", terms))
	}
	limit := math.MaxInt64 / int64(terms)
	f := float64(limit)
	if uint64(f) > uint64(limit) { // the conversion has rounded up
		f = math.Nextafter(f, 0)
	}
	return f
}

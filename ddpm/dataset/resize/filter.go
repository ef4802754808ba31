package resize

// one is 1 in fixed point, of distances and of weights.
const one = 1 << 16

// taps are the weights of an output pixel's neighbours, the first of which is input
// pixel first. They sum to one.
type taps struct {
	first   int
	weights []int32
}

// mix is the weighted mean of bytes that are stride apart, rounded and clamped.
func (t taps) mix(p []byte, stride int) byte {
	sum := int64(one / 2)
	for k, w := range t.weights {
		sum += int64(w) * int64(p[k*stride])
	}
	return byte(max(0, min(255, sum>>16)))
}

// filter is a kernel: the weight at a distance, in units of the output pixel's width
// or of the input's, whichever is larger; wide is that width's share of one input
// pixel, at most one. reach is where it ends.
type filter struct {
	reach  int64
	weight func(distance, wide int64) int64
}

// cubicFilter is Keys' cubic with a = -1/2.
var cubicFilter = filter{2 * one, func(d, _ int64) int64 {
	square := d * d >> 16
	cube := square * d >> 16
	switch {
	case d < one:
		return (3*cube-5*square)/2 + one
	case d < 2*one:
		return (5*square-cube)/2 - 4*d + 2*one
	}
	return 0
}}

// boxFilter is how much of an input pixel, wide across, lies within 1/2 of the
// centre.
var boxFilter = filter{one, func(d, wide int64) int64 {
	return max(0, min(wide, (one+wide)/2-d))
}}

// tapsOf weighs the neighbours of output pixel o of n, of an input of m pixels.
func tapsOf(f filter, m, n, o int) taps {
	// Distances are exact fractions of 2·max(m, n): pixel i's is |(2i+1)n - (2o+1)m|.
	scale := 2 * int64(max(m, n))
	centre := int64(2*o+1) * int64(m)
	wide := min(one, one*int64(n)/int64(m))
	first := max(0, int((centre-2*scale)/(2*int64(n)))-1)
	var t taps
	sum, largest := int64(0), 0
	for i := first; i < m; i++ {
		d := int64(2*i+1)*int64(n) - centre
		if d > 2*scale {
			break
		}
		if d < 0 {
			d = -d
		}
		d = d * one / scale
		if d >= f.reach {
			if len(t.weights) == 0 {
				continue
			}
			break
		}
		w := f.weight(d, wide)
		if len(t.weights) == 0 {
			t.first = i
		}
		t.weights = append(t.weights, int32(w))
		sum += w
	}
	normalized := int64(0)
	for k, w := range t.weights {
		t.weights[k] = int32(int64(w) * one / sum)
		normalized += int64(t.weights[k])
		if t.weights[k] > t.weights[largest] {
			largest = k
		}
	}
	t.weights[largest] += int32(one - normalized)
	return t
}

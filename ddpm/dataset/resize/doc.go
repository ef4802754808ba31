// Package resize brings images to a square of a given size, by named rules in integer
// arithmetic: the same image gives the same bytes on every machine.
//
//	box-bicubic   halve by boxes while the shorter side is at least twice the size,
//	              then bicubic until it is the size, then cut out the centre
//	bicubic       the same without the halving
//	box           each pixel is the mean of the area that it covers; cut out the centre
//	none          the image has the size already; another one is an error
//
// box-bicubic is what generative models are commonly trained on: the halving takes
// a large photograph down without aliasing and for little time, the bicubic step
// keeps it sharp.
//
// # Halving
//
// Each pixel is the mean of a 2x2 box, (a+b+c+d+2)/4. Where a side m is odd, rule box
// makes both sides the floor of their half.
//
// # Bicubic and box
//
// An image of w x h whose shorter side is m becomes round(w·size/m) x
// round(h·size/m), at least size each, first across and then down, rounded to bytes
// after each. Output pixel o of n, of an input of m, is centred at (o+1/2)·m/n - 1/2.
// Its neighbours i are weighted by k(d/s), where d is their distance from the centre
// and s = max(1, m/n) widens the filter for shrinking. Bicubic's k is Keys' cubic
// with a = -1/2 (1981), which reaches 2; box's k is how much of pixel i lies in the
// output pixel, or in a width of one where that is narrower. Distances are integers in units of 1/65536 of s, weights
// integers that sum to 65536 exactly: what rounding leaves goes to the largest of
// them, the first if there are several. Pixels outside the image have no weight.
//
// # Cutting
//
// Of what is longer than size, floor(excess/2) is cut off at the left or the top.
// What is cut off is not computed. An image whose longer side, times the length that
// it would get, is more than 2^62 is refused.
package resize

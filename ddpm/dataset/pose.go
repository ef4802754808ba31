package dataset

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// one is 1 in the fixed point of matrices and normals.
const one = 1 << 16

// subpixel is how many steps of a placed point's coordinates a pixel has.
const subpixel = 256

// The ranges of the draws; their values are part of the generator.
const (
	heightMin, heightMax = 640, 800  // of the drawn digit, in 1/1000 of the frame
	widthLimit           = 860       // of the drawn digit, in 1/1000 of the frame
	widenMin, widenMax   = 850, 1120 // of the letterform, in 1/1000
	turnMax              = 12000     // in 1/1000 of a degree, to each side
	shearMax             = 140       // in 1/1000, to each side
	shiftMax             = 80        // in 1/1000 of the frame, to each side
)

// pose is how a digit stands in its frame.
type pose struct {
	size int
	// weight is how much each side of a stroke grows, in 1/fine font units.
	weight int64
	// xx, xy and yx, yy turn, shear and widen: x' = xx·x + xy·y, in 1/one.
	xx, xy, yx, yy int64
	// height is the digit's in 1/subpixel pixels.
	height int64
	// shiftX and shiftY are off the middle, in 1/subpixel pixels.
	shiftX, shiftY int64
}

func (d *draws) pose(size int, f *face) pose {
	frame := int64(size) * subpixel
	p := pose{
		size:   size,
		weight: d.between(drawWeight, f.lightest*fine, f.heaviest*fine),
		height: frame * d.between(drawHeight, heightMin, heightMax) / 1000,
		shiftX: frame * d.between(drawShiftX, -shiftMax, shiftMax) / 1000,
		shiftY: frame * d.between(drawShiftY, -shiftMax, shiftMax) / 1000,
	}
	turn := float64(d.between(drawTurn, -turnMax, turnMax)) * (math.Pi / 180_000)
	shear := float64(d.between(drawShear, -shearMax, shearMax)) / 1000
	widen := float64(d.between(drawWidth, widenMin, widenMax)) / 1000
	sin, cos := rng.Sin(turn), rng.Cos(turn)
	// The letterform is widened, then sheared (x += shear·y), then turned.
	p.xx, p.xy = toOne(float64(widen*cos)), toOne(float64(shear*cos)-sin)
	p.yx, p.yy = toOne(float64(widen*sin)), toOne(float64(shear*sin)+cos)
	return p
}

func toOne(v float64) int64 { return int64(math.Floor(float64(v*one) + 0.5)) }

// place returns the outline's points as they stand in the frame, in 1/subpixel
// pixels; all of them lie in [0, size·subpixel]. It uses dst's memory where that
// suffices.
func (p pose) place(dst []point, o *outline) []point {
	dst = dst[:0]
	for k, q := range o.points {
		x := q.x + (p.weight*o.normals[k].x)/one
		y := q.y + (p.weight*o.normals[k].y)/one
		dst = append(dst, point{(p.xx*x + p.xy*y) / one, (p.yx*x + p.yy*y) / one})
	}
	b := boxOf(dst)
	w, h := b.max.x-b.min.x, b.max.y-b.min.y
	frame := int64(p.size) * subpixel

	// The scale is num/den: what gives the height, or less where that is too wide.
	num, den := p.height, h
	if limit := frame * widthLimit / 1000; w*num > limit*den {
		num, den = limit, w
	}
	scale := num << scaleBits / den
	x0 := frame/2 + within(p.shiftX, (frame-w*num/den)/2-2)
	y0 := frame/2 + within(p.shiftY, (frame-h*num/den)/2-2)
	midX, midY := (b.min.x+b.max.x)/2, (b.min.y+b.max.y)/2
	for k, q := range dst {
		dst[k] = point{x0 + (q.x-midX)*scale>>scaleBits, y0 + (q.y-midY)*scale>>scaleBits}
	}
	return dst
}

// scaleBits is the fixed point of the last scaling.
const scaleBits = 32

// within limits v to [-limit, limit].
func within(v, limit int64) int64 { return max(-limit, min(v, limit)) }

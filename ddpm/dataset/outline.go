package dataset

import (
	"fmt"
	"math"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// fine is how many steps of an outline's coordinates one font unit has. It is a
// square, so that a curve cut in 16 has exact points.
const fine = 256

// point is a place in the plane, y downwards.
type point struct{ x, y int64 }

// outline is a digit as closed polygons in 1/fine font units.
type outline struct {
	points []point
	// normals[k] is how far point k moves when the stroke grows by one on its side,
	// in units of 1/one.
	normals []point
	// ends[c] is one past the last point of contour c.
	ends []int
}

// contour returns the points of contour c.
func (o *outline) contour(c int) []point {
	first := 0
	if c > 0 {
		first = o.ends[c-1]
	}
	return o.points[first:o.ends[c]]
}

// flatten cuts a glyph's quadratic curves into lines. The segments are in font
// units. TrueType has no cubic curves.
func flatten(segments sfnt.Segments) (outline, error) {
	var o outline
	var pen point
	for _, s := range segments {
		to := unitPoint(s.Args[0])
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			o.closeContour()
		case sfnt.SegmentOpLineTo:
			o.points = append(o.points, scaled(to))
		case sfnt.SegmentOpQuadTo:
			control := to
			to = unitPoint(s.Args[1])
			o.quad(pen, control, to)
		default:
			return outline{}, fmt.Errorf("segment kind %d: only lines and quadratic curves are drawn", s.Op)
		}
		pen = to
	}
	o.closeContour()
	return o, nil
}

func unitPoint(p fixed.Point26_6) point { return point{int64(p.X), int64(p.Y)} }
func scaled(p point) point              { return point{p.x * fine, p.y * fine} }

// quad appends the curve from a to c with control point b, cut into the fewest
// 1, 2, 4, 8 or 16 lines that stay within a font unit of it: a line's distance
// is |a-2b+c|/4n².
func (o *outline) quad(a, b, c point) {
	dx, dy := a.x-2*b.x+c.x, a.y-2*b.y+c.y
	n := int64(1)
	for n < 16 && dx*dx+dy*dy > 16*n*n*n*n {
		n *= 2
	}
	at := func(a, b, c, k int64) int64 {
		return (a*(n-k)*(n-k) + 2*b*(n-k)*k + c*k*k) * (fine / (n * n))
	}
	for k := int64(1); k <= n; k++ {
		o.points = append(o.points, point{at(a.x, b.x, c.x, k), at(a.y, b.y, c.y, k)})
	}
}

// closeContour ends the contour that was being drawn. Points that repeat their
// predecessor are dropped: they have no direction.
func (o *outline) closeContour() {
	first := 0
	if len(o.ends) > 0 {
		first = o.ends[len(o.ends)-1]
	}
	kept := o.points[:first]
	for k, p := range o.points[first:] {
		before := o.points[len(o.points)-1]
		if k > 0 {
			before = kept[len(kept)-1]
		}
		if p != before {
			kept = append(kept, p)
		}
	}
	o.points = kept
	if len(kept) > first {
		o.ends = append(o.ends, len(kept))
	}
}

// findNormals fills normals: at each point the mean direction of its two lines'
// normals, long enough to move both lines by one (a mitre), but never longer
// than two.
func (o *outline) findNormals() {
	o.normals = make([]point, 0, len(o.points))
	outward := int64(1)
	if o.area() < 0 {
		outward = -1
	}
	for c := range o.ends {
		contour := o.contour(c)
		for k, p := range contour {
			a := normal(contour[(k+len(contour)-1)%len(contour)], p)
			b := normal(p, contour[(k+1)%len(contour)])
			// a+b over 1+a·b is the mitre; its length is √(2/(1+a·b)).
			length := max(one+(a.x*b.x+a.y*b.y)/one, one/2)
			o.normals = append(o.normals, point{
				outward * (a.x + b.x) * one / length,
				outward * (a.y + b.y) * one / length,
			})
		}
	}
}

// area is twice the area that the contours enclose, holes subtracted. With y
// downwards it is positive where the outer contours run clockwise to the eye.
func (o *outline) area() int64 {
	var sum int64
	for c := range o.ends {
		contour := o.contour(c)
		for k, p := range contour {
			q := contour[(k+1)%len(contour)]
			sum += p.x*q.y - q.x*p.y
		}
	}
	return sum
}

// normal is the unit vector on the left hand, to the eye, of the line from p to
// q, in 1/one. The root and the quotients are correctly rounded everywhere.
func normal(p, q point) point {
	dx, dy := q.x-p.x, q.y-p.y
	length := math.Sqrt(float64(dx*dx + dy*dy))
	return point{
		int64(math.Round(float64(dy*one) / length)),
		int64(math.Round(float64(-dx*one) / length)),
	}
}

package dataset

import "fmt"

// withoutSlash returns a zero with one hole in place of the two that the slash of
// the Go fonts' zero leaves: at 16 pixels a slashed zero reads as an eight.
//
// The hole is the outer contour, shrunk to the box that both holes fill together
// and turned round. An italic zero is set upright for that and slanted again.
func withoutSlash(o outline) (outline, error) {
	if len(o.ends) != 3 {
		return outline{}, fmt.Errorf("%d contours, expected a slashed zero's 3", len(o.ends))
	}
	outer := 0
	for c := range o.ends {
		if width(o.contour(c)) > width(o.contour(outer)) {
			outer = c
		}
	}
	rim := o.contour(outer)
	upright := slantOf(rim)
	var holes []point
	for c := range o.ends {
		if c != outer {
			holes = append(holes, upright.apply(o.contour(c), -1)...)
		}
	}
	from, to := boxOf(upright.apply(rim, -1)), boxOf(holes)

	hole := make([]point, 0, len(rim))
	for k := range rim {
		p := upright.apply(rim[len(rim)-1-k:len(rim)-k], -1)[0]
		hole = append(hole, point{
			to.min.x + (p.x-from.min.x)*(to.max.x-to.min.x)/(from.max.x-from.min.x),
			to.min.y + (p.y-from.min.y)*(to.max.y-to.min.y)/(from.max.y-from.min.y),
		})
	}
	points := append(append([]point(nil), rim...), upright.apply(hole, 1)...)
	return outline{points: points, ends: []int{len(rim), len(points)}}, nil
}

// slant is the line dx/dy through a contour's highest and lowest point.
type slant struct{ dx, dy int64 }

func slantOf(contour []point) slant {
	top, bottom := contour[0], contour[0]
	for _, p := range contour {
		if p.y < top.y {
			top = p
		}
		if p.y > bottom.y {
			bottom = p
		}
	}
	return slant{top.x - bottom.x, top.y - bottom.y}
}

// apply slants points by sign (1) or sets them upright (-1).
func (s slant) apply(points []point, sign int64) []point {
	out := make([]point, len(points))
	for k, p := range points {
		out[k] = point{p.x + sign*p.y*s.dx/s.dy, p.y}
	}
	return out
}

// box is the smallest upright rectangle around points.
type box struct{ min, max point }

func boxOf(points []point) box {
	b := box{points[0], points[0]}
	for _, p := range points[1:] {
		b.min.x, b.max.x = min(b.min.x, p.x), max(b.max.x, p.x)
		b.min.y, b.max.y = min(b.min.y, p.y), max(b.max.y, p.y)
	}
	return b
}

func width(points []point) int64 {
	b := boxOf(points)
	return b.max.x - b.min.x
}

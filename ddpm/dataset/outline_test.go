package dataset

import "testing"

// holes counts the holes that each digit has.
func holes(digit int) int {
	return [classes]int{0: 1, 4: 1, 6: 1, 8: 2, 9: 1}[digit]
}

// At both ends of every range each digit of each face is one piece with its right
// number of holes, and lies inside the frame. So no stroke breaks or closes.
func TestEveryDigitKeepsItsForm(t *testing.T) {
	faces, err := loadFaces()
	if err != nil {
		t.Fatal(err)
	}
	const size = 64
	r := newRaster(size)
	pixels := make([]uint8, size*size)
	for f := range faces {
		for digit := range faces[f].digits {
			o := &faces[f].digits[digit]
			for corner := range 1 << 4 {
				p := cornerPose(size, &faces[f], corner)
				points := p.place(nil, o)
				if b := boxOf(points); b.min.x < 0 || b.min.y < 0 || b.max.x > size*subpixel || b.max.y > size*subpixel {
					t.Fatalf("%s %d in pose %+v lies in %+v", faces[f].name, digit, p, b)
				}
				r.fill(pixels, points, o.ends)
				if inked, open := regions(pixels, size); inked != 1 || open != 1+holes(digit) {
					t.Errorf("%s %d in pose %+v has %d pieces and %d holes", faces[f].name, digit, p, inked, open-1)
				}
			}
		}
	}
}

// cornerPose is a pose with each draw at its lowest or highest, by the bits of
// corner.
func cornerPose(size int, f *face, corner int) pose {
	var d draws
	for bit, draw := range []int{drawWeight, drawTurn, drawShear, drawWidth} {
		if corner>>bit&1 == 1 {
			d[draw] = 1<<32 - 1
		}
	}
	d[drawShiftX], d[drawShiftY], d[drawHeight] = d[drawShear], d[drawTurn], 1<<32-1
	return d.pose(size, f)
}

// regions counts the connected regions of inked and of open pixels: ink touches
// at corners, openings only at sides. Regions below four pixels don't count: a
// sharp corner's tip may come apart where it is a pixel wide.
func regions(pixels []uint8, size int) (inked, open int) {
	seen := make([]bool, len(pixels))
	var grow func(x, y int, ink bool) int
	grow = func(x, y int, ink bool) int {
		if x < 0 || y < 0 || x >= size || y >= size || seen[y*size+x] || pixels[y*size+x] >= 128 != ink {
			return 0
		}
		seen[y*size+x] = true
		n := 1
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				if ink || dx == 0 || dy == 0 {
					n += grow(x+dx, y+dy, ink)
				}
			}
		}
		return n
	}
	for k := range pixels {
		ink := pixels[k] >= 128
		switch n := grow(k%size, k/size, ink); {
		case n < 4:
		case ink:
			inked++
		default:
			open++
		}
	}
	return inked, open
}

// A heavier square grows by as much on every side, its hole shrinks by as much.
func TestNormalsMoveSidesByTheWeight(t *testing.T) {
	square := func(lo, hi int64, clockwise bool) []point {
		s := []point{{lo, lo}, {hi, lo}, {hi, hi}, {lo, hi}}
		if !clockwise {
			s[1], s[3] = s[3], s[1]
		}
		return s
	}
	for _, clockwise := range []bool{true, false} {
		o := outline{points: append(square(0, 1000, clockwise), square(300, 700, !clockwise)...), ends: []int{4, 8}}
		o.findNormals()
		for k, p := range o.points {
			x, y := p.x+10*o.normals[k].x/one, p.y+10*o.normals[k].y/one
			wantX, wantY := map[int64]int64{0: -10, 1000: 1010, 300: 310, 700: 690}[p.x], map[int64]int64{0: -10, 1000: 1010, 300: 310, 700: 690}[p.y]
			if x != wantX || y != wantY {
				t.Errorf("clockwise %v: (%d, %d) moves to (%d, %d), want (%d, %d)", clockwise, p.x, p.y, x, y, wantX, wantY)
			}
		}
	}
}

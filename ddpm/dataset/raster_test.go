package dataset

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func square(x0, y0, x1, y1 int64) []point {
	return []point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}
}

func backwards(points []point) []point {
	points = slices.Clone(points)
	slices.Reverse(points)
	return points
}

// fillTest fills contours in a frame of 4 pixels.
func fillTest(contours ...[]point) []uint8 {
	var points []point
	var ends []int
	for _, c := range contours {
		points = append(points, c...)
		ends = append(ends, len(points))
	}
	r, dst := newRaster(4), make([]uint8, 16)
	r.fill(dst, points, ends)
	return dst
}

func TestFill(t *testing.T) {
	const px = subpixel
	all := slices.Repeat([]uint8{255}, 16)
	for _, v := range []struct {
		name     string
		contours [][]point
		want     []uint8
	}{
		{"nothing", nil, make([]uint8, 16)},
		{"the whole frame", [][]point{square(0, 0, 4*px, 4*px)}, all},
		{"the whole frame backwards", [][]point{backwards(square(0, 0, 4*px, 4*px))}, all},
		{"twice the frame", [][]point{square(0, 0, 4*px, 4*px), square(0, 0, 4*px, 4*px)}, all},
		{"the frame and back", [][]point{square(0, 0, 4*px, 4*px), backwards(square(0, 0, 4*px, 4*px))}, make([]uint8, 16)},
		{"a hole", [][]point{square(0, 0, 4*px, 4*px), backwards(square(px, px, 3*px, 3*px))}, []uint8{
			255, 255, 255, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 255, 255, 255,
		}},
		{"overlapping squares", [][]point{square(0, 0, 3*px, 3*px), square(px, px, 4*px, 4*px)}, []uint8{
			255, 255, 255, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 255, 255, 255,
		}},
		{"parts of pixels", [][]point{square(px/2, px/4, px+px/4, 2*px)}, []uint8{
			96, 48, 0, 0, 128, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		}},
		{"a triangle", [][]point{{{0, 0}, {2 * px, 2 * px}, {0, 2 * px}}}, []uint8{
			128, 0, 0, 0, 255, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		}},
		{"a line of no width", [][]point{{{px, 0}, {px, 4 * px}}}, make([]uint8, 16)},
	} {
		if got := fillTest(v.contours...); !slices.Equal(got, v.want) {
			t.Errorf("%s: %v, want %v", v.name, got, v.want)
		}
	}
}

// Random star polygons, that wind over themselves, against the winding number of
// many points in each pixel.
func TestFillAgainstWindingNumbers(t *testing.T) {
	const seed, size, samples = 17, 4, 32
	random := rand.New(rand.NewPCG(seed, 0))
	r, dst := newRaster(size), make([]uint8, size*size)
	for round := range 16 {
		points := make([]point, 3+random.IntN(9))
		for k := range points {
			points[k] = point{random.Int64N(size*subpixel + 1), random.Int64N(size*subpixel + 1)}
		}
		ends := []int{len(points)}
		if len(points) >= 6 {
			ends = []int{3, len(points)}
		}
		r.fill(dst, points, ends)
		for k, got := range dst {
			inside := 0
			for s := range samples * samples {
				x := (float64(k%size) + (float64(s%samples)+0.5)/samples) * subpixel
				y := (float64(k/size) + (float64(s/samples)+0.5)/samples) * subpixel
				if winding(points, ends, x, y) != 0 {
					inside++
				}
			}
			want := 255 * float64(inside) / (samples * samples)
			if math.Abs(float64(got)-want) > 16 {
				t.Fatalf("seed %d, round %d: pixel %d is %d, want about %.0f; points %v", seed, round, k, got, want, points)
			}
		}
	}
}

// winding counts how often the contours run round (x, y).
func winding(points []point, ends []int, x, y float64) int {
	n, first := 0, 0
	for _, end := range ends {
		for k := first; k < end; k++ {
			a, b := points[k], points[first+(k-first+1)%(end-first)]
			ay, by := float64(a.y), float64(b.y)
			if (ay <= y) == (by <= y) {
				continue
			}
			if at := float64(a.x) + (y-ay)/(by-ay)*float64(b.x-a.x); at > x {
				continue
			}
			if ay < by {
				n++
			} else {
				n--
			}
		}
		first = end
	}
	return n
}

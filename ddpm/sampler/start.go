package sampler

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// start writes x_T of an image.
func (c Config) start(x []float32, image uint32) {
	if c.Towards == nil {
		rng.Normals(x, c.Seed, rng.SampleStart, 0, image)
		return
	}
	rng.Normals(x, c.Seed, rng.SampleStart, 0, 0)
	other := make([]float32, len(x))
	rng.Normals(other, c.Towards.Seed, rng.SampleStart, 0, 0)
	slerp(x, other, float64(image)/float64(c.Towards.Images-1))
}

// slerp moves x towards other on the great circle through both: share 0 is x, 1 is
// other (Shoemake 1985).
func slerp(x, other []float32, share float64) {
	var dot, xx, oo float64
	for i, v := range x {
		a, b := float64(v), float64(other[i])
		dot += float64(a * b)
		xx += float64(a * a)
		oo += float64(b * b)
	}
	theta := arccos(dot / math.Sqrt(float64(xx*oo)))
	sin := rng.Sin(theta)
	a, b := rng.Sin(float64((1-share)*theta))/sin, rng.Sin(float64(share*theta))/sin
	for i, v := range x {
		x[i] = float32(float64(a*float64(v)) + float64(b*float64(other[i])))
	}
}

// arccos is the angle of a cosine in (-1, 1), by Newton's method from π/2, where the
// angles of independent noise are.
func arccos(c float64) float64 {
	const limit = 0.999 // nearer to parallel there is no circle to speak of
	c = max(-limit, min(limit, c))
	theta := math.Pi / 2
	for range 30 {
		theta += (rng.Cos(theta) - c) / rng.Sin(theta)
		theta = max(1e-3, min(math.Pi-1e-3, theta))
	}
	return theta
}

package unet

import (
	"math"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// The gradient of a network in the forms that one which was trained elsewhere may have is
// that of its own output, which is compared with diffusers' where such networks are read.
func TestGradientOfImportedForms(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes long without vector code")
	}
	c := Config{
		Size: 8, InChannels: 1, OutChannels: 1, Channels: []int{8, 8}, ResBlocks: 1, Attention: []int{4}, Groups: 2, NormEps: 1e-5,
		HeadDim: 4, PadAllSides: true, CosFirst: true, Unshifted: true,
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	w := make([]float32, c.ParamCount())
	rng.Uniforms(w, 0.6, 1, rng.Init, 0, 0) // so large that attention prefers some pixels to others
	net := New(c, nil)
	x, ts := randomImages(c, 2)
	r, grad := make([]float32, len(x)), make([]float32, len(w))
	rng.Normals(r, 4, rng.Noise, 0, 9)
	net.SetWeights(w)
	net.Forward(x, ts, Training(0, nil))
	net.Backward(slices.Clone(r), grad, nil)
	loss := func(w []float32) (sum float64) {
		net.SetWeights(w)
		for i, y := range net.Forward(x, ts, Sampling()) {
			sum += float64(y) * float64(r[i])
		}
		return sum
	}
	for _, p := range c.Params() {
		checkSlopes(t, p, w, grad, loss)
	}
}

// checkSlopes compares the gradient of a parameter with central differences, in its own
// direction and in a random one.
func checkSlopes(t *testing.T, p Param, w, grad []float32, loss func([]float32) float64) {
	t.Helper()
	own, random := grad[p.Offset:p.Offset+p.Len()], make([]float32, p.Len())
	rng.Normals(random, 5, rng.Init, 0, 3)
	for name, direction := range map[string][]float32{"its own": own, "a random": random} {
		size := math.Sqrt(dot(direction, direction))
		if size < 1e-4 {
			continue // of the keys' bias, which softmax does not see
		}
		at := func(h float64) float64 {
			moved := slices.Clone(w)
			for i, d := range direction {
				moved[p.Offset+i] += float32(h * float64(d) / size)
			}
			return loss(moved)
		}
		const h = 1e-2
		got, want := dot(own, direction)/size, (at(h)-at(-h))/(2*h)
		if math.Abs(got-want) > 2e-4*math.Sqrt(dot(own, own))+6e-4 {
			t.Errorf("%s, in %s direction: the gradient gives %.6f, differences give %.6f", p.Name, name, got, want)
		}
	}
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

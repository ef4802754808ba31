package unet

import (
	"math"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

func small() Config {
	return Config{
		Size: 8, InChannels: 3, OutChannels: 3, Channels: []int{16, 32},
		ResBlocks: 1, Attention: []int{4}, Groups: 4, NormEps: 1e-6, Dropout: 0.2,
	}
}

func randomWeights(c Config) []float32 {
	w := make([]float32, c.ParamCount())
	rng.Uniforms(w, 0.2, 1, rng.Init, 0, 0)
	return w
}

func randomImages(c Config, n int) ([]float32, []int) {
	x, t := make([]float32, n*c.ImageLen()), make([]int, n)
	for i := range t {
		rng.Normals(x[i*c.ImageLen():(i+1)*c.ImageLen()], 2, rng.Noise, 0, uint32(i))
		t[i] = 137 * i
	}
	return x, t
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v, not %v", what, i, got[i], want[i])
		}
	}
}

// step returns the output and the gradient of one training pass.
func step(t *testing.T, threads int) (out, grad []float32) {
	t.Helper()
	c := small()
	pool := kernel.NewPool(threads)
	defer pool.Close()
	net := New(c, pool)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 3)
	keys := []Key{{Step: 5, Slot: 0}, {Step: 5, Slot: 1}, {Step: 5, Slot: 2}}
	out = append(out, net.Forward(x, ts, Training(3, keys))...)
	d := make([]float32, len(out))
	rng.Normals(d, 4, rng.Noise, 0, 9)
	grad = make([]float32, c.ParamCount())
	net.Backward(d, grad, nil)
	return out, grad
}

func TestThreadsDoNotChangeABit(t *testing.T) {
	out, grad := step(t, 1)
	for _, threads := range []int{2, 3, 5} {
		o, g := step(t, threads)
		sameBits(t, "output", o, out)
		sameBits(t, "gradient", g, grad)
	}
}

// An image's output is its own: the batch around it does not matter.
func TestImagesAreIndependent(t *testing.T) {
	c := small()
	net := New(c, nil)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 4)
	all := append([]float32(nil), net.Forward(x, ts, Sampling())...)
	n := c.ImageLen()
	for i := range ts {
		alone := net.Forward(x[i*n:(i+1)*n], ts[i:i+1], Sampling())
		sameBits(t, "an image alone", alone, all[i*n:(i+1)*n])
	}
}

// Backward adds to what is there, and a net can be used again.
func TestBackwardAccumulates(t *testing.T) {
	c := small()
	c.Dropout = 0
	net := New(c, nil)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 2)
	d := make([]float32, len(x))
	rng.Normals(d, 4, rng.Noise, 0, 9)
	once, twice := make([]float32, c.ParamCount()), make([]float32, c.ParamCount())
	net.Forward(x, ts, Training(0, nil))
	net.Backward(d, once, nil)
	for range 2 {
		net.Forward(x, ts, Training(0, nil))
		net.Backward(d, twice, nil)
	}
	for i := range once {
		if diff := math.Abs(float64(twice[i] - 2*once[i])); diff > 1e-4*math.Abs(float64(once[i]))+1e-5 {
			t.Fatalf("element %d: %v after two passes, %v after one", i, twice[i], once[i])
		}
	}
}

// What Backward says is final it neither writes nor reads any more, and it says so all
// along the way.
func TestBackwardTellsWhatIsFinal(t *testing.T) {
	c := small()
	net := New(c, nil)
	net.SetWeights(randomWeights(c))
	x, ts := randomImages(c, 2)
	d := make([]float32, len(x))
	rng.Normals(d, 4, rng.Noise, 0, 9)
	want := make([]float32, c.ParamCount())
	net.Forward(x, ts, Training(0, nil))
	net.Backward(d, want, nil)

	grad, final := make([]float32, len(want)), make([]float32, len(want))
	hi, calls, largest := len(grad), 0, 0
	net.Forward(x, ts, Training(0, nil))
	net.Backward(d, grad, func(lo int) {
		if lo > hi {
			t.Fatalf("final from %d on, after %d", lo, hi)
		}
		copy(final[lo:hi], grad[lo:hi])
		for i := lo; i < hi; i++ {
			grad[i] = float32(math.Inf(1))
		}
		largest = max(largest, hi-lo)
		hi = lo
		calls++
	})
	sameBits(t, "what was final", final, want)
	for i, g := range grad {
		if !math.IsInf(float64(g), 1) {
			t.Fatalf("element %d became %v after it was final", i, g)
		}
	}
	if hi != 0 || calls < 5 || largest > len(grad)/3 {
		t.Errorf("%d calls, down to %d, the largest part %d of %d", calls, hi, largest, len(grad))
	}
}

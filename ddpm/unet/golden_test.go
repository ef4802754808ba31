package unet_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/nn"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// The bounds of the relative error ‖got - want‖/‖want‖ of a tensor. PyTorch's own
// float32 is within 1e-6 of the reference for the outputs, 5e-6 for gradients.
const (
	outputTolerance   = 1e-5
	gradientTolerance = 1e-4
	// zeroTolerance is for the one kind of parameter whose gradient is zero
	// whatever the weights: the bias of an attention's keys adds the same to all
	// scores of a query, and softmax does not see that. What rounding leaves there
	// is measured against the norm of the whole gradient.
	zeroTolerance = 1e-6
)

// golden is testdata/unet.json, which testdata/make_fixtures.py writes.
type golden struct {
	Seed  uint64       `json:"seed"`
	Cases []goldenCase `json:"cases"`
}

type goldenCase struct {
	Name   string      `json:"name"`
	Config unet.Config `json:"config"`
	T      []int       `json:"t"`
	// Keys are (step, slot) of each image where the case has dropout.
	Keys    [][2]uint32    `json:"keys"`
	Tensors []goldenTensor `json:"tensors"`
	// Embedding is the sinusoid of T, [len(T), Channels[0]].
	Embedding []float64 `json:"embedding"`

	output    []float32
	gradients [][]float32
}

// goldenTensor is a parameter; its values are Base plus uniforms in (-A, A).
type goldenTensor struct {
	Name  string  `json:"name"`
	Shape []int   `json:"shape"`
	Base  float32 `json:"base"`
	A     float64 `json:"a"`
}

func readGolden(t *testing.T) golden {
	t.Helper()
	text, err := os.ReadFile("testdata/unet.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile("testdata/unet.bin")
	if err != nil {
		t.Fatal(err)
	}
	take := func(n int) []float32 {
		if len(bin) < 4*n {
			t.Fatalf("testdata/unet.bin ends %d bytes early", 4*n-len(bin))
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(bin[4*i:]))
		}
		bin = bin[4*n:]
		return v
	}
	for i := range g.Cases {
		c := &g.Cases[i]
		c.output = take(len(c.T) * c.Config.ImageLen())
		for _, p := range c.Tensors {
			n := 1
			for _, d := range p.Shape {
				n *= d
			}
			c.gradients = append(c.gradients, take(n))
		}
	}
	if len(bin) != 0 {
		t.Fatalf("testdata/unet.bin has %d bytes too many", len(bin))
	}
	return g
}

func (c goldenCase) weights(seed uint64) []float32 {
	var w []float32
	for i, p := range c.Tensors {
		u := make([]float32, len(c.gradients[i]))
		rng.Uniforms(u, p.A, seed, rng.Init, 0, uint32(i))
		for j := range u {
			u[j] += p.Base
		}
		w = append(w, u...)
	}
	return w
}

// images returns one image in (-2, 2) for each timestep: x for step 0, the
// target for step 1.
func (c goldenCase) images(seed, step uint64) []float32 {
	n := c.Config.ImageLen()
	x := make([]float32, len(c.T)*n)
	for i := range c.T {
		rng.Uniforms(x[i*n:(i+1)*n], 2, seed, rng.Noise, step, uint32(i))
	}
	return x
}

func (c goldenCase) options(seed uint64) unet.Options {
	if c.Keys == nil {
		return unet.Training(seed, nil)
	}
	keys := make([]unet.Key, len(c.Keys))
	for i, k := range c.Keys {
		keys[i] = unet.Key{Step: uint64(k[0]), Slot: k[1]}
	}
	return unet.Training(seed, keys)
}

// run returns the output for x, and the gradient of mean((output - target)²).
func (c goldenCase) run(seed uint64, threads int) (out, grad []float32) {
	pool := kernel.NewPool(threads)
	defer pool.Close()
	net := unet.New(c.Config, pool)
	net.SetWeights(c.weights(seed))
	out = slices.Clone(net.Forward(c.images(seed, 0), c.T, c.options(seed)))
	d := make([]float32, len(out))
	for i, target := range c.images(seed, 1) {
		d[i] = 2 / float32(len(out)) * (out[i] - target)
	}
	grad = make([]float32, c.Config.ParamCount())
	net.Backward(d, grad, nil)
	return out, grad
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// distance is ‖a - b‖.
func distance(a, b []float32) float64 {
	d := make([]float32, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return norm(d)
}

// The parameters' names, shapes and order are diffusers' state, sorted.
func TestGoldenParams(t *testing.T) {
	for _, c := range readGolden(t).Cases {
		params := c.Config.Params()
		if len(params) != len(c.Tensors) {
			t.Fatalf("%s: %d parameter tensors, UNet2DModel has %d", c.Name, len(params), len(c.Tensors))
		}
		for i, p := range params {
			if want := c.Tensors[i]; p.Name != want.Name || !slices.Equal(p.Shape, want.Shape) {
				t.Errorf("%s: tensor %d is %s %v, want %s %v", c.Name, i, p.Name, p.Shape, want.Name, want.Shape)
			}
		}
	}
}

func TestGoldenSinusoid(t *testing.T) {
	for _, c := range readGolden(t).Cases {
		got := nn.NewEngine(kernel.NewPool(1)).Sinusoid(c.T, c.Config.Channels[0], nn.SinusoidForm{}).Float32s()
		if len(got) != len(c.Embedding) {
			t.Fatalf("%s: %d values, want %d", c.Name, len(got), len(c.Embedding))
		}
		for i, want := range c.Embedding {
			if !(math.Abs(float64(got[i])-want) <= 1e-7) {
				t.Errorf("%s: element %d is %v, want %v", c.Name, i, got[i], want)
			}
		}
	}
}

func TestGoldenUNet(t *testing.T) {
	g := readGolden(t)
	for _, c := range g.Cases {
		t.Run(c.Name, func(t *testing.T) {
			out, grad := c.run(g.Seed, 1)
			if e := distance(out, c.output) / norm(c.output); !(e <= outputTolerance) {
				t.Errorf("output: relative error %.1e, want at most %.0e", e, outputTolerance)
			}
			checkGradients(t, c, grad)
			out3, grad3 := c.run(g.Seed, 3)
			if !slices.Equal(out, out3) || !slices.Equal(grad, grad3) {
				t.Error("three threads do not give the bits of one")
			}
		})
	}
}

func checkGradients(t *testing.T, c goldenCase, grad []float32) {
	t.Helper()
	whole := norm(slices.Concat(c.gradients...))
	for i, p := range c.Config.Params() {
		want, got := c.gradients[i], grad[p.Offset:p.Offset+p.Len()]
		d := distance(got, want)
		if strings.HasSuffix(p.Name, ".to_k.bias") {
			if !(d <= zeroTolerance*whole) {
				t.Errorf("gradient of %s: norm %.1e of the whole gradient's, want 0", p.Name, d/whole)
			}
			continue
		}
		if e := d / norm(want); !(e <= gradientTolerance) {
			t.Errorf("gradient of %s: relative error %.1e, want at most %.0e", p.Name, e, gradientTolerance)
		}
	}
}

package ddpm

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/nn"
)

var winogradSteps = flag.Int("winograd.steps", 12, "steps that TestWinogradInTraining trains")

// TestWinogradInTraining trains the quick start's network on drawn digits twice, with
// Winograd's convolutions and with direct sums. The losses must stay together, and at
// the end each pass of each convolution near to its sums in float64.
func TestWinogradInTraining(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two networks")
	}
	tiled, device, lastShard := trainDigits(t, false)
	direct, _, _ := trainDigits(t, true)
	var sum, apart float64
	for i, v := range direct {
		sum, apart = sum+v, apart+math.Abs(tiled[i]-v)
		if n := len(direct); i%max(1, n/10) == 0 || i == n-1 {
			t.Logf("step %4d: loss %.5f with Winograd, %.5f with direct sums", i, tiled[i], v)
		}
	}
	t.Logf("mean over %d steps: the losses are %.2g of their own apart", len(direct), apart/sum)
	if apart > 0.02*sum {
		t.Errorf("the losses are %.2g of their own apart", apart/sum)
	}

	errs := roundingErrors{rng: rand.New(rand.NewPCG(1, 2)), by: map[string]*rounding{}}
	device.net.Engine().WatchConvs(errs.measure)
	if _, err := device.Gradient(lastShard, make([]float32, device.spec.Model.ParamCount()), nil); err != nil {
		t.Fatal(err)
	}
	for _, pass := range []string{"forward", "by data", "by weights"} {
		r := errs.by[pass]
		if r == nil {
			t.Fatalf("no convolution's %s pass is by Winograd", pass)
		}
		t.Logf("%-10s root mean square error of the values': Winograd %.2g (worst layer %.2g), direct %.2g", pass,
			r.tiled/float64(r.layers), r.worst, r.direct/float64(r.layers))
		if r.worst > 2e-5 {
			t.Errorf("%s: Winograd is off by %.2g of the values'", pass, r.worst)
		}
	}
}

// trainDigits returns the losses of a run, and its device with the shard that would
// come next.
func trainDigits(t *testing.T, direct bool) (losses []float64, device *CPU, next []Example) {
	p, err := FindPreset("digits")
	if err != nil {
		t.Fatal(err)
	}
	s := p.Spec
	s.ShardSize = s.Batch
	data, err := dataset.Open(t.Context(), "glyphs://?n=1024", Want(s.Model))
	if err != nil {
		t.Fatal(err)
	}
	s.DatasetLen = data.Len()
	pool := kernel.NewPool(2)
	t.Cleanup(pool.Close)
	device, state := NewCPU(s, data, pool), NewState(s)
	if direct {
		device.net.Engine().DirectSums()
	}
	grad := make([]float32, len(state.Weights))
	for range *winogradSteps {
		device.Begin(state.Weights)
		loss, err := device.Gradient(PlanStep(s, state.Step).Shard(0), grad, nil)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
		state.Update(s, pool, grad)
	}
	device.Begin(state.Weights)
	return losses, device, PlanStep(s, state.Step).Shard(0)
}

// rounding sums up the relative errors of a pass over the layers.
type rounding struct {
	layers               int
	tiled, direct, worst float64
}

// roundingErrors compares convolutions with float64, at some of their outputs.
type roundingErrors struct {
	rng *rand.Rand
	by  map[string]*rounding
}

func (e *roundingErrors) measure(c nn.ConvCall) {
	if !c.Winograd() {
		return
	}
	var forward, grad kernel.Packed
	c.PackForward(nil, &forward, c.Weights)
	c.PackGradInput(nil, &grad, c.Weights)
	tiled, direct := make([]float32, len(c.DY)), make([]float32, len(c.DY))
	zero := make([]float32, len(c.Bias))
	c.WinogradForward(nil, c.X, c.Weights, zero, tiled)
	c.Forward(nil, c.X, &forward, zero, direct)
	e.compare("forward", tiled, direct, func(i int) float64 { return exactOutput(c, i) })
	tiled, direct = make([]float32, len(c.X)), make([]float32, len(c.X))
	c.WinogradGradInput(nil, c.DY, c.Weights, tiled)
	c.GradInput(nil, c.DY, &grad, direct)
	e.compare("by data", tiled, direct, func(i int) float64 { return exactInputGrad(c, i) })
	tiled, direct = make([]float32, len(c.Weights)), make([]float32, len(c.Weights))
	c.WinogradGradWeight(nil, c.X, c.DY, tiled)
	c.GradWeight(nil, c.X, c.DY, direct)
	e.compare("by weights", tiled, direct, func(i int) float64 { return exactWeightGrad(c, i) })
}

// compare adds a layer's errors against the exact values.
func (e *roundingErrors) compare(pass string, tiled, direct []float32, exact func(i int) float64) {
	const samples = 300
	var sum, tiledErr, directErr float64
	for range samples {
		i := e.rng.IntN(len(tiled))
		v := exact(i)
		sum += v * v
		tiledErr += (float64(tiled[i]) - v) * (float64(tiled[i]) - v)
		directErr += (float64(direct[i]) - v) * (float64(direct[i]) - v)
	}
	r := e.by[pass]
	if r == nil {
		r = &rounding{}
		e.by[pass] = r
	}
	r.layers++
	r.tiled += math.Sqrt(tiledErr / sum)
	r.direct += math.Sqrt(directErr / sum)
	r.worst = max(r.worst, math.Sqrt(tiledErr/sum))
}

// pixel is where a pixel's channels begin in [N,H,W,ch], and whether there is one.
func pixel(c nn.ConvCall, n, y, x, ch int) (at int, ok bool) {
	return ((n*c.H+y)*c.Conv.W + x) * ch, y >= 0 && y < c.H && x >= 0 && x < c.Conv.W
}

// place takes an index of [N,H,W,ch] apart.
func place(c nn.ConvCall, i, ch int) (n, y, x, channel int) {
	p := i / ch
	return p / c.Conv.W / c.H, p / c.Conv.W % c.H, p % c.Conv.W, i % ch
}

func exactOutput(c nn.ConvCall, i int) (v float64) {
	n, y, x, co := place(c, i, c.Cout)
	for tap := range 9 {
		at, ok := pixel(c, n, y+tap/3-1, x+tap%3-1, c.Cin)
		for ci := 0; ok && ci < c.Cin; ci++ {
			v += float64(c.X[at+ci]) * float64(c.Weights[(co*c.Cin+ci)*9+tap])
		}
	}
	return v
}

func exactInputGrad(c nn.ConvCall, i int) (v float64) {
	n, y, x, ci := place(c, i, c.Cin)
	for tap := range 9 {
		at, ok := pixel(c, n, y-tap/3+1, x-tap%3+1, c.Cout)
		for co := 0; ok && co < c.Cout; co++ {
			v += float64(c.DY[at+co]) * float64(c.Weights[(co*c.Cin+ci)*9+tap])
		}
	}
	return v
}

func exactWeightGrad(c nn.ConvCall, i int) (v float64) {
	co, ci, tap := i/9/c.Cin, i/9%c.Cin, i%9
	for p := range len(c.DY) / c.Cout {
		n, y, x, _ := place(c, p, 1)
		if at, ok := pixel(c, n, y+tap/3-1, x+tap%3-1, c.Cin); ok {
			v += float64(c.X[at+ci]) * float64(c.DY[p*c.Cout+co])
		}
	}
	return v
}

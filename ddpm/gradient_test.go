package ddpm

import (
	"math"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// shardOfTwo is a shard with one image as it is and one mirrored, at timesteps far
// apart.
func shardOfTwo() []Example {
	return []Example{
		{Step: 3, Slot: 6, Index: 11, T: 20},
		{Step: 3, Slot: 7, Index: 5, T: 700, Flip: true},
	}
}

// What an example consists of, from the dataset's bytes and the counters alone.
func TestBatchHoldsWhatThePlanSays(t *testing.T) {
	s := planSpec()
	data := ramps{n: s.DatasetLen, spec: s}
	var b Batch
	if err := b.Load(s, data, shardOfTwo()); err != nil {
		t.Fatal(err)
	}
	size, n := s.Model.Size, s.Model.ImageLen()
	for e, ex := range shardOfTwo() {
		if b.T[e] != ex.T {
			t.Errorf("image %d is at t = %d, want %d", e, b.T[e], ex.T)
		}
		pixels, eps := make([]uint8, n), make([]float32, n)
		if err := data.Example(int(ex.Index), pixels); err != nil {
			t.Fatal(err)
		}
		rng.Normals(eps, s.Seed, rng.Noise, ex.Step, ex.Slot)
		for i := range n {
			from := i // one channel: i is row·size + column
			if ex.Flip {
				from = i/size*size + size - 1 - i%size
			}
			if got, want := b.X0[e*n+i], float32(pixels[from])/127.5-1; got != want {
				t.Fatalf("image %d: x0[%d] is %v, want %v", e, i, got, want)
			}
			if got := b.Eps[e*n+i]; got != eps[i] {
				t.Fatalf("image %d: eps[%d] is %v, want %v", e, i, got, eps[i])
			}
		}
	}
}

// wideState is a state whose every layer counts: the initial one predicts zero.
func wideState(s Spec) *State {
	st := NewState(s)
	for i, p := range s.Model.Params() {
		if p.Init == unet.InitFanAvgTiny {
			rng.Uniforms(st.Weights[p.Offset:p.Offset+p.Len()], fanAvgLimit(p, 1), s.Seed, rng.Init, 1, uint32(i))
		}
	}
	return st
}

// The gradient is that of L_simple = mean (eps - eps_theta(x_t, t))² (equation 14)
// with x_t = sqrt(alphaBar)·x0 + sqrt(1 - alphaBar)·eps (equation 4) and the
// examples' own dropout.
func TestGradientIsThatOfLSimple(t *testing.T) {
	s := planSpec()
	s.Model.Dropout = 0.3
	shard := shardOfTwo()
	st := wideState(s)
	d := NewCPU(s, ramps{n: s.DatasetLen, spec: s}, nil)
	d.Begin(st.Weights)
	grad := make([]float32, len(st.Weights))
	loss, err := d.Gradient(shard, grad, nil)
	if err != nil {
		t.Fatal(err)
	}

	var b Batch
	if err := b.Load(s, ramps{n: s.DatasetLen, spec: s}, shard); err != nil {
		t.Fatal(err)
	}
	tables := diffusion.NewTables(s.Diffusion)
	n := s.Model.ImageLen()
	xt := make([]float32, len(b.X0))
	for i := range xt {
		bar := tables.AlphaBar[shard[i/n].T]
		xt[i] = float32(math.Sqrt(bar)*float64(b.X0[i]) + math.Sqrt(1-bar)*float64(b.Eps[i]))
	}
	keys := []unet.Key{{Step: 3, Slot: 6}, {Step: 3, Slot: 7}}
	net := unet.New(s.Model, nil)
	net.SetWeights(st.Weights)
	predicted := net.Forward(xt, []int{20, 700}, unet.Training(s.Seed, keys))
	wantLoss, dy := 0.0, make([]float32, len(xt))
	for i, p := range predicted {
		diff := float64(p) - float64(b.Eps[i])
		wantLoss += diff * diff / float64(len(xt))
		dy[i] = float32(2 * diff / float64(len(xt)))
	}
	if math.Abs(loss-wantLoss) > 1e-5*wantLoss {
		t.Errorf("the loss is %v, want %v", loss, wantLoss)
	}
	want := make([]float32, len(grad))
	net.Backward(dy, want, nil)
	if e := relative(grad, want); !(e < 1e-5) {
		t.Errorf("the gradient is off by %.1e of its norm", e)
	}
}

// relative is ‖got - want‖/‖want‖.
func relative(got, want []float32) float64 {
	diff, norm := 0.0, 0.0
	for i, w := range want {
		diff += (float64(got[i]) - float64(w)) * (float64(got[i]) - float64(w))
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(diff / norm)
}

// A network that is large enough for every loop of it to be cut.
func TestLargeGradientIsThreadIndependent(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes long without vector code")
	}
	s := digits().Spec
	s.DatasetLen, s.Model.Dropout, s.Flip = 100, 0.1, true
	shard, st := PlanStep(s, 5).Shard(2), wideState(s)
	var wantLoss float64
	var want []float32
	for _, threads := range []int{1, 2, 3, 7} {
		pool := kernel.NewPool(threads)
		d := NewCPU(s, ramps{n: s.DatasetLen, spec: s}, pool)
		d.Begin(st.Weights)
		grad := make([]float32, len(st.Weights))
		loss, err := d.Gradient(shard, grad, nil)
		pool.Close()
		if err != nil {
			t.Fatal(err)
		}
		if threads == 1 {
			wantLoss, want = loss, grad
			continue
		}
		if loss != wantLoss {
			t.Errorf("%d threads: loss %v, one has %v", threads, loss, wantLoss)
		}
		for i := range want {
			if math.Float32bits(grad[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%d threads: gradient element %d is %v, one has %v", threads, i, grad[i], want[i])
			}
		}
	}
}

package ddpm

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// ramps is a dataset of diagonal ramps.
type ramps struct {
	n    int
	spec Spec
	fail bool
}

func (r ramps) Len() int       { return r.n }
func (r ramps) Digest() string { return "sha256:ramps" }
func (r ramps) URI() string    { return "test:ramps" }
func (r ramps) Shape() dataset.Shape {
	m := r.spec.Model
	return dataset.Shape{Height: m.Size, Width: m.Size, Channels: m.InChannels}
}

func (r ramps) Example(i int, dst []uint8) error {
	if r.fail {
		return errors.New("disk on fire")
	}
	for p := range dst {
		dst[p] = uint8(7*i + 13*p)
	}
	return nil
}

func gradientOf(t *testing.T, threads int, spec Spec, shard []Example) (float64, []float32) {
	t.Helper()
	pool := kernel.NewPool(threads)
	defer pool.Close()
	d := NewCPU(spec, ramps{n: spec.DatasetLen, spec: spec}, pool)
	d.Begin(NewState(spec).Weights)
	grad := make([]float32, spec.Model.ParamCount())
	loss, err := d.Gradient(shard, grad, nil)
	if err != nil {
		t.Fatal(err)
	}
	return loss, grad
}

func TestGradientIsThreadIndependent(t *testing.T) {
	s := planSpec()
	shard := PlanStep(s, 7).Shard(3)
	loss, grad := gradientOf(t, 1, s, shard)
	// The initial network predicts almost zero, so the loss is about E[eps²] = 1.
	if math.Abs(loss-1) > 0.4 {
		t.Errorf("the initial loss is %g", loss)
	}
	for _, threads := range []int{2, 3} {
		l, g := gradientOf(t, threads, s, shard)
		if l != loss {
			t.Errorf("%d threads: loss %v, not %v", threads, l, loss)
		}
		for i := range g {
			if math.Float32bits(g[i]) != math.Float32bits(grad[i]) {
				t.Fatalf("%d threads: gradient element %d is %v, not %v", threads, i, g[i], grad[i])
			}
		}
	}
}

// What a device computed before must leave no trace: shards in any order and
// after any other give the same bits.
func TestGradientForgets(t *testing.T) {
	s := planSpec()
	pool := kernel.NewPool(2)
	defer pool.Close()
	d := NewCPU(s, ramps{n: s.DatasetLen, spec: s}, pool)
	grad := make([]float32, s.Model.ParamCount())
	want := map[string]string{}
	for round := range 2 {
		d.Begin(NewState(s).Weights)
		for k := range 4 {
			v := k
			if round == 1 {
				v = 3 - k
			}
			loss, err := d.Gradient(PlanStep(s, 1).Shard(v), grad, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(loss, (&State{Weights: grad}).Digest())
			key := fmt.Sprint(v)
			if round == 0 {
				want[key] = got
			} else if got != want[key] {
				t.Errorf("shard %d gives %s after other shards, %s before", v, got, want[key])
			}
		}
	}
}

func TestGradientReportsTheExample(t *testing.T) {
	s := planSpec()
	d := NewCPU(s, ramps{n: s.DatasetLen, spec: s, fail: true}, nil)
	d.Begin(NewState(s).Weights)
	_, err := d.Gradient(PlanStep(s, 7).Shard(0), make([]float32, s.Model.ParamCount()), nil)
	if err == nil {
		t.Fatal("an unreadable example gives a gradient")
	}
	t.Log(err)
}

func TestFlipMirrors(t *testing.T) {
	pixels := []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}
	flipRows(pixels, 3, 2)
	want := []uint8{5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8, 17, 18, 15, 16, 13, 14}
	for i := range want {
		if pixels[i] != want[i] {
			t.Fatalf("flipped rows are %v, want %v", pixels, want)
		}
	}
}

// A few steps of plain training lower the loss on a fixed plan.
func TestTrainingLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes long without vector code")
	}
	s := planSpec()
	s.DatasetLen = 4
	s.Optimizer.LearningRate, s.Optimizer.WarmupSteps = 2e-3, 0
	pool := kernel.NewPool(2)
	defer pool.Close()
	d := NewCPU(s, ramps{n: s.DatasetLen, spec: s}, pool)
	st := NewState(s)
	n := len(st.Weights)
	mean, grad := make([]float32, n), make([]float32, n)
	var first, last float64
	const steps = 60
	for st.Step < steps {
		d.Begin(st.Weights)
		clear(mean)
		loss := 0.0
		for v := range s.Shards() {
			l, err := d.Gradient(PlanStep(s, st.Step).Shard(v), grad, nil)
			if err != nil {
				t.Fatal(err)
			}
			loss += l / float64(s.Shards())
			kernel.Axpy(mean, 1/float32(s.Shards()), grad)
		}
		st.Update(s, pool, mean)
		if st.Step <= 10 {
			first += loss / 10
		}
		if st.Step > steps-10 {
			last += loss / 10
		}
	}
	if !(last < 0.75*first) {
		t.Errorf("the loss went from %.3f to %.3f in %d steps", first, last, steps)
	}
}

// A shard's account has the losses of its examples, which are those of the examples
// alone, and tells the time where there is a clock.
func TestAccount(t *testing.T) {
	s := planSpec()
	d := NewCPU(s, ramps{n: s.DatasetLen, spec: s}, nil)
	var now int64
	d.Clock = func() int64 { now += 5; return now }
	d.Begin(NewState(s).Weights)
	grad := make([]float32, s.Model.ParamCount())
	shard := PlanStep(s, 7).Shard(3)
	loss, err := d.Gradient(shard, grad, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := d.Account()
	losses := slices.Clone(a.Losses)
	if len(losses) != len(shard) || a.Input != 5 || a.Forward != 5 || a.Backward != 5 {
		t.Fatalf("%+v", a)
	}
	sum := 0.0
	for i, l := range losses {
		sum += l
		alone, err := d.Gradient(shard[i:i+1], grad, nil)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(alone-l) > 1e-9 {
			t.Errorf("example %d has the loss %v, alone %v", i, l, alone)
		}
	}
	if math.Abs(sum/float64(len(losses))-loss) > 1e-12 {
		t.Errorf("the examples' mean is %v, the shard's loss %v", sum/float64(len(losses)), loss)
	}
	for _, v := range []struct{ t, slice int }{{0, 0}, {s.Diffusion.Steps - 1, TimeSlices - 1}, {s.Diffusion.Steps / 2, TimeSlices / 2}} {
		if got := s.TimeSlice(v.t); got != v.slice {
			t.Errorf("timestep %d is in slice %d, want %d", v.t, got, v.slice)
		}
	}
}

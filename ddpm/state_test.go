package ddpm

import (
	"math"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

func TestInitialWeights(t *testing.T) {
	s := tiny().Spec
	st := NewState(s)
	for _, p := range s.Model.Params() {
		w := st.Weights[p.Offset : p.Offset+p.Len()]
		limit := 0.0
		switch p.Init {
		case unet.InitZero:
			limit = 0
		case unet.InitOne:
			limit = 1
		case unet.InitFanAvg:
			limit = fanAvgLimit(p, 1)
		case unet.InitFanAvgTiny:
			limit = fanAvgLimit(p, 1e-10)
		}
		largest := 0.0
		for _, v := range w {
			largest = max(largest, math.Abs(float64(v)))
		}
		if largest > limit || largest < 0.8*limit {
			t.Errorf("%s: the largest weight is %g, the limit %g", p.Name, largest, limit)
		}
	}
	// A 3x3 convolution 16 -> 16: ±sqrt(6/(9·16 + 9·16)).
	conv := unet.Param{Shape: []int{16, 16, 3, 3}}
	if got, want := fanAvgLimit(conv, 1), math.Sqrt(6.0/288); math.Abs(got-want) > 1e-15 {
		t.Errorf("limit %g, want %g", got, want)
	}
}

func TestDigestNamesEveryBit(t *testing.T) {
	s := tiny().Spec
	st := NewState(s)
	digest := st.Digest()
	if again := NewState(s).Digest(); again != digest {
		t.Fatalf("the same spec gives %s and %s", digest, again)
	}
	flip := func(name string, v *float32) {
		saved := *v
		*v = math.Float32frombits(math.Float32bits(saved) ^ 1)
		if st.Digest() == digest {
			t.Errorf("a changed bit of %s keeps the digest", name)
		}
		*v = saved
	}
	last := len(st.Weights) - 1
	flip("the weights", &st.Weights[0])
	flip("the weights' end", &st.Weights[last])
	flip("m", &st.M[3])
	flip("v", &st.V[last])
	flip("ema", &st.EMA[7])
	st.Step++
	if st.Digest() == digest {
		t.Error("another step keeps the digest")
	}
	s.Seed++
	if NewState(s).Digest() == digest {
		t.Error("another seed keeps the digest")
	}
}

func TestLearningRateWarmsUp(t *testing.T) {
	o := Optimizer{LearningRate: 2e-4, WarmupSteps: 5000}
	for k, want := range map[uint64]float64{0: 0, 1: 4e-8, 2500: 1e-4, 5000: 2e-4, 800_000: 2e-4} {
		if got := learningRate(o, k); math.Abs(got-want) > 1e-18 {
			t.Errorf("the rate of update %d is %g, want %g", k, got, want)
		}
	}
}

func TestEMAWarmsUp(t *testing.T) {
	o := Optimizer{EMADecay: 0.9999}
	if got := emaDecay(o, 0); got != 0.1 {
		t.Errorf("the first decay is %g, want 0.1", got)
	}
	if got := emaDecay(o, 10_000_000); got != 0.9999 {
		t.Errorf("the late decay is %g, want 0.9999", got)
	}
}

func TestPower(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 3, 10, 1000} {
		if got, want := power(0.999, n), math.Pow(0.999, float64(n)); math.Abs(got-want) > 1e-12 {
			t.Errorf("0.999^%d = %g, want %g", n, got, want)
		}
	}
}

func TestUpdateIsThreadIndependent(t *testing.T) {
	run := func(threads int) string {
		pool := kernel.NewPool(threads)
		defer pool.Close()
		s := cifarLike()
		st := NewState(s)
		grad := make([]float32, len(st.Weights))
		for step := range 3 {
			for i := range grad {
				grad[i] = float32(i%17-8) * 1e-3 * float32(step+1)
			}
			st.Update(s, pool, grad)
		}
		return st.Digest()
	}
	one := run(1)
	for _, threads := range []int{2, 3} {
		if got := run(threads); got != one {
			t.Errorf("%d threads give %s, one gives %s", threads, got, one)
		}
	}
}

// cifarLike is large enough for an update to be split over threads.
func cifarLike() Spec {
	s := tiny().Spec
	s.Model.Channels = []int{32, 64}
	s.Optimizer.WarmupSteps = 0
	return s
}

func TestSkipLeavesTheWeights(t *testing.T) {
	spec := tiny().Spec
	st := NewState(spec)
	before := *st
	if info := st.Skip(spec); info.LearningRate != learningRate(spec.Optimizer, 0) || !math.IsNaN(info.GradientNorm) {
		t.Errorf("a skipped step has %+v", info)
	}
	if st.Step != before.Step+1 {
		t.Errorf("step %d after a skip of step %d", st.Step, before.Step)
	}
	st.Step = before.Step
	if st.Digest() != before.Digest() {
		t.Error("a skipped step changed the state")
	}
}

package ddpm

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// localSpec is a run with four local steps in a step.
func localSpec() Spec {
	s := planSpec()
	s.Local = Local{Steps: 4, OuterRate: 0.7, OuterMomentum: 0.9}
	return s
}

// localStep takes one step of a run with local steps and returns its loss.
func localStep(t *testing.T, s Spec, st *State, pool *kernel.Pool) float64 {
	t.Helper()
	l := NewLocalSteps(s, NewCPU(s, ramps{n: s.DatasetLen, spec: s}, pool), pool)
	mean, outer := make([]float32, len(st.Weights)), make([]float32, len(st.Weights))
	total := 0.0
	for v := range s.Shards() {
		loss, err := l.Gradient(t.Context(), st.Weights, st.Step, v, outer, func([]Example) {})
		if err != nil {
			t.Fatal(err)
		}
		total += loss / float64(s.Shards())
		kernel.Axpy(mean, 1/float32(s.Shards()), outer)
	}
	st.Update(s, pool, mean)
	return total
}

// A shard's local steps are those of a run of its own, with a batch of that shard, whose
// moments are new.
func TestLocalStepsAreARunOfTheirOwn(t *testing.T) {
	s := localSpec()
	st := wideState(s)
	st.Step = 3
	data := ramps{n: s.DatasetLen, spec: s}
	const shard = 1
	outer := make([]float32, len(st.Weights))
	var seen [][]Example
	loss, err := NewLocalSteps(s, NewCPU(s, data, nil), nil).
		Gradient(t.Context(), st.Weights, st.Step, shard, outer, func(e []Example) { seen = append(seen, e) })
	if err != nil {
		t.Fatal(err)
	}
	own, d, grad, want := StateFrom(st.Weights), NewCPU(s, data, nil), make([]float32, len(outer)), 0.0
	for i := range s.Local.Steps {
		examples := PlanStep(s, st.Step*4+uint64(i)).Shard(shard)
		if len(seen) <= i || seen[i][0] != examples[0] {
			t.Fatalf("local step %d: examples %v, want %v", i, seen, examples)
		}
		d.Begin(own.Weights)
		l, err := d.Gradient(examples, grad, nil)
		if err != nil {
			t.Fatal(err)
		}
		want += l / 4
		o := s.Optimizer
		norm := math.Sqrt(kernel.SumSquares(nil, grad))
		kernel.AdamStep{
			LR: learningRate(o, st.Step*4+uint64(i)), Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Epsilon,
			Bias1: 1 - math.Pow(o.Beta1, float64(i+1)), Bias2: 1 - math.Pow(o.Beta2, float64(i+1)),
			GradScale: clipScale(o, norm), EMADecay: 1,
		}.Apply(nil, own.Weights, own.M, own.V, own.EMA, grad)
	}
	if math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	checkMoved(t, outer, st.Weights, own.Weights)
}

// checkMoved expects outer to be from less to, and not all 0.
func checkMoved(t *testing.T, outer, from, to []float32) {
	t.Helper()
	moved := 0.0
	for i, x := range outer {
		step := float64(from[i] - to[i])
		moved = max(moved, math.Abs(step))
		if math.Abs(float64(x)-step) > 1e-6 {
			t.Fatalf("element %d: %v, want %v", i, x, step)
		}
	}
	if moved == 0 {
		t.Error("the weights have not moved")
	}
}

// The outer step is Nesterov's, and Adam's second moment stays out of it.
func TestOuterStep(t *testing.T) {
	s := localSpec()
	n := s.Model.ParamCount()
	st := EmptyState(n)
	st.Step = 1000
	st.Weights[5], st.EMA[5], st.M[5] = 1, 2, 0.5
	delta := make([]float32, n)
	delta[5] = 0.25
	st.Update(s, nil, delta)
	m := 0.9*0.5 + 0.25
	w := 1 - 0.7*(0.25+0.9*m)
	d := math.Pow(s.Optimizer.EMADecay, 4)
	for _, v := range []struct{ got, want float64 }{
		{float64(st.M[5]), m}, {float64(st.Weights[5]), w}, {float64(st.EMA[5]), d*2 + (1-d)*w},
		{float64(st.V[5]), 0}, {float64(st.Weights[4]), 0}, {float64(st.Step), 1001},
	} {
		if math.Abs(v.got-v.want) > 1e-6 {
			t.Errorf("%v, want %v", v.got, v.want)
		}
	}
}

// localDigest is the state after two steps of localSpec; see goldenDigest.
const localDigest = "sha256:d98d053b5ced1c1105fb5b2fbd25c1272b3d6b9d949e87cb843da3bd99119a79"

func TestLocalStepsHaveTheirBits(t *testing.T) {
	s := localSpec()
	for _, threads := range []int{1, 3} {
		pool := kernel.NewPool(threads)
		st := wideState(s)
		localStep(t, s, st, pool)
		localStep(t, s, st, pool)
		pool.Close()
		if got := st.Digest(); got != localDigest {
			t.Errorf("%d threads: digest %s, want %s", threads, got, localDigest)
		}
	}
}

func TestLocalStepsEndWithTheirContext(t *testing.T) {
	s := localSpec()
	ctx, cancel := context.WithCancel(t.Context())
	outer, computed := make([]float32, s.Model.ParamCount()), 0
	l := NewLocalSteps(s, NewCPU(s, ramps{n: s.DatasetLen, spec: s}, nil), nil)
	_, err := l.Gradient(ctx, NewState(s).Weights, 0, 0, outer, func([]Example) { computed++; cancel() })
	if !errors.Is(err, context.Canceled) || computed != 1 {
		t.Errorf("%v after %d local steps", err, computed)
	}
}

func TestLocalSettings(t *testing.T) {
	for want, l := range map[string]Local{
		"local-steps -1":     {Steps: -1},
		"local-steps 100000": {Steps: 100_000, OuterRate: 0.7},
		"outer-lr 0":         {Steps: 1},
		"outer-lr NaN":       {Steps: 1, OuterRate: math.NaN()},
		"outer-momentum 1":   {Steps: 1, OuterRate: 0.7, OuterMomentum: 1},
		"local.steps 0":      {OuterRate: 0.7},
		"local.steps 0: gro": {Groups: 2},
		"local-groups -1":    {Steps: 1, OuterRate: 0.7, Groups: -1},
	} {
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", l, err, want)
		}
	}
	// A run without local steps has the config that it always had.
	text, err := planSpec().Encode()
	if err != nil || strings.Contains(string(text), "local") {
		t.Errorf("%v\n%s", err, text)
	}
}

// A group's local steps are those of a run of its own whose batch is the group, and one
// without a gradient leaves the weights.
func TestGroupsAreRunsOfTheirOwn(t *testing.T) {
	s := localSpec()
	st := wideState(s)
	data := ramps{n: s.DatasetLen, spec: s}
	d, part := NewCPU(s, data, nil), make([]float32, len(st.Weights))
	both := func(i int, grad []float32) {
		clear(grad)
		for shard := range 2 {
			if _, err := d.Gradient(PlanBatch(s, st.Step, i).Shard(shard), part, nil); err != nil {
				t.Fatal(err)
			}
			kernel.Axpy(grad, 0.5, part)
		}
	}
	outer := make([]float32, len(st.Weights))
	err := NewLocalSteps(s, d, nil).Train(t.Context(), st.Weights, st.Step, outer, func(i int, grad []float32) (bool, error) {
		both(i, grad)
		return i != 2, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	own, grad := StateFrom(st.Weights), make([]float32, len(outer))
	for i := range s.Local.Steps {
		if i == 2 {
			continue
		}
		d.Begin(own.Weights)
		both(i, grad)
		o := s.Optimizer
		kernel.AdamStep{
			LR: learningRate(o, st.Step*4+uint64(i)), Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Epsilon,
			Bias1: 1 - math.Pow(o.Beta1, float64(i+1)), Bias2: 1 - math.Pow(o.Beta2, float64(i+1)),
			GradScale: clipScale(o, math.Sqrt(kernel.SumSquares(nil, grad))), EMADecay: 1,
		}.Apply(nil, own.Weights, own.M, own.V, own.EMA, grad)
	}
	checkMoved(t, outer, st.Weights, own.Weights)
}

// As many groups as shards are none, and others are of equally many shards.
func TestGroupsOfShards(t *testing.T) {
	s := localSpec()
	s.Batch, s.ShardSize = 12, 2
	for groups, want := range map[int]int{0: 6, 1: 1, 2: 2, 3: 3, 6: 6} {
		if s := s.WithGroups(groups); s.Units() != want || (s.Local.Groups == 0) != (want == 6) || s.Validate() != nil {
			t.Errorf("%d groups: %d units, want %d: %v", groups, s.Units(), want, s.Validate())
		}
	}
	for groups, want := range map[int]string{4: "equally many of a step's 6 shards", 7: "equally many", 6: "as many shards"} {
		s.Local.Groups = groups
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d groups: %v, want %q", groups, err, want)
		}
	}
}

package worker

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// What the account of a step takes of a worker that computes the whole batch of 128.
func BenchmarkAccountOfAStep(b *testing.B) {
	preset, err := ddpm.FindPreset("digits")
	if err != nil {
		b.Fatal(err)
	}
	spec := preset.Spec
	device := &fakeDevice{losses: make([]float64, spec.ShardSize)}
	t := &trainer{run: &run{spec: spec, device: device}}
	plan := ddpm.PlanStep(withData(spec), 7)
	var shards [][]ddpm.Example
	for v := range spec.Shards() {
		shards = append(shards, plan.Shard(v))
	}
	for b.Loop() {
		for _, examples := range shards {
			t.account(examples)
		}
		t.slices(&ddpmv1.Progress{}, t.tail)
		t.tail = tail{}
	}
}

// An example with a large loss counts in its slice however fine the gradient is, and however
// many examples a step has.
func TestLargeLossesCountInTheirSlice(t *testing.T) {
	preset, err := ddpm.FindPreset("digits")
	if err != nil {
		t.Fatal(err)
	}
	spec := preset.Spec
	spec.FractionBits, spec.Batch, spec.Local.Steps = 48, 16384, 512
	losses := []float64{0.25, 8, 1000}
	tr := &trainer{run: &run{spec: spec, device: &fakeDevice{losses: losses}}}
	tr.account(make([]ddpm.Example, len(losses)))
	var p ddpmv1.Progress
	tr.slices(&p, tr.tail)
	slice := spec.TimeSlice(0)
	if len(p.GetSliceExamples()) == 0 {
		t.Fatal("no slice has an example")
	}
	if n, loss := p.GetSliceExamples()[slice], p.GetSliceLoss()[slice]; n != 3 || loss != (0.25+8+1000)/3 {
		t.Errorf("%d examples with a mean loss of %v, want 3 with %v", n, loss, (0.25+8+1000)/3)
	}
}

// withData is the spec with as many examples as a batch needs.
func withData(s ddpm.Spec) ddpm.Spec {
	s.DatasetLen = max(s.DatasetLen, s.Batch)
	return s
}

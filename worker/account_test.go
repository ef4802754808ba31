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

// withData is the spec with as many examples as a batch needs.
func withData(s ddpm.Spec) ddpm.Spec {
	s.DatasetLen = max(s.DatasetLen, s.Batch)
	return s
}

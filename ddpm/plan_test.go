package ddpm

import (
	"math"
	"slices"
	"testing"
)

func planSpec() Spec {
	p, err := FindPreset("tiny")
	if err != nil {
		panic(err)
	}
	p.Spec.DatasetLen = 103
	return p.Spec
}

func batchOf(s Spec, step uint64) []Example {
	var all []Example
	for v := range s.Shards() {
		all = append(all, PlanStep(s, step).Shard(v)...)
	}
	return all
}

func TestEveryExampleOnceAnEpoch(t *testing.T) {
	s := planSpec()
	count := make([]int, s.DatasetLen)
	// 103 batches of 16 are 16 epochs of 103.
	for step := range uint64(s.DatasetLen) {
		for _, ex := range batchOf(s, step) {
			count[ex.Index]++
		}
		if step%13 == 12 {
			lo, hi := slices.Min(count), slices.Max(count)
			if hi-lo > 1 {
				t.Fatalf("after step %d some examples were seen %d times, others %d", step, hi, lo)
			}
		}
	}
	for i, n := range count {
		if n != s.Batch {
			t.Errorf("example %d was seen %d times in %d epochs", i, n, s.Batch)
		}
	}
}

func TestEpochsDiffer(t *testing.T) {
	s := planSpec()
	s.Batch, s.ShardSize = s.DatasetLen, s.DatasetLen
	first, second := batchOf(s, 0), batchOf(s, 1)
	same := 0
	for i := range first {
		if first[i].Index == second[i].Index {
			same++
		}
	}
	if same > 10 {
		t.Errorf("%d of %d places hold the same example in two epochs", same, len(first))
	}
}

// The cut into shards does not change what an example is.
func TestShardsCutThePlan(t *testing.T) {
	a, b := planSpec(), planSpec()
	a.ShardSize, b.ShardSize = 1, 8
	for step := range uint64(5) {
		if !slices.Equal(batchOf(a, step), batchOf(b, step)) {
			t.Fatalf("step %d: the batch depends on the shard size", step)
		}
	}
}

func TestTimesteps(t *testing.T) {
	s := planSpec()
	for _, kind := range []string{TimestepsUniform, TimestepsStratified} {
		s.Timesteps = kind
		var sum, n float64
		for step := range uint64(2000) {
			for k, ex := range batchOf(s, step) {
				if ex.T < 0 || ex.T >= s.Diffusion.Steps {
					t.Fatalf("%s: t = %d", kind, ex.T)
				}
				if kind == TimestepsStratified && ex.T*s.Batch/s.Diffusion.Steps != k && (ex.T+1)*s.Batch/s.Diffusion.Steps != k {
					t.Fatalf("slot %d drew t = %d, outside its slice", k, ex.T)
				}
				sum += float64(ex.T)
				n++
			}
		}
		if mean := sum / n; math.Abs(mean-499.5) > 8 {
			t.Errorf("%s: the mean t is %.1f, want 499.5", kind, mean)
		}
	}
}

func TestFlipsAreHalf(t *testing.T) {
	s := planSpec()
	flips := 0
	for step := range uint64(500) {
		for _, ex := range batchOf(s, step) {
			if ex.Flip {
				flips++
			}
		}
	}
	if share := float64(flips) / 8000; math.Abs(share-0.5) > 0.03 {
		t.Errorf("%.3f of the examples are flipped", share)
	}
	s.Flip = false
	for _, ex := range batchOf(s, 3) {
		if ex.Flip {
			t.Fatal("an example is flipped though the run does not flip")
		}
	}
}

package worker

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// Of workers with a shard each one is lost. Those that take its shard on have the sums
// that they had not made of their own.
func TestOneOfOnlyShardsIsLost(t *testing.T) {
	for _, perHost := range []int{0, 99} {
		c := newCluster(t, 8)
		c.perHost, c.bucketElems = perHost, 300
		leaveOne(t, c, 3)
	}
}

// A run of one shard is one that any worker has alone.
func TestARunOfOneShard(t *testing.T) {
	whole := func(s *ddpm.Spec) { s.ShardSize = s.Batch }
	_, want := newCluster(t, 1, whole).train(t)
	if _, digest := newCluster(t, 3, whole).train(t); digest != want {
		t.Errorf("3 workers: digest %s, one has %s", digest, want)
	}
}

// A gradient that is the only one stays what it is while results come, and after them,
// until the step is complete.
func TestOnlyGradientIsKept(t *testing.T) {
	tr := &trainer{grad: []float32{1, 2, 3}, sum: make([]int64, 3), alone: true}
	out := tr.out()
	if len(out) != 3 || &out[0] == &tr.grad[0] || &out[0] != &tr.out()[0] {
		t.Errorf("results come to %p, the gradient is at %p", out, tr.grad)
	}
	tr.alone = false
	if &tr.out()[0] != &tr.grad[0] {
		t.Error("a gradient that has been added is in the way of the results")
	}
}

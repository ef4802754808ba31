package ddpm

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// goldenDigest is the state after three steps of a small run. It changes only where
// what a run computes is changed on purpose; then runs that exist can't go on.
const goldenDigest = "sha256:bd66164a18f02eeb5561a3c72c7480bb83f7bb91f14b28480aaa9d6438ee271b"

// Every CPU, architecture and version of Go gives these bits. CI sees them on amd64
// with and without vector code, make arm64 on an emulated arm64.
func TestStepsHaveTheirBits(t *testing.T) {
	s := planSpec()
	pool := kernel.NewPool(2)
	defer pool.Close()
	d := NewCPU(s, ramps{n: s.DatasetLen, spec: s}, pool)
	st := wideState(s)
	mean, grad := make([]float32, len(st.Weights)), make([]float32, len(st.Weights))
	for range 3 {
		d.Begin(st.Weights)
		clear(mean)
		plan := PlanStep(s, st.Step)
		for v := range s.Shards() {
			if _, err := d.Gradient(plan.Shard(v), grad, nil); err != nil {
				t.Fatal(err)
			}
			kernel.Axpy(mean, 1/float32(s.Shards()), grad)
		}
		st.Update(s, pool, mean)
	}
	if got := st.Digest(); got != goldenDigest {
		t.Errorf("digest %s, want %s", got, goldenDigest)
	}
}

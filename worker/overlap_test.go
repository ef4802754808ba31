package worker

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// However large the parts are in which the sums travel while backward goes on, the
// bits are the same, with members that have no shard too.
func TestBucketsGiveTheSameBits(t *testing.T) {
	want := newCluster(t, 1).quiet(t)
	for _, elems := range []int{97, 1000, 1 << 30} {
		for _, workers := range []int{2, 4, 9} {
			c := newCluster(t, workers)
			c.bucketElems = elems
			switch elems {
			case 1000:
				c.perHost, c.private = 99, workers/9 // one of 9 shares no memory, and so none does
			case 97:
				c.perHost = 2
			}
			if _, digest := c.train(t); digest != want {
				t.Errorf("%d workers, buckets of %d: digest %s, want %s", workers, elems, digest, want)
			}
		}
	}
}

// Members that are halted while backward goes on, when parts of their sums are on their
// way and others have been reduced, keep them for the next generation.
func TestHaltedWithinBackward(t *testing.T) {
	first := func(c *cluster, memory bool) {
		c.perHost = 99
		c.onAssign = func(a *ddpmv1.Assignment) {
			if (a.GetGeneration().GetNumber() == fakeGeneration) != memory {
				a.Generation.HostSizes = nil
			}
		}
	}
	for name, change := range map[string]func(*cluster){
		"messages":             func(*cluster) {},
		"memory":               func(c *cluster) { c.perHost = 99 },
		"lanes":                func(c *cluster) { c.perHost = 3 },
		"messages then memory": func(c *cluster) { first(c, false) },
		"memory then messages": func(c *cluster) { first(c, true) },
	} {
		t.Run(name, func(t *testing.T) { haltWithinBackward(t, change) })
	}
}

func haltWithinBackward(t *testing.T, change func(*cluster)) {
	c := newCluster(t, 9) // of one shard each, and one has none
	c.bucketElems = 200
	change(c)
	want := c.quiet(t)
	told := make(chan struct{})
	c.device = func(ddpm.Spec, dataset.Dataset, *kernel.Pool) ddpm.Device {
		return &fakeDevice{between: func(shard []ddpm.Example) {
			if shard[0].Step == 2 {
				<-told
			}
		}}
	}
	positions := 0
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 2 {
			f.halt()
		}
		// Some may be halted before they have the result of the step before, too.
		if m.GetPosition() != nil {
			if positions++; positions == 9 { // nobody waits for the backward to tell it
				close(told)
			}
		}
		return false
	}
	f, digest := c.train(t)
	if digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	steps := map[uint64]int{}
	for _, p := range f.progress {
		if steps[p.GetStep()]++; steps[p.GetStep()] > 1 {
			t.Errorf("step %d was completed twice", p.GetStep())
		}
	}
	if positions < 9 || len(f.positions) < 9 || f.generation.GetNumber() == fakeGeneration {
		t.Errorf("%d positions, the last generation is %d", len(f.positions), f.generation.GetNumber())
	}
}

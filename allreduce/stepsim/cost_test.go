package stepsim

import (
	"math"
	"testing"
)

// The closed form of the ring is what the simulation of it gives, where either bound
// holds alone.
func TestCostIsTheSimulation(t *testing.T) {
	t.Parallel()
	for _, bend := range []func(*Config){
		func(*Config) {},
		func(c *Config) { c.Elems, c.Latency, c.Host.Message = 64, 1e-3, 1e-5 },
		func(c *Config) { c.Bandwidth, c.Host.Receive, c.Host.Send = 1e12, 1e-8, 1e-9 },
	} {
		c := cluster(16)
		bend(&c)
		r, err := Simulate(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := Cost(Ring, c, Even(16, 1)); math.Abs(got-r.Exposed()) > 0.05*r.Exposed() {
			t.Errorf("the closed form is %.4f s, the simulation %.4f s", got, r.Exposed())
		}
	}
}

// Few large vectors are a ring's, small ones at many ranks those of fewer rounds, and
// hosts of several ranks pay their link once.
func TestChoice(t *testing.T) {
	t.Parallel()
	c := cluster(256)
	c.Latency = 1e-4
	small := c
	small.Elems = 1 << 14
	if a, _ := Choose(small, Even(256, 1)); a != Halving {
		t.Errorf("a small vector of 256 ranks goes by %s", a)
	}
	large := c
	large.World, large.Elems = 12, 1<<26
	if a, _ := Choose(large, Even(12, 1)); a != Ring {
		t.Errorf("a large one of 12 ranks goes by %s", a)
	}
	c.Elems = 1 << 18
	eight := Even(256, 8)
	if two, one := Cost(TwoLevel, c, eight), Cost(Ring, c, eight); two >= one {
		t.Errorf("hosts of 8: two levels take %.4f s, a ring %.4f s", two, one)
	}
	// A host of one rank leaves the others a single lane.
	if even, uneven := Cost(TwoLevel, c, eight), Cost(TwoLevel, c, append(eight[:31:31], 7, 1)); even >= uneven {
		t.Errorf("8 lanes take %.4f s, one takes %.4f s", even, uneven)
	}
}

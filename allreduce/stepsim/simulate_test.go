package stepsim

import (
	"math"
	"testing"
)

// cluster is one whose processors cost nothing, at 1 GB/s.
func cluster(world int) Config {
	return Config{
		World: world, Elems: 1 << 22, Buckets: 1, SegmentElems: 1 << 12, InFlight: 1 << 20, Compute: 0.5,
		Bandwidth: 1e9, Buffer: 1e9, SumBytes: 5, ResultBytes: 4, Host: Host{Ranks: 1, Cores: 2},
	}
}

// Where the bandwidth alone counts, a step is what the bytes of a ring take; hops add
// latencies; many on one processor take its time.
func TestBoundsAreTheBooks(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name string
		bend func(*Config)
		want float64
	}{
		{"bandwidth", func(*Config) {}, 9 * (1 << 22) * 7 / 8 / 1e9},
		{"latency", func(c *Config) { c.Elems, c.Latency = 8, 0.01 }, 14 * 0.01},
		{"processors", func(c *Config) {
			c.Host, c.Bandwidth = Host{Ranks: 8, Cores: 2, Receive: 1e-8}, 1e12
		}, 8 * 2 * (1 << 22) * 7 / 8 * 1e-8 / 2},
		{"burst", func(c *Config) { c.Burst = 2e7 }, 9*(1<<22)*7./8/1e9 - 0.02},
		{"alone", func(c *Config) { c.World = 1 }, 0},
	} {
		c := cluster(8)
		v.bend(&c)
		r, err := Simulate(c)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Exposed()-v.want) > 0.03*v.want {
			t.Errorf("%s: the ring adds %.4f s, want %.4f", v.name, r.Exposed(), v.want)
		}
		again, err := Simulate(c)
		if err != nil || again != r {
			t.Errorf("%s: %+v and %+v (%v): it is no function of its config", v.name, r, again, err)
		}
	}
}

// Buckets hide the ring behind backward, and a straggler holds everybody up by as much
// as it is late.
func TestOverlapAndStragglers(t *testing.T) {
	t.Parallel()
	c := cluster(8)
	plain, err := Simulate(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Buckets, c.Backward = 16, 0.3
	overlapped, err := Simulate(c)
	if err != nil {
		t.Fatal(err)
	}
	if overlapped.Exposed() > 0.2*plain.Exposed() || overlapped.Exposed() <= 0 {
		t.Errorf("the ring adds %.4f s with buckets, %.4f without", overlapped.Exposed(), plain.Exposed())
	}
	c.Straggle = func(rank int) float64 { return map[int]float64{3: 0.25}[rank] }
	late, err := Simulate(c)
	if err != nil {
		t.Fatal(err)
	}
	if d := late.Step - overlapped.Step; math.Abs(d-0.25) > 0.02 {
		t.Errorf("a rank that is 0.25 s late costs %.4f s", d)
	}
	if _, err := Simulate(Config{World: 2}); err == nil {
		t.Error("a cluster without bandwidth is simulated")
	}
}

// Where all ranks are alike, one stands for all.
func TestOneStandsForAll(t *testing.T) {
	t.Parallel()
	for _, world := range []int{2, 7, 32} {
		c := cluster(world)
		c.Elems, c.InFlight, c.Buckets, c.Backward, c.Latency = 1<<20+3, 4, 3, 0.001, 1e-5
		c.Host = Host{Ranks: 1, Cores: 2, Send: 1e-9, Receive: 2e-9, Message: 1e-6}
		one, err := Simulate(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Straggle = func(int) float64 { return 0 }
		all, err := Simulate(c)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(one.Exposed()-all.Exposed()) > 0.01*all.Exposed() || one.Messages != all.Messages {
			t.Errorf("%d ranks: one %+v, all %+v", world, one, all)
		}
	}
}

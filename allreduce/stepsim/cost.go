package stepsim

import (
	"math/bits"
	"slices"
)

// Algorithm is a way to sum over all ranks. Integer sums are the same by any.
type Algorithm string

// The algorithms.
const (
	// Ring is package allreduce's: reduce-scatter and all-gather, a hop at a time.
	Ring Algorithm = "ring"
	// Halving is recursive halving and doubling (Rabenseifner 2004; Thakur, Rabenseifner
	// and Gropp 2005): in log2 W rounds partners exchange half of what is left. Where W
	// is no power of two, the ranks beyond it first give what they have to others.
	Halving Algorithm = "halving"
	// TwoLevel sums through shared memory within each host, and in lanes between hosts,
	// each a ring of one rank a host.
	TwoLevel Algorithm = "two-level"
)

// Algorithms are all, in the order in which one is chosen in doubt.
var Algorithms = []Algorithm{Ring, Halving, TwoLevel}

// Cost reckons how long an algorithm takes beside compute, without buckets, in
// closed form (Hockney's model): a round costs its latency and the time of a message at
// both ends, and bytes cost their time on the link or, where that is longer, on the
// processors. hosts are how many ranks each host has; those of one share its link, and
// among them bytes do not cost it.
func Cost(a Algorithm, c Config, hosts []int) float64 {
	perHost, lanes := slices.Max(hosts), slices.Min(hosts)
	bytes := float64(c.Elems) * (c.SumBytes + c.ResultBytes)
	elems := 2 * float64(c.Elems)
	alpha := c.Latency + 2*c.Host.Message
	share := func(n int) float64 { return float64(n-1) / float64(n) }
	work := func(elems float64) float64 { return float64(elems * max(c.Host.Send, c.Host.Receive)) }
	// What a rank of n sends costs where so many of them share the link.
	move := func(part float64, sharing int) float64 {
		return max(part*bytes*float64(sharing)/c.Bandwidth, work(part*elems))
	}
	switch w := c.World; {
	case w == 1:
		return 0
	case a == Halving:
		rounds := bits.Len(uint(w)) - 1
		cost := float64(2*float64(rounds)*alpha) + move(share(1<<rounds), perHost)
		if w != 1<<rounds {
			cost += 2*alpha + move(1, 1) // in and out of the ranks beyond
		}
		return cost
	case a == TwoLevel && perHost > 1:
		// What is summed within a host is on its way between hosts meanwhile, but by the
		// same processors.
		part := share(len(hosts)) / float64(lanes)
		link := part * bytes * float64(lanes) / c.Bandwidth
		busy := float64(c.Host.Memory*float64(c.Elems)) + work(part*elems)
		return float64(2*float64(len(hosts)-1)*alpha) + float64(4*c.Host.Message) + max(link, busy)
	default:
		// One rank of a host sends to another host: the link is its own.
		return float64(2*float64(w-1)*alpha) + move(share(w), 1)
	}
}

// Even is world ranks on hosts of perHost each, the last of which may have fewer.
func Even(world, perHost int) []int {
	var hosts []int
	for ; world > 0; world -= perHost {
		hosts = append(hosts, min(world, perHost))
	}
	return hosts
}

// Choose is the algorithm that costs least.
func Choose(c Config, hosts []int) (Algorithm, float64) {
	best, least := Ring, Cost(Ring, c, hosts)
	for _, a := range Algorithms[1:] {
		if cost := Cost(a, c, hosts); cost < least {
			best, least = a, cost
		}
	}
	return best, least
}

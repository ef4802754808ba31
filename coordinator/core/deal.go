package core

import (
	"container/heap"
	"slices"
)

// even is how much faster than another a worker must be to be dealt more: rates
// are measured, and a deal must not follow their noise.
const even = 1.15

// levelled puts one rate in the place of rates that are about the same, and of
// those that are not known. A rate below 0 stands for a worker that is dealt
// nothing, and stays.
func levelled(rates []float64) []float64 {
	var known []float64
	for _, r := range rates {
		if r > 0 {
			known = append(known, r)
		}
	}
	slices.Sort(known)
	typical := 1.0
	if len(known) > 0 {
		typical = known[len(known)/2]
	}
	out := make([]float64, len(rates))
	for i, r := range rates {
		switch {
		case r < 0:
			out[i] = r
		case r == 0 || r < typical*even && typical < r*even:
			out[i] = typical
		default:
			out[i] = r
		}
	}
	return out
}

// hand is a worker that may be dealt one more shard, and how long it would then
// compute.
type hand struct {
	worker     int
	rate, time float64
}

// hands is a heap of them: the one that would be done first is dealt next, in doubt
// the first in the ring.
type hands []hand

// Len implements heap.Interface.
func (h hands) Len() int { return len(h) }

// Less implements heap.Interface.
func (h hands) Less(i, j int) bool {
	return h[i].time < h[j].time || h[i].time == h[j].time && h[i].worker < h[j].worker
}

// Swap implements heap.Interface.
func (h hands) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface. None comes later.
func (h *hands) Push(x any) { *h = append(*h, x.(hand)) }

// Pop implements heap.Interface. None goes.
func (h *hands) Pop() any { panic("core: a hand leaves the deal") }

// counts deals n shards to workers by their rates, so that the one that takes
// longest takes as little time as can be; in doubt to the first. base counts what
// each has already. A rate below 0 gets none, unless all are.
func counts(n int, rates []float64, base []int) []int {
	out := slices.Clone(base)
	none := !slices.ContainsFunc(rates, func(r float64) bool { return r > 0 })
	var next hands
	for i, r := range rates {
		if none {
			r = 1
		}
		if r >= 0 {
			next = append(next, hand{i, r, float64(out[i]+1) / r})
		}
	}
	heap.Init(&next)
	for range n {
		first := &next[0]
		out[first.worker]++
		first.time = float64(out[first.worker]+1) / first.rate
		heap.Fix(&next, 0)
	}
	for i := range out {
		out[i] -= base[i]
	}
	return out
}

// deal gives each member its shards: a contiguous range in the usual step, and in
// the first one what it holds already and a share of what nobody does. held lists,
// for each member, the shards whose gradients it has.
func deal(shards int, members []Member, rates []float64, held [][]int) {
	rates = levelled(rates)
	first := 0
	for i, n := range counts(shards, rates, make([]int, len(members))) {
		members[i].FirstShard, members[i].Shards = first, n
		first += n
	}
	missing, kept := claim(shards, held)
	if len(missing) == shards {
		for i := range members {
			members[i].Extra = members[i].all()
		}
		return
	}
	base := make([]int, len(members))
	for i := range members {
		members[i].Kept = kept[i]
		base[i] = len(kept[i])
	}
	for i, n := range counts(len(missing), rates, base) {
		members[i].Extra, missing = slices.Clone(missing[:n]), missing[n:]
	}
}

// claim lets each member keep what it holds, unless that meets what another holds
// that came before: a sum can't be taken apart. It returns what nobody holds.
func claim(shards int, held [][]int) (missing []int, kept [][]int) {
	taken := make([]bool, shards)
	kept = make([][]int, len(held))
	for i, h := range held {
		if slices.ContainsFunc(h, func(s int) bool { return s < 0 || s >= shards || taken[s] }) || repeats(h) {
			continue
		}
		for _, s := range h {
			taken[s] = true
		}
		kept[i] = h
	}
	for s, t := range taken {
		if !t {
			missing = append(missing, s)
		}
	}
	return missing, kept
}

// repeats says that a number is in a list twice.
func repeats(list []int) bool {
	sorted := slices.Sorted(slices.Values(list))
	return len(slices.Compact(sorted)) < len(list)
}

// longest is how many seconds the slowest member computes in a step.
func longest(n []int, rates []float64) float64 {
	most := 0.0
	for i, r := range rates {
		if r > 0 {
			most = max(most, float64(n[i])/r)
		}
	}
	return most
}

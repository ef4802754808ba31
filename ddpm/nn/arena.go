package nn

import (
	"cmp"
	"math"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// arena gives the tensors of a pass their memory, and takes it back from each as
// soon as it is dead.
//
// A pass asks for the same memory in the same order as the one before it. So the
// arena notes what a pass asks for and when it gives it back, plans from that how
// all of it fits into one slab, and serves the passes after it by the plan: no
// search, nothing allocated, and few gaps. A pass of another kind goes astray
// from the plan at some call; from there on it gets memory outside of the slab,
// and the pass after it a new plan.
//
// Lengths and places are in elements.
type arena struct {
	slab []float32
	plan []tenancy
	// Of the pass since reset: what it asked for, how many calls it made, whether
	// one of them was not the plan's, and memory outside of the slab that is free.
	notes  []tenancy
	calls  int
	astray bool
	spare  [][]float32
	// In use, and the most that was since reset.
	live, most int
}

// tenancy is one piece of memory and its time: from the born-th call of a pass to
// the dead-th.
type tenancy struct {
	length     int
	born, dead int
	place      int // in the slab; outside where it is not there
}

const (
	// alignment of every place: a cache line.
	alignment = 16
	// never is when memory dies that is not given back.
	never = math.MaxInt
	// outside is no place in the slab.
	outside = -1
)

// alloc returns n elements, and a number to give them back by.
func (a *arena) alloc(n int) (number int, memory []float32) {
	length := (n + alignment - 1) / alignment * alignment
	a.live += length
	a.most = max(a.most, a.live)
	number = len(a.notes)
	t := tenancy{length: length, born: a.calls, dead: never, place: outside}
	a.calls++
	if number >= len(a.plan) || a.plan[number].born != t.born || a.plan[number].length != length {
		a.astray = true
	}
	if a.astray {
		memory = a.unplanned(length)
	} else {
		t.place = a.plan[number].place
		memory = a.slab[t.place : t.place+length : t.place+length]
	}
	a.notes = append(a.notes, t)
	return number, memory[:n]
}

// free takes back what alloc gave under the number.
func (a *arena) free(number int, memory []float32) {
	t := &a.notes[number]
	t.dead = a.calls
	a.calls++
	a.live -= t.length
	if !a.astray && a.plan[number].dead != t.dead {
		a.astray = true
	}
	if t.place == outside {
		a.spare = append(a.spare, memory[:cap(memory)])
	}
}

// unplanned returns memory outside of the slab: the least spare that will do.
func (a *arena) unplanned(length int) []float32 {
	best := -1
	for i, m := range a.spare {
		if len(m) >= length && (best < 0 || len(m) < len(a.spare[best])) {
			best = i
		}
	}
	if best < 0 {
		return hugepages.Make[float32](length)
	}
	m := a.spare[best]
	a.spare = slices.Delete(a.spare, best, best+1)
	return m
}

// reset takes back everything and says whether all memory is other than before.
func (a *arena) reset() (moved bool) {
	if moved = a.astray; moved {
		if need := fit(a.notes); need > len(a.slab) {
			a.slab = hugepages.Make[float32](need)
		}
		a.plan, a.notes, a.spare = a.notes, nil, nil
	}
	a.notes, a.calls, a.astray = a.notes[:0], 0, false
	a.live, a.most = 0, 0
	return moved
}

// fit places memory so that no two pieces meet both in time and in place, and
// returns how long a slab must be for it. The largest choose first, each the
// lowest place that is free for all its time.
func fit(ts []tenancy) (length int) {
	order := make([]int, len(ts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(ts[j].length, ts[i].length) })
	placed := order[:0:0] // by place, ascending
	for _, i := range order {
		t := &ts[i]
		t.place = 0
		for _, j := range placed {
			other := ts[j]
			if t.dead < other.born || other.dead < t.born {
				continue
			}
			if other.place-t.place >= t.length {
				break
			}
			t.place = max(t.place, other.place+other.length)
		}
		at, _ := slices.BinarySearchFunc(placed, t.place, func(j, place int) int { return cmp.Compare(ts[j].place, place) })
		placed = slices.Insert(placed, at, i)
		length = max(length, t.place+t.length)
	}
	return length
}

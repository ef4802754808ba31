package allreduce

import (
	"fmt"
	"slices"
)

// Hosts are how many members of a ring each machine has, in the order of the ranks: the
// first Hosts[0] ranks are on one, the next Hosts[1] on another.
//
// Between hosts the vector goes in lanes: as many as the smallest host has members.
// Lane j is a ring of its own, of the members that are the j-th of their host.
type Hosts []int

// Validate refuses what can't be the hosts of a ring of so many members.
func (h Hosts) Validate(world int) error {
	members := 0
	for i, n := range h {
		if n < 1 || n > world {
			return fmt.Errorf("host %d has %d members of a ring of %d: must be at least 1", i, n, world)
		}
		members += n
	}
	if members != world {
		return fmt.Errorf("%d hosts have %d members, the ring has %d", len(h), members, world)
	}
	return nil
}

// Lanes is how many there are between the hosts.
func (h Hosts) Lanes() int { return slices.Min(h) }

// seat is where a rank is.
type seat struct {
	// host is its machine's number, local the rank's among the members there; first is the
	// rank of the first of these, and members is how many they are.
	host, local, first, members int
}

func (h Hosts) seat(rank int) seat {
	s := seat{}
	for rank >= s.first+h[s.host] {
		s.first += h[s.host]
		s.host++
	}
	s.local, s.members = rank-s.first, h[s.host]
	return s
}

// LaneNeighbours are the ranks before and after a rank in its lane, false if it is in none.
func (h Hosts) LaneNeighbours(rank int) (before, next int, ok bool) {
	if len(h) < 2 {
		return 0, 0, false
	}
	s := h.seat(rank)
	if s.local >= h.Lanes() {
		return 0, 0, false
	}
	first := func(host int) int {
		at := 0
		for _, n := range h[:host] {
			at += n
		}
		return at
	}
	return first((s.host+len(h)-1)%len(h)) + s.local, first((s.host+1)%len(h)) + s.local, true
}

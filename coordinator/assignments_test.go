package coordinator

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// manyMembers are a generation of n, of whom those lack something whom lacking names.
func manyMembers(n int, lacking map[int]core.Lack) core.Generation {
	g := core.Generation{Number: 3, StartStep: 7, LastStep: 9, CheckpointEvery: 2, SaveAtStart: true, Source: core.FromMembers, Reason: "worker w3 was lost"}
	for i := range n {
		m := core.Member{
			Worker: fmt.Sprintf("w%d", i+1), Address: fmt.Sprintf("host%d:1", i), FirstShard: 3 * i, Shards: 3,
			Kept: []int{3 * i}, Extra: []int{3*i + 1, 3*i + 2}, Lack: lacking[i],
		}
		m.HasGradient = m.Lack == core.LackNothing && i%2 == 0
		g.Members = append(g.Members, m)
	}
	return g
}

// A member is told of itself, its neighbours, and those whom it takes the state from or
// gives it to; they are told of it; and what it is told does not grow with the ring.
func TestMembersAreToldOfThoseTheyHaveToKnow(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		members int
		lacking map[int]core.Lack
		most    int // members that one is told of
	}{
		{1, nil, 1},
		{2, map[int]core.Lack{1: core.LackState}, 2},
		{3, map[int]core.Lack{1: core.LackGradient}, 3},
		{1000, nil, 3},
		{1000, map[int]core.Lack{5: core.LackGradient, 500: core.LackState, 501: core.LackState, 999: core.LackState}, 7},
	} {
		g := manyMembers(v.members, v.lacking)
		a := newAssignments(g)
		told := make([]map[uint32]bool, v.members)
		for rank, self := range g.Members {
			given := a.of(rank, 6)
			e := given.GetGeneration()
			if given.GetRank() != uint32(rank) || given.GetReportedStep() != 6 || e.GetSize() != uint32(v.members) || e.GetNumber() != 3 ||
				e.GetStartStep() != 7 || e.GetLastStep() != 9 || e.GetCheckpointEvery() != 2 || !e.GetSaveAtStart() || e.GetReason() != g.Reason ||
				e.GetSource() != ddpmv1.StateSource_STATE_SOURCE_MEMBERS {
				t.Fatalf("%d members: rank %d is told %v", v.members, rank, given)
			}
			told[rank] = map[uint32]bool{}
			lenders := 0
			for i, m := range e.GetMembers() {
				if i > 0 && m.GetRank() <= e.GetMembers()[i-1].GetRank() {
					t.Fatalf("%d members: rank %d is told of the ranks %v", v.members, rank, a.knows[rank])
				}
				told[rank][m.GetRank()] = true
				is := g.Members[m.GetRank()]
				if m.GetWorkerId() != is.Worker || m.GetRingAddress() != is.Address || m.GetHasGradient() != is.HasGradient || m.GetLack() != lacks[is.Lack] {
					t.Errorf("%d members: %+v is told as %v", v.members, is, m)
				}
				if m.GetLack() == ddpmv1.Lack_LACK_NOTHING && (self.Lack != core.LackGradient || m.GetHasGradient()) {
					lenders++
				}
				mine := m.GetRank() == uint32(rank)
				dealt := m.GetFirstShard() == uint32(is.FirstShard) && m.GetShards() == 3 && slices.Equal(m.GetKept(), numbers(is.Kept)) && slices.Equal(m.GetExtra(), numbers(is.Extra))
				if mine && !dealt {
					t.Errorf("%d members: rank %d is dealt %v, not %+v", v.members, rank, m, is)
				}
			}
			if n := len(e.GetMembers()); n > v.most || proto.Size(given) > 100+50*n {
				t.Errorf("%d members: rank %d is told of %d in %d bytes, want %d at most", v.members, rank, n, proto.Size(given), v.most)
			}
			if want := min(4, v.members-1); self.Lack != core.LackNothing && lenders < want/2 {
				t.Errorf("%d members: rank %d can take %v from %d, want some of %d", v.members, rank, self.Lack, lenders, want)
			}
		}
		for rank := range told {
			n := uint32(v.members)
			for _, other := range []uint32{uint32(rank), (uint32(rank) + 1) % n, (uint32(rank) + n - 1) % n} {
				if !told[rank][other] {
					t.Errorf("%d members: rank %d does not know its neighbour %d", v.members, rank, other)
				}
			}
			for other := range told[rank] {
				if !told[other][uint32(rank)] {
					t.Errorf("%d members: rank %d knows %d, which does not know it", v.members, rank, other)
				}
			}
		}
	}
}

// Where most lack the state, those who have it share the work.
func TestLendersShareTheWork(t *testing.T) {
	t.Parallel()
	lacking := map[int]core.Lack{}
	for i := 100; i < 1000; i++ {
		lacking[i] = core.LackState
	}
	a := newAssignments(manyMembers(1000, lacking))
	for rank := range 100 {
		if n := len(a.knows[rank]); n < 36 || n > 40 {
			t.Errorf("rank %d of the 100 that have the state is known to %d of the 900 that lack it", rank, n)
		}
	}
}

// Members that are to share memory are told how many are at each host, and those of a lane
// of their neighbours there.
func TestMembersAreToldOfTheirHosts(t *testing.T) {
	t.Parallel()
	g := manyMembers(12, nil)
	g.Hosts = []int{5, 3, 4}
	for rank, want := range [][]uint32{
		{0, 1, 5, 8, 11}, {0, 1, 2, 6, 9}, {1, 2, 3, 7, 10}, {2, 3, 4}, {3, 4, 5},
		{0, 4, 5, 6, 8}, {1, 5, 6, 7, 9}, {2, 6, 7, 8, 10},
		{0, 5, 7, 8, 9}, {1, 6, 8, 9, 10}, {2, 7, 9, 10, 11}, {0, 10, 11},
	} {
		told := newAssignments(g).of(rank, 0).GetGeneration()
		if !slices.Equal(told.GetHostSizes(), []uint32{5, 3, 4}) {
			t.Errorf("rank %d is told of hosts of %v", rank, told.GetHostSizes())
		}
		var ranks []uint32
		for _, m := range told.GetMembers() {
			ranks = append(ranks, m.GetRank())
		}
		if !slices.Equal(ranks, want) {
			t.Errorf("rank %d is told of ranks %v, want %v", rank, ranks, want)
		}
	}
}

// Where buckets go by halving, a member is told of its partners too, and they of it;
// elsewhere of nobody more.
func TestMembersAreToldOfPartners(t *testing.T) {
	t.Parallel()
	const members = 1000
	g := manyMembers(members, nil)
	g.HalvingElems = 4096
	a := newAssignments(g)
	for rank := range members {
		e := a.of(rank, 6).GetGeneration()
		if e.GetHalvingElems() != 4096 || len(e.GetMembers()) > 3+10 {
			t.Fatalf("rank %d is told of %d members, halving up to %d elements", rank, len(e.GetMembers()), e.GetHalvingElems())
		}
		for _, partner := range allreduce.Partners(members, rank) {
			if !slices.Contains(a.knows[rank], partner) || !slices.Contains(a.knows[partner], rank) {
				t.Fatalf("ranks %d and %d do not know each other", rank, partner)
			}
		}
	}
}

// What a worker says of its link is other machines' word.
func TestLinkOf(t *testing.T) {
	t.Parallel()
	for _, h := range []*ddpmv1.Heartbeat{
		{}, {LinkLatencySeconds: -1, LinkBytesPerSecond: -1}, {LinkLatencySeconds: math.NaN(), LinkBytesPerSecond: math.NaN()},
		{LinkLatencySeconds: math.Inf(1), LinkBytesPerSecond: math.Inf(1)},
	} {
		if l := linkOf(h); l != (choice.Link{}) {
			t.Errorf("%v is taken for %+v", h, l)
		}
	}
	if l := linkOf(&ddpmv1.Heartbeat{LinkLatencySeconds: 1e-4, LinkBytesPerSecond: 1e9}); l != (choice.Link{Latency: 1e-4, Bandwidth: 1e9}) {
		t.Errorf("%+v", l)
	}
}

// Who shares a group is told of those before and after it there, at its own seat alone.
func TestMembersAreToldOfTheirGroup(t *testing.T) {
	t.Parallel()
	g := manyMembers(9, nil)
	ring := []int{2, 4, 7} // of which rank 3 computes nothing
	for place, rank := range ring {
		g.Members[rank].Seat = core.Seat{Place: place, Size: 3, Next: ring[(place+1)%3], Before: ring[(place+2)%3]}
	}
	a := newAssignments(g)
	for rank := range g.Members {
		told := map[int]*ddpmv1.Member{}
		for _, m := range a.of(rank, 0).GetGeneration().GetMembers() {
			told[int(m.GetRank())] = m
			if m.GetSeat() != nil && int(m.GetRank()) != rank {
				t.Errorf("rank %d is told of the seat of rank %d", rank, m.GetRank())
			}
		}
		place := slices.Index(ring, rank)
		if s := told[rank].GetSeat(); place < 0 && s != nil || place >= 0 && (s.GetPlace() != uint32(place) || s.GetSize() != 3 || s.GetNext() != uint32(ring[(place+1)%3])) {
			t.Errorf("rank %d is told of the seat %v", rank, s)
		}
		for _, other := range ring {
			if place >= 0 && told[other] == nil {
				t.Errorf("rank %d is not told of rank %d, of its group", rank, other)
			}
		}
	}
}

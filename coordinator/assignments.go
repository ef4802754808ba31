package coordinator

import (
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// lenders is how many members one that lacks the state is told of to take it from.
const lenders = 4

// assignments are a generation as its members are told of it, each of those whom it
// has to know: a thousand members that are told of a thousand are tens of megabytes.
type assignments struct {
	generation core.Generation
	// knows lists, by rank and in order, the ranks that a member is told of. Who knows
	// another one is known to it: a member answers to no other.
	knows [][]int
}

func newAssignments(g core.Generation) assignments {
	n := len(g.Members)
	a := assignments{generation: g, knows: make([][]int, n)}
	for rank := range n {
		a.knows[rank] = append(a.knows[rank], rank, (rank+1)%n, (rank+n-1)%n)
	}
	if g.HalvingElems > 0 {
		for rank := range n {
			a.knows[rank] = append(a.knows[rank], allreduce.Partners(n, rank)...)
		}
	}
	hosts := allreduce.Hosts(g.Hosts)
	for rank := range n {
		if before, next, ok := hosts.LaneNeighbours(rank); ok {
			a.knows[rank] = append(a.knows[rank], before, next)
		}
	}
	for rank, m := range g.Members {
		if m.Seat.Size > 0 {
			a.knows[rank] = append(a.knows[rank], m.Seat.Before, m.Seat.Next)
		}
	}
	if g.Source == core.FromMembers {
		a.lend()
	}
	for rank := range n {
		slices.Sort(a.knows[rank])
		a.knows[rank] = slices.Compact(a.knows[rank])
	}
	return a
}

// lend introduces those who lack something of the state to those who have it. Each
// takes it from others than the one before, so that all who have it have something to do.
func (a assignments) lend() {
	var whole, gradient []int // ranks that have the state, and those of them that have the gradient
	for rank, m := range a.generation.Members {
		if m.Lack == core.LackNothing {
			whole = append(whole, rank)
			if m.HasGradient {
				gradient = append(gradient, rank)
			}
		}
	}
	next := 0
	for rank, m := range a.generation.Members {
		from := whole
		switch m.Lack {
		case core.LackNothing:
			continue
		case core.LackGradient:
			from = gradient
		}
		for range min(lenders, len(from)) {
			lender := from[next%len(from)]
			a.knows[rank] = append(a.knows[rank], lender)
			a.knows[lender] = append(a.knows[lender], rank)
			next++
		}
	}
}

// of is what the member of a rank is told.
func (a assignments) of(rank int, reported uint64) *ddpmv1.Assignment {
	e := a.generation
	g := &ddpmv1.Generation{
		Number: e.Number, Size: uint32(len(e.Members)), StartStep: e.StartStep, LastStep: e.LastStep, CheckpointEvery: e.CheckpointEvery,
		SaveAtStart: e.SaveAtStart, Reason: strings.ToValidUTF8(e.Reason, "?"), Source: sources[e.Source], HostSizes: numbers(e.Hosts),
		Members: make([]*ddpmv1.Member, len(a.knows[rank])), HalvingElems: uint64(e.HalvingElems),
	}
	for i, other := range a.knows[rank] {
		m := e.Members[other]
		g.Members[i] = &ddpmv1.Member{
			WorkerId: m.Worker, RingAddress: m.Address, Rank: uint32(other), HasGradient: m.HasGradient, Lack: lacks[m.Lack],
		}
		if other == rank { // what others compute is no matter of this one's
			g.Members[i].FirstShard, g.Members[i].Shards = uint32(m.FirstShard), uint32(m.Shards)
			g.Members[i].Kept, g.Members[i].Extra = numbers(m.Kept), numbers(m.Extra)
			g.Members[i].Seat = seat(m.Seat)
		}
	}
	return &ddpmv1.Assignment{Generation: g, Rank: uint32(rank), ReportedStep: reported}
}

// seat is a member's place in the ring of its group, nil where it has none.
func seat(s core.Seat) *ddpmv1.Seat {
	if s.Size == 0 {
		return nil
	}
	return &ddpmv1.Seat{Place: uint32(s.Place), Size: uint32(s.Size), Next: uint32(s.Next)}
}

var sources = map[core.Source]ddpmv1.StateSource{
	core.FromInitial:    ddpmv1.StateSource_STATE_SOURCE_INITIAL,
	core.FromCheckpoint: ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT,
	core.FromMembers:    ddpmv1.StateSource_STATE_SOURCE_MEMBERS,
}

var lacks = map[core.Lack]ddpmv1.Lack{
	core.LackNothing:  ddpmv1.Lack_LACK_NOTHING,
	core.LackGradient: ddpmv1.Lack_LACK_GRADIENT,
	core.LackState:    ddpmv1.Lack_LACK_STATE,
}

func numbers(list []int) []uint32 {
	out := make([]uint32, len(list))
	for i, s := range list {
		out[i] = uint32(s)
	}
	return out
}

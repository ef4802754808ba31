package allreduce

import "math/bits"

// core is how many ranks halve: the largest power of two that the world has. Each rank
// beyond it folds onto a rank of the core.
func core(world int) int { return 1 << (bits.Len(uint(world)) - 1) }

// Partners are the ranks that a rank exchanges with where buckets go by halving, in the
// order in which it exchanges sums with them; results go the other way round.
func Partners(world, rank int) []int {
	c := core(world)
	if rank >= c {
		return []int{rank - c}
	}
	var partners []int
	if rank+c < world {
		partners = append(partners, rank+c)
	}
	for distance := c / 2; distance > 0; distance /= 2 {
		partners = append(partners, rank^distance)
	}
	return partners
}

// flow is a span of a bucket on its way between partners, in segments.
type flow struct {
	span
	cut int // elements of a whole segment
	// down says that segments are counted from the span's end.
	down bool
	// none says that nothing travels, not even an empty segment.
	none bool
}

// segments is how many there are. An empty span travels as one empty segment, so that
// a rank hears from all of its partners.
func (f flow) segments() int {
	if f.none {
		return 0
	}
	return max(1, (f.len()+f.cut-1)/f.cut)
}

// segment is where segment i lies.
func (f flow) segment(i int) span {
	if f.down {
		hi := f.hi - i*f.cut
		return span{max(f.lo, hi-f.cut), hi}
	}
	lo := f.lo + i*f.cut
	return span{lo, min(lo+f.cut, f.hi)}
}

// has says that the first n segments have all of part that the flow has. An empty part
// takes the whole flow: who hands it on has heard from all before.
func (f flow) has(n int, part span) bool {
	if n >= f.segments() {
		return true
	}
	if part.len() == 0 {
		return false
	}
	part.lo, part.hi, n = max(part.lo, f.lo), min(part.hi, f.hi), n*f.cut
	switch {
	case part.lo >= part.hi:
		return true
	case f.down:
		return part.lo >= f.hi-n
	}
	return part.hi <= f.lo+n
}

// exchange is what a rank and a partner send each other of a bucket.
type exchange struct {
	// round is the same number at both: how often the bucket has been halved before, or
	// after the last the one of those who fold.
	round                                  int
	sumsOut, sumsIn, resultsOut, resultsIn flow
}

// exchanges are a rank's for a bucket, one for each of its Partners, and the chunk that
// is its own in the end. A rank of the core keeps at each halving the part that has its
// own chunk, gives the other, and gets the other's results for it. A rank beyond the
// core gives all and gets all.
//
// A flow begins with what its receiver needs first: of sums, the part that it gives
// away next; of results, the part that their sender has first.
func (s schedule) exchanges() (list []exchange, own flow) {
	c := core(s.world)
	chunks := schedule{world: c, at: s.at, elems: s.elems}
	part := func(first, n int) span { return span{chunks.chunk(first).lo, chunks.chunk(first + n - 1).hi} }
	in := func(part span, down bool) flow { return flow{span: part, cut: s.segmentElems, down: down} }
	none, rounds := flow{none: true, cut: s.segmentElems}, bits.Len(uint(c))-1
	// upper says that a rank's own chunk is in the upper half of what it has before
	// a halving at a distance.
	upper := func(rank, distance int) bool { return rank&distance != 0 }

	if s.rank >= c {
		up := upper(s.rank-c, c/2)
		return []exchange{{rounds, in(part(0, c), !up), none, none, in(part(0, c), up)}}, none
	}
	if s.rank+c < s.world {
		up := upper(s.rank, c/2)
		list = append(list, exchange{rounds, none, in(part(0, c), !up), in(part(0, c), up), none})
	}
	for round := range rounds {
		distance := c >> (round + 1)
		partner := s.rank ^ distance
		keep, give := part(s.rank&^(distance-1), distance), part(partner&^(distance-1), distance)
		next := distance / 2 // 0 at the last
		mine, other := upper(s.rank, next), upper(partner, next)
		list = append(list, exchange{round, in(give, !other), in(keep, !mine), in(keep, mine), in(give, other)})
	}
	return list, in(part(s.rank, 1), false)
}

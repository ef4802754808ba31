package allreduce

// Phase is one of the two halves of an all-reduce.
type Phase uint16

// The phases, as they stand in a header.
const (
	// ReduceScatter carries partial sums of a chunk round the ring to its owner.
	ReduceScatter Phase = 1
	// AllGather carries the owner's result round the ring to everyone.
	AllGather Phase = 2
	// Halving carries sums between partners, Doubling results the other way: see
	// exchange. Their hop is the exchange's round.
	Halving  Phase = 3
	Doubling Phase = 4
)

func (p Phase) String() string {
	switch p {
	case ReduceScatter:
		return "reduce-scatter"
	case AllGather:
		return "all-gather"
	case Halving:
		return "halving"
	case Doubling:
		return "doubling"
	}
	return "no phase"
}

// span is the elements [lo, hi) of a vector.
type span struct{ lo, hi int }

func (s span) len() int { return s.hi - s.lo }

// bucket is where bucket number i of a vector lies. Buckets have size elements, and
// are counted from the vector's end: backward is done with that first. The last, at
// the vector's beginning, has what is left.
func bucket(elems, size, i int) span {
	hi := elems - i*size
	return span{max(0, hi-size), hi}
}

// buckets is how many buckets a vector has. It is never 0: the tail travels with the
// last, also where the vector is empty.
func buckets(elems, size int) int { return max(1, (elems+size-1)/size) }

// schedule says who sends what of a bucket when. It is a pure function of its fields.
//
// The bucket is cut into as many chunks as there are ranks; rank r owns chunk r.
// In reduce-scatter a chunk starts at the rank after its owner and goes once
// round, each rank adding its own values, until the owner has the whole sum. In
// all-gather it starts at the owner and goes round again. Each phase has world-1
// hops, and at each hop every rank sends one chunk and receives another.
type schedule struct {
	world, rank  int
	at           int // where the bucket begins in the vector
	elems        int // of the bucket
	segmentElems int // of a whole segment
}

// hops of each phase.
func (s schedule) hops() int { return s.world - 1 }

// sends is the chunk that this rank sends at a hop: first the one before its own,
// then always the one that it received at the hop before.
func (s schedule) sends(p Phase, hop int) int {
	if p == ReduceScatter {
		return s.back(1 + hop)
	}
	return s.back(hop)
}

// receives is the chunk that comes from the predecessor at a hop.
func (s schedule) receives(p Phase, hop int) int {
	if p == ReduceScatter {
		return s.back(2 + hop)
	}
	return s.back(1 + hop)
}

// back is the chunk n places before this rank's own; n is at most world.
func (s schedule) back(n int) int { return (s.rank + s.world - n) % s.world }

// chunk is where chunk c lies. The first elems mod world chunks are one element
// longer than the others.
func (s schedule) chunk(c int) span {
	size, longer := s.elems/s.world, s.elems%s.world
	lo := s.at + c*size + min(c, longer)
	if c < longer {
		size++
	}
	return span{lo, lo + size}
}

// segments is how many messages carry chunk c over one hop. It is never 0: an
// empty chunk travels as one empty segment, so that every rank hears from its
// predecessor at each hop.
func (s schedule) segments(c int) int {
	return max(1, (s.chunk(c).len()+s.segmentElems-1)/s.segmentElems)
}

// segment is where segment i of chunk c lies.
func (s schedule) segment(c, i int) span {
	chunk := s.chunk(c)
	lo := chunk.lo + i*s.segmentElems
	return span{lo, min(lo+s.segmentElems, chunk.hi)}
}

// messages counts the segments that this rank sends and receives of the bucket.
func (s schedule) messages() (sent, received int) {
	for _, p := range []Phase{ReduceScatter, AllGather} {
		for hop := range s.hops() {
			sent += s.segments(s.sends(p, hop))
			received += s.segments(s.receives(p, hop))
		}
	}
	return sent, received
}

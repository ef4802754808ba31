package allreduce

import (
	"errors"
	"fmt"
)

// Vector is what one rank brings to an all-reduce and takes from it. Lengths are
// the same on every rank.
type Vector struct {
	// Sum is this rank's sum of its own shards, element by element. It is only
	// read: when the ring fails, nothing is lost.
	Sum []int64
	// Term, where it is not nil, is in the place of Sum, which is nil then, and only read
	// like it. A ring that reduces through memory (Shared) takes none.
	Term *Term
	// Tail is a few more sums, such as the loss and the number of overflows, at
	// most MaxTailLanes. When AllReduce succeeds every rank has the sums over all
	// ranks here; when it fails its own are untouched. Additions wrap round.
	Tail []int64
	// Out becomes the result, as long as Sum. When AllReduce fails its contents
	// are undefined. What of Sum is released (Reduction.Release) may be written here. It is
	// not where Term is.
	Out []float32
	// Finish turns complete sums into results. It is called in pieces, by the rank
	// that owns those elements and perhaps by others, so it must treat each element
	// alone, and alike on every rank.
	Finish func(dst []float32, sum []int64)
	// Gather is how results travel, the same on every rank. Every rank has them as
	// they travel, the one that made them too.
	Gather Gather
}

// results makes the results of complete sums.
func (v Vector) results(dst []float32, sum []int64) {
	v.Finish(dst, sum)
	v.Gather.round(dst)
}

// ownResults makes the results of the elements [lo, hi) where there are no other ranks.
func (v Vector) ownResults(lo, hi int) {
	var room [blockLen]int64
	out := v.Out[lo:hi]
	for o := v.own(lo, hi); o.len() > 0; {
		sums := o.next(&room)
		v.results(out[:len(sums)], sums)
		out = out[len(sums):]
	}
}

func (v Vector) validate() error {
	brings := len(v.Sum)
	if v.Term != nil {
		if v.Sum != nil {
			return errors.New("vector with both sums and a term: one rank brings one of them")
		}
		brings = len(v.Term.Values)
	}
	if len(v.Out) != brings {
		return fmt.Errorf("vector of %d sums and %d results: must be the same length", brings, len(v.Out))
	}
	if len(v.Tail) > MaxTailLanes {
		return fmt.Errorf("vector with a tail of %d lanes: at most %d", len(v.Tail), MaxTailLanes)
	}
	if v.Finish == nil {
		return errors.New("vector without a Finish function")
	}
	return nil
}

package allreduce

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
)

// lane is a rank's place between the hosts: see Hosts.
type lane struct {
	// ring is of the lane's ranks; next is the rank, in the ring of all, that this one
	// sends to.
	ring *Ring
	next int
	// sum and out are room for the lane's vector.
	sum []int64
	out []float32
}

// passage is one step of a rank's lane: an all-reduce of the lane's ring. Its vector is the
// lane's chunks of all pieces, summed over the host; they lie in the order in which they lie
// in the whole vector, so that what is final first is at the end there too.
//
// The ring tells of results by a goroutine of its own. All else is of direct's.
type passage struct {
	direct    *direct
	lane      *lane
	vector    Vector
	reduction *Reduction
	// whole is how many elements the vector has of a whole piece.
	whole int
	// from is the element from which on the vector's results are final.
	from atomic.Int64
	// over says that the reduction ends at this moment, or has.
	over atomic.Bool
}

func newPassage(ctx context.Context, d *direct) *passage {
	p := &passage{direct: d, lane: d.host.lane, whole: d.chunk(d.piece(0)).len()}
	elems := (d.pieces-1)*p.whole + d.chunk(d.piece(d.pieces-1)).len()
	p.from.Store(int64(elems))
	p.lane.sum, p.lane.out = slices.Grow(p.lane.sum[:0], elems)[:elems], slices.Grow(p.lane.out[:0], elems)[:elems]
	p.vector = Vector{Sum: p.lane.sum, Out: p.lane.out, Finish: d.v.Finish, Gather: d.v.Gather}
	if d.host.local == 0 {
		p.vector.Tail = make([]int64, len(d.v.Tail))
	}
	p.reduction = p.lane.ring.beginTold(ctx, d.number, p.vector, p.told)
	return p
}

// told is called by the lane's ring: results are final from element from on, or, below 0, it
// has ended.
func (p *passage) told(from int) {
	if from < 0 {
		p.over.Store(true)
	} else {
		p.from.Store(int64(from))
	}
	p.direct.host.own().ring()
}

// span is where the chunk of a piece lies.
func (p *passage) span(i int) span {
	hi := len(p.vector.Sum) - i*p.whole
	return span{hi - p.direct.chunk(p.direct.piece(i)).len(), hi}
}

// brought says that the results of a piece are there, with the last piece the totals too.
func (p *passage) brought(i int) bool {
	if i == p.direct.pieces-1 {
		return p.over.Load()
	}
	return p.from.Load() <= int64(p.span(i).lo)
}

// failed is why the lane has no results to hope for; nil where it may yet.
func (p *passage) failed() error {
	if p.over.Load() {
		<-p.reduction.done
	}
	select {
	case <-p.reduction.done:
	default:
		return nil
	}
	if err := p.reduction.err; err != nil {
		return partnerError(p.lane.next, fmt.Errorf("between hosts: %w", err))
	}
	return nil
}

// end waits until nothing of the passage is under way any more.
func (p *passage) end(err error) error {
	if err != nil {
		p.reduction.Abandon(err)
		return err
	}
	return p.reduction.Complete()
}

// bring adds up the own chunk of a piece, and gives it to the lane.
func (d *direct) bring(i int) {
	p, number := d.piece(i), d.host.pieces+uint32(i)
	chunk, to := d.chunk(p), d.passage.span(i)
	for lo := chunk.lo; lo < chunk.hi; lo += blockOfPiece {
		hi := min(lo+blockOfPiece, chunk.hi)
		copy(d.passage.vector.Sum[to.lo+lo-chunk.lo:], d.sum(d.host.sums[:], p, number, lo, hi))
	}
	if i < d.pieces-1 {
		d.passage.reduction.Release(to.lo)
		return
	}
	if d.host.local == 0 {
		d.total(d.passage.vector.Tail)
	}
	if step := d.passage.reduction.step; step != nil { // or else it has failed
		step.releaseAll()
	}
}

// deliver puts what the lane made of a piece where the host's ranks take it.
func (d *direct) deliver(i int) {
	p, number := d.piece(i), d.host.pieces+uint32(i)
	chunk, from := d.chunk(p), d.passage.span(i)
	results := d.passage.vector.Out[from.lo:from.hi]
	copy(d.v.Out[chunk.lo:chunk.hi], results)
	copy(d.host.own().pieceResults(number)[chunk.lo-p.at:], results)
	if i == d.pieces-1 && d.host.local == 0 {
		copy(d.host.own().totals, d.passage.vector.Tail)
	}
}

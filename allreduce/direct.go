package allreduce

import (
	"context"
	"fmt"
	"sync/atomic"
)

// blockOfPiece is how many elements are summed at a time, in the nearest cache.
const blockOfPiece = 2048

// direct is one all-reduce under way on one rank of a ring whose members share memory.
//
// The vector goes in pieces, from its end on. Of each piece every rank puts its sums
// into its room, adds up those of its own chunk from all rooms, puts the results there,
// and takes the others'. One goroutine does all of it, whatever of it can be done, and
// sleeps when nothing can. A rank is never more than roomPieces ahead of another.
//
// A rank has completed the step when all ranks have taken all that it made. So nobody
// needs it any more then, and what it lays there next overwrites nothing.
type direct struct {
	ring   *Ring
	host   *host
	number uint64
	v      Vector
	pieces int
	// final counts the pieces whose sums are; the caller adds to it.
	final atomic.Int64
	// laid, made and taken are as in the room, of this step.
	laid, made, taken int
	tail              []int64
	// bytes counts what the others were given.
	bytes int
	busy
}

func newDirect(r *Ring, h *host, number uint64, v Vector) *direct {
	d := &direct{ring: r, host: h, number: number, v: v, pieces: buckets(len(v.Sum), pieceElems), tail: make([]int64, len(v.Tail))}
	d.left = make([]int, d.pieces)
	for i := range d.left {
		d.left[i] = 1
	}
	return d
}

// release implements reducer.
func (d *direct) release(lo int) {
	final := d.final.Load()
	for final < int64(d.pieces)-1 && d.piece(int(final)).at >= lo {
		final++
	}
	d.advanceTo(final)
}

// releaseAll implements reducer.
func (d *direct) releaseAll() { d.advanceTo(int64(d.pieces)) }

func (d *direct) advanceTo(final int64) {
	if d.final.Swap(final) != final {
		d.host.own().ring()
	}
}

// piece is the schedule of a piece, whose chunks belong to the ranks as a bucket's do.
func (d *direct) piece(i int) schedule {
	b := bucket(len(d.v.Sum), pieceElems, i)
	return schedule{world: d.ring.cfg.World, rank: d.ring.cfg.Rank, at: b.lo, elems: b.len()}
}

// run implements reducer.
func (d *direct) run(ctx context.Context) error {
	own := d.host.own()
	atomic.StoreUint64(own.step, d.number)
	atomic.StoreUint64(own.elems, uint64(len(d.v.Sum)))
	atomic.StoreUint64(own.lanes, uint64(len(d.v.Tail)))
	for {
		heard := atomic.LoadUint32(own.bell)
		moved, err := d.advance()
		switch {
		case err != nil:
			return err
		case moved:
			continue
		case d.done():
			copy(d.v.Tail, d.tail)
			d.host.pieces += uint32(d.pieces)
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.ring.link.Broken():
			if err := d.ring.link.Cause(); err != nil {
				return err
			}
			return fmt.Errorf("the link from rank %d broke", d.ring.cfg.Predecessor().Rank)
		default:
			own.sleep(heard)
		}
	}
}

// done says that all ranks have taken all.
func (d *direct) done() bool {
	return d.taken == d.pieces && d.reached(func(r *room) *uint32 { return r.taken }, d.pieces)
}

// reached says that a counter of all ranks has come to a number of this step's pieces.
func (d *direct) reached(counter func(*room) *uint32, pieces int) bool {
	want := d.host.pieces + uint32(pieces)
	for _, r := range d.host.rooms {
		if int32(atomic.LoadUint32(counter(r))-want) < 0 { // they wrap round
			return false
		}
	}
	return true
}

// count counts a piece, for all to see.
func (d *direct) count(counter *uint32, pieces *int) {
	*pieces++
	atomic.StoreUint32(counter, d.host.pieces+uint32(*pieces))
	for rank, r := range d.host.rooms {
		if rank != d.host.rank {
			r.ring()
		}
	}
}

// advance does what can be done, once. What others wait for longest goes first.
func (d *direct) advance() (moved bool, err error) {
	own := d.host.own()
	if d.taken < d.made && d.reached(func(r *room) *uint32 { return r.made }, d.taken+1) {
		d.take(d.taken)
		d.took(d.taken)
		d.count(own.taken, &d.taken)
		moved = true
	}
	// A place is free when all have taken what was in it.
	if d.made < d.laid && d.reached(func(r *room) *uint32 { return r.put }, d.made+1) &&
		d.reached(func(r *room) *uint32 { return r.taken }, d.made+1-roomPieces) {
		if err := d.agree(); err != nil {
			return false, err
		}
		d.reduce(d.made)
		d.count(own.made, &d.made)
		moved = true
	}
	if int64(d.laid) < d.final.Load() && d.reached(func(r *room) *uint32 { return r.made }, d.laid+1-roomPieces) {
		d.opened(d.laid == d.pieces-1)
		d.lay(d.laid)
		d.count(own.put, &d.laid)
		moved = true
	}
	return moved, nil
}

// agree refuses to add to what others reduce in another step, or of another size.
func (d *direct) agree() error {
	if d.made > 0 {
		return nil
	}
	for rank, r := range d.host.rooms {
		step, elems, lanes := atomic.LoadUint64(r.step), atomic.LoadUint64(r.elems), atomic.LoadUint64(r.lanes)
		if step != d.number {
			return fmt.Errorf("%w: rank %d reduces step %d while this rank reduces step %d", ErrFenced, rank, step, d.number)
		}
		if elems != uint64(len(d.v.Sum)) || lanes != uint64(len(d.v.Tail)) {
			return fmt.Errorf("rank %d reduces %d elements and %d tail lanes, this one %d and %d: all ranks must reduce the same",
				rank, elems, lanes, len(d.v.Sum), len(d.v.Tail))
		}
	}
	return nil
}

// lay puts the own sums of a piece into the own room, but for the own chunk.
func (d *direct) lay(i int) {
	p, own := d.piece(i), d.host.own()
	sums, chunk := own.pieceSums(d.host.pieces+uint32(i)), p.chunk(p.rank)
	copy(sums, d.v.Sum[p.at:chunk.lo])
	copy(sums[chunk.hi-p.at:], d.v.Sum[chunk.hi:p.at+p.elems])
	d.bytes += 8*(p.elems-chunk.len()) + 4*chunk.len()
	if i == d.pieces-1 {
		copy(own.tail, d.v.Tail)
	}
}

// reduce adds up the own chunk of a piece, and makes its results.
func (d *direct) reduce(i int) {
	p, number := d.piece(i), d.host.pieces+uint32(i)
	chunk, results := p.chunk(p.rank), d.host.own().pieceResults(number)
	for lo := chunk.lo; lo < chunk.hi; lo += blockOfPiece {
		hi := min(lo+blockOfPiece, chunk.hi)
		sums := d.v.Sum[lo:hi]
		for rank, r := range d.host.rooms {
			if rank != d.host.rank {
				add(d.host.sums[:hi-lo], sums, r.pieceSums(number)[lo-p.at:hi-p.at])
				sums = d.host.sums[:hi-lo]
			}
		}
		d.v.results(d.v.Out[lo:hi], sums)
		copy(results[lo-p.at:], d.v.Out[lo:hi])
	}
	if i == d.pieces-1 {
		for _, r := range d.host.rooms {
			for lane := range d.tail {
				d.tail[lane] += r.tail[lane]
			}
		}
	}
}

// take copies what the others made of a piece.
func (d *direct) take(i int) {
	p, number := d.piece(i), d.host.pieces+uint32(i)
	for rank, r := range d.host.rooms {
		if rank != d.host.rank {
			chunk := p.chunk(rank)
			copy(d.v.Out[chunk.lo:chunk.hi], r.pieceResults(number)[chunk.lo-p.at:])
		}
	}
}

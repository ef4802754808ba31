package allreduce

import (
	"context"
	"fmt"
	"sync/atomic"
)

// blockOfPiece is how many elements are summed at a time, in the nearest cache.
const blockOfPiece = 2048

// direct is one all-reduce under way on one rank of a ring whose members share memory,
// those of each host.
//
// The vector goes in pieces, from its end on, and each is cut into a chunk for each lane,
// which are all members where there is but one host. Of each piece every rank puts its
// sums into its room; the lane's adds up those of its own chunk from all rooms, makes the
// results, by its lane if there are other hosts, and puts them there; and every rank takes
// them. One goroutine does all of it, whatever of it can be done, and sleeps when nothing
// can. A rank is never more than roomPieces ahead of another of its host.
//
// A rank has completed the step when all ranks of its host have taken all that it made. So
// nobody needs it any more then, and what it lays there next overwrites nothing.
type direct struct {
	ring   *Ring
	host   *host
	number uint64
	v      Vector
	pieces int
	// final counts the pieces whose sums are; the caller adds to it.
	final atomic.Int64
	// laid, added, made and taken are as in the room, of this step.
	laid, added, made, taken int
	// passage is this rank's part in a lane, nil where it has none.
	passage *passage
	tail    []int64
	// inPlace says that the others read the own sums where they are.
	inPlace bool
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

// piece is the schedule of a piece, whose chunks belong to the lanes as a bucket's do to
// the ranks.
func (d *direct) piece(i int) schedule {
	b := bucket(len(d.v.Sum), pieceElems, i)
	return schedule{world: d.host.lanes, rank: d.host.local, at: b.lo, elems: b.len()}
}

// run implements reducer.
func (d *direct) run(ctx context.Context) error {
	own := d.host.own()
	atomic.StoreUint64(own.step, d.number)
	atomic.StoreUint64(own.elems, uint64(len(d.v.Sum)))
	atomic.StoreUint64(own.lanes, uint64(len(d.v.Tail)))
	if d.inPlace = d.mayReadInPlace(); d.inPlace {
		atomic.StoreUint64(own.inPlace, 1)
	} else {
		atomic.StoreUint64(own.inPlace, 0)
	}
	if d.host.lane != nil {
		d.passage = newPassage(ctx, d)
	}
	err := d.reduceAll(ctx)
	if d.passage != nil {
		err = d.passage.end(err)
	}
	return err
}

func (d *direct) reduceAll(ctx context.Context) error {
	own := d.host.own()
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
		case <-d.ring.Broken():
			if err := d.ring.Cause(); err != nil {
				return err
			}
			return fmt.Errorf("the link from rank %d broke", d.ring.cfg.Predecessor().Rank)
		default:
			own.sleep(heard)
		}
	}
}

// mayReadInPlace says that the others may read the own sums where they are, which takes
// that nobody completes the step once the caller changes them. At one host nobody does: a
// rank that fails before it has taken all results is waited for in vain, and when it has
// taken all, all have been added up. Of several hosts another might complete it.
func (d *direct) mayReadInPlace() bool {
	return len(d.ring.cfg.Hosts) == 1 && has(d.host.own().vector, d.v.Sum)
}

// done says that all ranks of the host have taken all.
func (d *direct) done() bool {
	return d.taken == d.pieces && d.all(func(r *room) *uint32 { return r.taken }, d.pieces)
}

// all says that a counter of all ranks of the host has come to a number of this step's
// pieces.
func (d *direct) all(counter func(*room) *uint32, pieces int) bool {
	return d.reached(d.host.rooms, counter, pieces)
}

// lanes says it of those that are in a lane, for what the others never do.
func (d *direct) lanes(counter func(*room) *uint32, pieces int) bool {
	return d.reached(d.host.rooms[:d.host.lanes], counter, pieces)
}

func (d *direct) reached(rooms []*room, counter func(*room) *uint32, pieces int) bool {
	want := d.host.pieces + uint32(pieces)
	for _, r := range rooms {
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
	for local, r := range d.host.rooms {
		if local != d.host.local {
			r.ring()
		}
	}
}

// advance does what can be done, once. What others wait for longest goes first.
func (d *direct) advance() (moved bool, err error) {
	own := d.host.own()
	if d.taken < d.laid && d.lanes(func(r *room) *uint32 { return r.made }, d.taken+1) {
		d.take(d.taken)
		d.took(d.taken)
		d.count(own.taken, &d.taken)
		moved = true
	}
	if d.passage != nil && d.made < d.added && d.passage.brought(d.made) && d.resultsFree(d.made) {
		d.deliver(d.made)
		d.count(own.made, &d.made)
		moved = true
	}
	if d.host.local < d.host.lanes && d.added < d.laid && d.all(func(r *room) *uint32 { return r.put }, d.added+1) &&
		(d.passage != nil || d.resultsFree(d.added)) {
		if err := d.agree(); err != nil {
			return false, err
		}
		if d.passage != nil {
			d.bring(d.added)
			d.count(own.added, &d.added)
		} else {
			d.reduce(d.added)
			d.count(own.added, &d.added)
			d.count(own.made, &d.made)
		}
		moved = true
	}
	// A place is free when all have added what was in it.
	if int64(d.laid) < d.final.Load() && (d.inPlace || d.lanes(func(r *room) *uint32 { return r.added }, d.laid+1-roomPieces)) {
		d.opened(d.laid == d.pieces-1)
		d.lay(d.laid)
		d.count(own.put, &d.laid)
		moved = true
	}
	if d.passage != nil {
		err = d.passage.failed()
	}
	return moved, err
}

// resultsFree says that all have taken what was in a piece's place for results.
func (d *direct) resultsFree(i int) bool {
	return d.all(func(r *room) *uint32 { return r.taken }, i+1-roomPieces)
}

// agree refuses to add to what others reduce in another step, or of another size.
func (d *direct) agree() error {
	if d.added > 0 {
		return nil
	}
	for local, r := range d.host.rooms {
		rank := d.host.first + local
		step, elems, lanes := atomic.LoadUint64(r.step), atomic.LoadUint64(r.elems), atomic.LoadUint64(r.lanes)
		if step != d.number {
			return fmt.Errorf("%w: rank %d reduces step %d while this rank reduces step %d", ErrFenced, rank, step, d.number)
		}
		if elems != uint64(len(d.v.Sum)) || lanes != uint64(len(d.v.Tail)) {
			return fmt.Errorf("rank %d reduces %d elements and %d tail lanes, this one %d and %d: all ranks must reduce the same",
				rank, elems, lanes, len(d.v.Sum), len(d.v.Tail))
		}
		if atomic.LoadUint64(r.inPlace) != 0 && len(r.vector) != len(d.v.Sum) {
			return fmt.Errorf("rank %d has its sums of %d elements in a memory of %d: this is a defect", rank, elems, len(r.vector))
		}
	}
	return nil
}

// chunk is what of a piece is this rank's to reduce: nothing where it is in no lane.
func (d *direct) chunk(p schedule) span {
	if p.rank >= p.world {
		return span{p.at, p.at}
	}
	return p.chunk(p.rank)
}

// lay puts the own sums of a piece into the own room, but for the own chunk, unless the
// others can read them where they are.
func (d *direct) lay(i int) {
	p, own := d.piece(i), d.host.own()
	if len(d.host.rooms) > 1 {
		chunk := d.chunk(p)
		if !d.inPlace {
			sums := own.pieceSums(d.host.pieces + uint32(i))
			copy(sums, d.v.Sum[p.at:chunk.lo])
			copy(sums[chunk.hi-p.at:], d.v.Sum[chunk.hi:p.at+p.elems])
		}
		d.bytes += 8*(p.elems-chunk.len()) + 4*chunk.len()
	}
	if i == d.pieces-1 {
		copy(own.tail, d.v.Tail)
	}
}

// sum adds up elements [lo, hi) of a piece from all rooms, at most a block: into sums, or
// nowhere where nobody adds to the own.
func (d *direct) sum(sums []int64, p schedule, number uint32, lo, hi int) []int64 {
	all := d.v.Sum[lo:hi]
	for local, r := range d.host.rooms {
		if local != d.host.local {
			add(sums[:hi-lo], all, r.sumsOf(p, number, lo, hi))
			all = sums[:hi-lo]
		}
	}
	return all
}

// reduce adds up the own chunk of a piece, and makes its results.
func (d *direct) reduce(i int) {
	p, number := d.piece(i), d.host.pieces+uint32(i)
	chunk, results := d.chunk(p), d.host.own().pieceResults(number)
	for lo := chunk.lo; lo < chunk.hi; lo += blockOfPiece {
		hi := min(lo+blockOfPiece, chunk.hi)
		d.v.results(d.v.Out[lo:hi], d.sum(d.host.sums[:], p, number, lo, hi))
		copy(results[lo-p.at:], d.v.Out[lo:hi])
	}
	if i == d.pieces-1 && d.host.local == 0 {
		d.total(d.host.own().totals)
	}
}

// total adds up the tails.
func (d *direct) total(totals []int64) {
	for lane := range d.tail {
		totals[lane] = 0
		for _, r := range d.host.rooms {
			totals[lane] += r.tail[lane]
		}
	}
}

// take copies what the others made of a piece.
func (d *direct) take(i int) {
	p, number := d.piece(i), d.host.pieces+uint32(i)
	for local, r := range d.host.rooms[:d.host.lanes] {
		if local != d.host.local {
			chunk := p.chunk(local)
			copy(d.v.Out[chunk.lo:chunk.hi], r.pieceResults(number)[chunk.lo-p.at:])
		}
	}
	if i == d.pieces-1 {
		copy(d.tail, d.host.rooms[0].totals)
	}
}

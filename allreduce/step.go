package allreduce

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// step is one all-reduce under way on one rank.
//
// Three goroutines do it. The receiver takes what the predecessor sends. The reducer
// adds or copies, and queues what goes on. The sender sends what is queued, in order.
// The queue also holds the starts of this rank's own segments, bucket after bucket:
// at first InFlight of them, then another each time one has come all the way round.
//
// A partial sum of a bucket that this rank has not released yet is laid aside, and
// whatever follows it goes on: a rank that is behind in a bucket keeps up in those
// before.
//
// Invariant: the reducer never waits for the queue, nor for a release, so neither a
// slow successor nor a slow caller can make a rank stop receiving, and a ring of ranks
// that all send can't lock up. The queue has room for all that can be under way: a
// rank's own segment that starts follows, on every link and in every queue, the
// second round of the one that made room for it, and results are never laid aside. So
// that one has ended before the new one is back, and no more than 2·InFlight segments
// of each rank are under way at once.
type step struct {
	ring *Ring
	// buckets are the schedules of the buckets, in the order of their release.
	buckets []schedule
	number  uint64
	v       Vector
	queue   chan job
	arrived chan delivery
	// final counts the buckets that the caller has released: it alone uses it.
	final int
	// released has an element for each bucket that the caller has released and the
	// reducer has not opened.
	released chan struct{}

	// All that follows is the reducer's. open counts the buckets that are released,
	// and aside are the messages that wait for others.
	open  int
	aside []arrival
	// next is the next of this rank's own segments to start, and room how many more
	// may be under way.
	next ownSegment
	room int
	// received counts the segments that have come round the ring, for each bucket, phase
	// and hop.
	received []int
	// halved are the buckets that go by halving, nil for the others, and halving their
	// numbers; partners are the links that they go by. begun of them have begun, and
	// active have not ended: no more than InFlight.
	halved        []*halved
	halving       []int
	partners      []partnerEnd
	begun, active int
	// tail becomes the sums of the tail. Segment 0 of chunk 0 of the last bucket
	// carries them.
	tail []int64
	// tell, where set, is told from which element on all results are final: those of
	// the first whole buckets.
	tell  func(from int)
	whole int
	busy
}

// job is one thing to send: a message, or if that is nil the start of one of the
// rank's own segments.
type job struct {
	message *Segment
	own     ownSegment
}

// ownSegment is one of the segments that this rank starts.
type ownSegment struct{ bucket, segment int }

// arrival is a message whose place is known.
type arrival struct {
	message *Segment
	header  Header
	place   place
}

func newStep(r *Ring, number uint64, v Vector) *step {
	n, size := len(v.Out), r.cfg.BucketElems
	if size == 0 {
		size = DefaultBucketElems(n)
	}
	s := &step{
		ring:    r,
		buckets: make([]schedule, buckets(n, size)),
		number:  number,
		v:       v,
		queue:   make(chan job, 2*r.cfg.InFlight*r.cfg.World),
		arrived: make(chan delivery),
		room:    r.cfg.InFlight,
		tail:    make([]int64, len(v.Tail)),
	}
	s.released = make(chan struct{}, len(s.buckets))
	s.busy.left = make([]int, len(s.buckets))
	s.halved = make([]*halved, len(s.buckets))
	for i := range s.buckets {
		b := bucket(n, size, i)
		s.buckets[i] = schedule{world: r.cfg.World, rank: r.cfg.Rank, at: b.lo, elems: b.len(), segmentElems: r.cfg.SegmentElems}
		if r.cfg.HalvingElems > 0 && b.len() <= r.cfg.HalvingElems {
			s.halved[i] = s.buckets[i].halve()
			s.halving = append(s.halving, i)
			s.busy.left[i] = s.halved[i].left
			continue
		}
		_, s.busy.left[i] = s.buckets[i].messages()
	}
	s.joinPartners()
	s.received = make([]int, len(s.buckets)*2*s.hops())
	if room := min(r.cfg.SegmentElems, n); len(r.sums) < room {
		r.sums = make([]int64, room)
	}
	return s
}

// release implements reducer.
func (s *step) release(lo int) {
	for s.final < len(s.buckets)-1 && s.buckets[s.final].at >= lo {
		s.releaseNext()
	}
}

// releaseAll implements reducer.
func (s *step) releaseAll() {
	for s.final < len(s.buckets) {
		s.releaseNext()
	}
}

func (s *step) releaseNext() {
	s.final++
	s.released <- struct{}{} // it has room for all
}

// hops of each phase.
func (s *step) hops() int { return s.ring.cfg.World - 1 }

// run implements reducer.
func (s *step) run(ctx context.Context) error {
	sends, receives := 0, 0
	for i, b := range s.buckets {
		if s.halved[i] == nil {
			sent, received := b.messages()
			sends, receives = sends+sent, receives+received
		}
	}
	all := receives
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.sendAll(ctx, sends) })
	g.Go(func() error { return s.receiveAll(ctx, receives) })
	for i, p := range s.partners {
		all += p.receives
		g.Go(func() error { return s.sendTo(ctx, p) })
		g.Go(func() error { return s.receiveFrom(ctx, i) })
	}
	g.Go(func() error { return s.reduceAll(ctx, all) })
	if err := g.Wait(); err != nil {
		return err
	}
	copy(s.v.Tail, s.tail)
	return nil
}

func (s *step) sendAll(ctx context.Context, n int) error {
	for range n {
		var j job
		select {
		case j = <-s.queue:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if j.message == nil {
			j.message = s.start(j.own)
		}
		if err := s.ring.link.Send(ctx, j.message); err != nil {
			return fmt.Errorf("send to rank %d: %w", s.ring.cfg.Successor().Rank, err)
		}
	}
	return nil
}

func (s *step) receiveAll(ctx context.Context, n int) error {
	for range n {
		m, err := s.ring.link.Recv(ctx)
		if err != nil {
			return fmt.Errorf("receive from rank %d: %w", s.ring.cfg.Predecessor().Rank, err)
		}
		select {
		case s.arrived <- delivery{m, fromRing}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (s *step) reduceAll(ctx context.Context, n int) error {
	for n > 0 || s.open < len(s.buckets) {
		var err error
		from := fromRing
		select {
		case <-s.released:
			err = s.openNext()
		case d := <-s.arrived:
			n--
			from = d.from
			err = s.arriveFrom(d)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("message from rank %d: %w", s.source(from), err)
		}
	}
	return nil
}

// openNext starts the own segments of the next bucket, as far as there is room, and
// takes what was laid aside for it.
func (s *step) openNext() error {
	opened := s.open
	s.open++
	s.opened(s.open == len(s.buckets))
	if err := s.beginHalving(); err != nil {
		return err
	}
	if err := s.startOwn(); err != nil {
		return err
	}
	waiting := s.aside
	s.aside = s.aside[:0]
	for _, a := range waiting {
		if a.place.bucket != opened {
			s.aside = append(s.aside, a)
		} else if err := s.take(a); err != nil {
			return err
		}
	}
	return nil
}

// tellOn tells, where somebody listens, how far results are final from the end on.
func (s *step) tellOn() {
	if s.tell == nil || s.whole == len(s.buckets) || s.left[s.whole] > 0 {
		return
	}
	for s.whole < len(s.buckets) && s.left[s.whole] == 0 {
		s.whole++
	}
	s.tell(s.buckets[s.whole-1].at)
}

// startOwn starts as many own segments as are released and have room.
func (s *step) startOwn() error {
	for s.room > 0 && s.next.bucket < s.open {
		if s.halved[s.next.bucket] != nil {
			s.next.bucket++
			continue
		}
		if err := s.enqueue(job{own: s.next}); err != nil {
			return err
		}
		s.room--
		s.next.segment++
		if b := s.buckets[s.next.bucket]; s.next.segment == b.segments(b.sends(ReduceScatter, 0)) {
			s.next = ownSegment{bucket: s.next.bucket + 1}
		}
	}
	return nil
}

// arrive takes a message of the predecessor.
func (s *step) arrive(m *Segment) error { return s.arriveFrom(delivery{m, fromRing}) }

// arriveFrom finds the place of a message, and takes it or lays it aside.
func (s *step) arriveFrom(d delivery) error {
	a, err := s.expect(d)
	if err != nil {
		return err
	}
	if s.begins(a.place.bucket) {
		return s.take(a)
	}
	if a.place.phase == AllGather || a.place.phase == Doubling {
		return fmt.Errorf("%w ring message: a result of bucket %d, which this rank has not released", ErrMalformed, a.place.bucket)
	}
	if d.from != fromRing {
		return s.layHalvedAside(a)
	}
	if len(s.aside) == cap(s.queue) { // only a neighbour that breaks the schedule has more under way
		return s.crowded()
	}
	s.aside = append(s.aside, a)
	return nil
}

// enqueue never waits. Only a neighbour that breaks the schedule can fill the
// queue.
func (s *step) enqueue(j job) error {
	select {
	case s.queue <- j:
		return nil
	default:
		return s.crowded()
	}
}

func (s *step) crowded() error {
	return fmt.Errorf("more than %d segments are under way: all ranks must allow the same number in flight", cap(s.queue))
}

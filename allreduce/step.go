package allreduce

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// step is one all-reduce under way on one rank.
//
// Two goroutines do it. The receiver takes what the predecessor sends, adds or
// copies, and queues what goes on. The sender sends what is queued, in order. The
// queue also holds the starts of this rank's own segments: at first InFlight of
// them, then another each time one has come all the way round.
//
// Invariant: the receiver never waits for the queue, so a slow successor can't
// make a rank stop receiving, and a ring of ranks that all send can't lock up.
// The queue has room for all that can be under way: a rank's own segment that
// starts follows, on every link and in every queue, the second round of the one
// that made room for it. So that one has ended before the new one is back, and no
// more than 2·InFlight segments of each rank are under way at once.
type step struct {
	ring   *Ring
	sched  schedule
	number uint64
	v      Vector
	queue  chan job
	// received counts the segments that have come, for each phase and hop.
	received [2][]int
	// tail becomes the sums of the tail. Segment 0 of chunk 0 carries them.
	tail []int64
}

// job is one thing to send: a message, or if that is nil the start of one of the
// rank's own segments.
type job struct {
	message *Segment
	own     int
}

func newStep(r *Ring, number uint64, v Vector) *step {
	s := &step{
		ring:   r,
		sched:  schedule{world: r.cfg.World, rank: r.cfg.Rank, elems: len(v.Sum), segmentElems: r.cfg.SegmentElems},
		number: number,
		v:      v,
		queue:  make(chan job, 2*r.cfg.InFlight*r.cfg.World),
		tail:   make([]int64, len(v.Tail)),
	}
	for p := range s.received {
		s.received[p] = make([]int, s.sched.hops())
	}
	if room := min(r.cfg.SegmentElems, len(v.Sum)); len(r.sums) < room {
		r.sums = make([]int64, room)
	}
	return s
}

// run does the step, and sets the Vector's Tail at the end of it.
func (s *step) run(ctx context.Context) error {
	for i := range min(s.ring.cfg.InFlight, s.ownSegments()) {
		s.queue <- job{own: i}
	}
	sends, receives := s.sched.messages()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.sendAll(ctx, sends) })
	g.Go(func() error { return s.receiveAll(ctx, receives) })
	if err := g.Wait(); err != nil {
		return err
	}
	copy(s.v.Tail, s.tail)
	return nil
}

// ownSegments is how many segments this rank starts.
func (s *step) ownSegments() int { return s.sched.segments(s.sched.sends(ReduceScatter, 0)) }

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
	from := s.ring.cfg.Predecessor().Rank
	for range n {
		m, err := s.ring.link.Recv(ctx)
		if err != nil {
			return fmt.Errorf("receive from rank %d: %w", from, err)
		}
		if err := s.take(m); err != nil {
			return fmt.Errorf("message from rank %d: %w", from, err)
		}
	}
	return nil
}

// place is where a message stands in the schedule.
type place struct {
	phase          Phase
	hop            int
	chunk, segment int
	span           span
}

// last says that the message goes no further in its phase.
func (s *step) last(p place) bool { return p.hop == s.sched.hops()-1 }

// tailBytes is the size of the tail that the message carries.
func (s *step) tailBytes(p place) int {
	if p.chunk == 0 && p.segment == 0 {
		return 8 * len(s.tail)
	}
	return 0
}

// start makes the first message of one of this rank's own segments.
func (s *step) start(segment int) *Segment {
	chunk := s.sched.sends(ReduceScatter, 0)
	p := place{ReduceScatter, 0, chunk, segment, s.sched.segment(chunk, segment)}
	m := newSegment(&s.ring.pool, headerBytes+s.tailBytes(p)+PackedBound(p.span.len()))
	b := (*m.buf)[:headerBytes]
	if s.tailBytes(p) > 0 {
		b = appendInt64s(b, s.v.Tail)
	}
	*m.buf = AppendPacked(b, s.v.Sum[p.span.lo:p.span.hi])
	m.seal(s.header(p))
	return m
}

// take does with a received message what its place asks for.
func (s *step) take(m *Segment) error {
	h, err := m.Header()
	if err != nil {
		return err
	}
	p, err := s.expect(h)
	if err != nil {
		return err
	}
	if err := m.verify(h); err != nil {
		return err
	}
	if len(m.payload()) < s.tailBytes(p) {
		return fmt.Errorf("%w ring message: payload of %d bytes, its tail alone has %d", ErrMalformed, len(m.payload()), s.tailBytes(p))
	}
	switch {
	case p.phase == AllGather:
		return s.gather(m, h, p)
	case s.last(p):
		return s.complete(m, p)
	default:
		return s.addAndPass(m, p)
	}
}

// expect finds the place of a message, which must be the next of its hop.
func (s *step) expect(h Header) (place, error) {
	cfg := s.ring.cfg
	if err := h.fence(cfg.Run, cfg.Generation, s.number); err != nil {
		return place{}, err
	}
	if h.Elems != uint64(len(s.v.Sum)) || h.TailLanes != uint32(len(s.tail)) {
		return place{}, fmt.Errorf("that rank reduces %d elements and %d tail lanes, this one %d and %d: all ranks must reduce the same",
			h.Elems, h.TailLanes, len(s.v.Sum), len(s.tail))
	}
	if int(h.Hop) >= s.sched.hops() {
		return place{}, fmt.Errorf("%w ring message: hop %d, a ring of %d has %d", ErrMalformed, h.Hop, cfg.World, s.sched.hops())
	}
	p := place{phase: h.Phase, hop: int(h.Hop), chunk: s.sched.receives(h.Phase, int(h.Hop))}
	next := &s.received[h.Phase-ReduceScatter][p.hop]
	if p.segment = *next; p.segment >= s.sched.segments(p.chunk) {
		return place{}, fmt.Errorf("%w ring message: more than %d segments at hop %d of %v", ErrMalformed, p.segment, p.hop, p.phase)
	}
	p.span = s.sched.segment(p.chunk, p.segment)
	if h.Segment != uint32(p.segment) || h.Offset != uint64(p.span.lo) || h.Count != uint32(p.span.len()) {
		return place{}, fmt.Errorf("segment %d with %d elements from %d at hop %d of %v, want segment %d with %d from %d: all ranks must use the same segment size",
			h.Segment, h.Count, h.Offset, p.hop, p.phase, p.segment, p.span.len(), p.span.lo)
	}
	*next++
	return p, nil
}

// addAndPass adds this rank's sums to a partial sum and passes it on.
func (s *step) addAndPass(m *Segment, p place) error {
	tail, packed := m.payload()[:s.tailBytes(p)], m.payload()[s.tailBytes(p):]
	out := newSegment(&s.ring.pool, headerBytes+len(tail)+PackedBound(p.span.len()))
	b := (*out.buf)[:headerBytes]
	if len(tail) > 0 {
		s.addTail(tail)
		b = appendInt64s(b, s.tail)
	}
	b, err := appendSum(b, packed, s.v.Sum[p.span.lo:p.span.hi])
	if err != nil {
		return err
	}
	*out.buf = b
	m.Release()
	p.hop++
	out.seal(s.header(p))
	return s.enqueue(job{message: out})
}

// complete makes the result of a segment that this rank owns and sends it out.
func (s *step) complete(m *Segment, p place) error {
	tail, packed := m.payload()[:s.tailBytes(p)], m.payload()[s.tailBytes(p):]
	if len(tail) > 0 {
		s.addTail(tail)
	}
	sums := s.ring.sums[:p.span.len()]
	if err := unpackAdd(sums, packed, s.v.Sum[p.span.lo:p.span.hi]); err != nil {
		return err
	}
	result := s.v.Out[p.span.lo:p.span.hi]
	narrow := len(packed) < 4*len(result)
	m.Release()
	s.v.Finish(result, sums)

	p.phase, p.hop = AllGather, 0
	out := newSegment(&s.ring.pool, headerBytes+s.tailBytes(p)+resultBound(len(result), narrow))
	b := (*out.buf)[:headerBytes]
	if s.tailBytes(p) > 0 {
		b = appendInt64s(b, s.tail)
	}
	*out.buf = appendResult(b, sums, result, narrow)
	out.seal(s.header(p))
	return s.enqueue(job{message: out})
}

// resultBound is the most bytes that appendResult appends, on the way too.
func resultBound(n int, narrow bool) int {
	if narrow {
		return PackedBound(n)
	}
	return 4 * n
}

// appendResult appends a segment's result in one of its two forms: the float32
// values or, where these are shorter, the packed sums that they are made of. The
// length tells them apart. Every rank makes the same values of the sums as their
// owner did. The sums are only tried where they are narrow, which a partial sum
// foretells, since packing in vain costs time.
func appendResult(dst []byte, sums []int64, result []float32, narrow bool) []byte {
	values := 4 * len(result)
	if narrow {
		if b := AppendPacked(dst, sums); len(b)-len(dst) < values {
			return b
		}
	}
	b := dst[:len(dst)+values]
	putFloat32s(b[len(dst):], result)
	return b
}

// takeResult reads what appendResult wrote.
func (s *step) takeResult(p place, payload []byte) error {
	result := s.v.Out[p.span.lo:p.span.hi]
	switch values := 4 * len(result); {
	case len(payload) > values:
		return fmt.Errorf("%w ring message: %d bytes for %d results", ErrMalformed, len(payload), len(result))
	case len(payload) == values:
		getFloat32s(result, payload)
		return nil
	}
	sums := s.ring.sums[:len(result)]
	if err := Unpack(sums, payload); err != nil {
		return err
	}
	s.v.Finish(result, sums)
	return nil
}

// gather takes a result and passes on the message as it is.
func (s *step) gather(m *Segment, h Header, p place) error {
	tail, result := m.payload()[:s.tailBytes(p)], m.payload()[s.tailBytes(p):]
	getInt64s(s.tail[:len(tail)/8], tail)
	if err := s.takeResult(p, result); err != nil {
		return err
	}
	if s.last(p) {
		m.Release()
	} else {
		h.Hop++
		m.SetHeader(h)
		if err := s.enqueue(job{message: m}); err != nil {
			return err
		}
	}
	// At hop 0 it is one of this rank's own segments that has come back.
	if next := p.segment + s.ring.cfg.InFlight; p.hop == 0 && next < s.ownSegments() {
		return s.enqueue(job{own: next})
	}
	return nil
}

// enqueue never waits. Only a neighbour that breaks the schedule can fill the
// queue.
func (s *step) enqueue(j job) error {
	select {
	case s.queue <- j:
		return nil
	default:
		return fmt.Errorf("more than %d segments are under way: all ranks must allow the same number in flight", cap(s.queue))
	}
}

// addTail sets the tail's sums to the received partial ones plus this rank's.
func (s *step) addTail(partial []byte) {
	getInt64s(s.tail, partial)
	for i, x := range s.v.Tail {
		s.tail[i] += x
	}
}

// header is the header of a message at p.
func (s *step) header(p place) Header {
	return Header{
		Run:        s.ring.cfg.Run,
		Generation: s.ring.cfg.Generation,
		Step:       s.number,
		Phase:      p.phase,
		Hop:        uint16(p.hop),
		Segment:    uint32(p.segment),
		Offset:     uint64(p.span.lo),
		Count:      uint32(p.span.len()),
		Elems:      uint64(len(s.v.Sum)),
		TailLanes:  uint32(len(s.tail)),
	}
}

func appendInt64s(dst []byte, src []int64) []byte {
	for _, x := range src {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(x))
	}
	return dst
}

func getInt64s(dst []int64, src []byte) {
	for i := range dst {
		dst[i] = int64(binary.LittleEndian.Uint64(src[8*i:]))
	}
}

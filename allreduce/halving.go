package allreduce

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// halved is a bucket that goes by recursive halving and doubling, on one rank. Partners
// send its parts in an order of their own, so it keeps account of what has come, and
// hands on a segment as soon as all that it is made of is there.
//
// All of it is the reducer's, but that senders read sums and the vector: never what
// the reducer may yet change, since a segment is handed on when it is complete for its
// exchange, and its result comes when the partner has it.
type halved struct {
	exchanges []exchange
	done      []exchanged // as exchanges
	// own is the chunk whose results this rank makes, finished how many of its segments
	// have them; none on a rank beyond the core.
	own      flow
	finished int
	// held is the part of the bucket that this rank adds to, sums what it has become.
	held span
	sums []int64
	// unknown are parts whose results came without their sums.
	unknown []span
	// left counts the messages that are yet to come.
	left  int
	aside []arrival
	// readers are the segments that are handed on and not made, and the reducer: the
	// last gives up sums.
	readers atomic.Int64
}

// exchanged counts the segments of an exchange, each way, and keeps the tail that the
// partner sent.
type exchanged struct {
	sumsOut, sumsIn, resultsOut, resultsIn int
	// Those that have arrived, laid aside or not.
	sumsPlaced, resultsPlaced int
	tail                      []int64
}

// handover is a segment to make and to send.
type handover struct {
	place
	tail []int64
	// summed says that the sums of results are known.
	summed bool
}

// halve is the bucket's account before anything has come.
func (s schedule) halve() *halved {
	h := new(halved)
	h.exchanges, h.own = s.exchanges()
	h.done = make([]exchanged, len(h.exchanges))
	for i, e := range h.exchanges {
		h.left += e.sumsIn.segments() + e.resultsIn.segments()
		if i == 0 && !e.sumsIn.none {
			h.held = e.sumsIn.span
		}
	}
	return h
}

// messages counts what a rank sends to a partner of the bucket and receives from it.
func (e exchange) messages() (sent, received int) {
	return e.sumsOut.segments() + e.resultsOut.segments(), e.sumsIn.segments() + e.resultsIn.segments()
}

// beginHalving begins as many buckets as are released and have room.
func (s *step) beginHalving() error {
	for s.begun < len(s.halving) && s.halving[s.begun] < s.open && s.active < s.ring.cfg.InFlight {
		bucket := s.halving[s.begun]
		h := s.halved[bucket]
		s.begun++
		s.active++
		h.readers.Store(1)
		h.sums = s.v.own(h.held.lo, h.held.hi).appendTo(s.ring.spare.take())
		s.advance(bucket)
		waiting := h.aside
		h.aside = nil
		for _, a := range waiting {
			if err := s.take(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// begins says whether a bucket's messages can be taken.
func (s *step) begins(bucket int) bool {
	if s.halved[bucket] == nil {
		return bucket < s.open
	}
	return s.begun > 0 && bucket <= s.halving[s.begun-1]
}

// layHalvedAside keeps a message of a bucket that this rank has not begun. A partner
// begins no bucket before it has completed the one InFlight before it, of which this
// rank has sent its part.
func (s *step) layHalvedAside(a arrival) error {
	ahead, _ := slices.BinarySearch(s.halving, a.place.bucket)
	if ahead >= s.begun+s.ring.cfg.InFlight {
		return fmt.Errorf("more than %d buckets are under way: all ranks must allow the same number in flight", s.ring.cfg.InFlight)
	}
	h := s.halved[a.place.bucket]
	h.aside = append(h.aside, a)
	return nil
}

// takeHalved does with a received message what its place asks for.
func (s *step) takeHalved(a arrival) error {
	h, p := s.halved[a.place.bucket], a.place
	tail, packed := a.message.payload()[:s.tailBytes(p)], a.message.payload()[s.tailBytes(p):]
	done := &h.done[p.exchange]
	if len(tail) > 0 {
		done.tail = make([]int64, len(s.tail))
		getInt64s(done.tail, tail)
	}
	if p.phase == Halving {
		sums, held := s.ring.sums[:p.span.len()], h.at(p.span)
		if err := unpackAdd(sums, packed, own{sums: held}); err != nil {
			return err
		}
		copy(held, sums)
		done.sumsIn++
	} else {
		if err := s.takeHalvedResult(h, p, packed); err != nil {
			return err
		}
		done.resultsIn++
	}
	a.message.Release()
	s.advance(p.bucket)
	if h.left--; h.left > 0 {
		return nil
	}
	if p.bucket == len(s.buckets)-1 {
		copy(s.tail, h.total(s.v.Tail))
	}
	s.letGo(h)
	s.active--
	return s.beginHalving()
}

// takeHalvedResult reads a result, and keeps its sums where they go on.
func (s *step) takeHalvedResult(h *halved, p place, payload []byte) error {
	goesOn := p.exchange > 0
	sums := s.ring.sums[:p.span.len()]
	if goesOn {
		sums = h.at(p.span)
	}
	summed, err := s.v.takeResult(s.v.Out[p.span.lo:p.span.hi], sums, payload)
	if goesOn && !summed {
		h.unknown = append(h.unknown, p.span)
	}
	return err
}

// advance hands on all that is complete for its exchange. It waits for nothing.
func (s *step) advance(bucket int) {
	h := s.halved[bucket]
	for i, e := range h.exchanges {
		for n := &h.done[i].sumsOut; *n < e.sumsOut.segments(); *n++ {
			p := s.halvedPlace(bucket, i, Halving, *n)
			if !h.summed(i, p.span, s.tailBytes(p) > 0) {
				break
			}
			s.handOn(h, p)
		}
	}
	for ; h.finished < h.own.segments(); h.finished++ {
		part := h.own.segment(h.finished)
		if !h.summed(len(h.exchanges), part, false) {
			break
		}
		s.v.results(s.v.Out[part.lo:part.hi], h.at(part))
	}
	for i, e := range slices.Backward(h.exchanges) {
		for n := &h.done[i].resultsOut; *n < e.resultsOut.segments(); *n++ {
			p := s.halvedPlace(bucket, i, Doubling, *n)
			if !h.resulted(i, p.span) || s.tailBytes(p) > 0 && !h.summed(len(h.exchanges), p.span, true) {
				break
			}
			s.handOn(h, p)
		}
	}
}

// handOn queues a segment for the sender to its partner, and never waits: the queue has
// room for all that a step sends.
func (s *step) handOn(h *halved, p place) {
	j := handover{place: p}
	if s.tailBytes(p) > 0 {
		j.tail = h.tail(s.v.Tail, p.exchange)
		if p.phase == Doubling {
			j.tail = h.total(s.v.Tail)
		}
	}
	j.summed = p.phase == Doubling && !slices.ContainsFunc(h.unknown, func(u span) bool { return u.lo < p.span.hi && p.span.lo < u.hi })
	h.readers.Add(1)
	select {
	case s.partners[p.exchange].queue <- j:
	default:
		panic("allreduce: a segment is handed on twice")
	}
}

// summed says that a part of the bucket, and if asked the tail, has what comes of sums
// in the exchanges before number n.
func (h *halved) summed(n int, part span, tail bool) bool {
	for i, e := range h.exchanges[:n] {
		got := h.done[i].sumsIn
		if !e.sumsIn.has(got, part) || tail && got == 0 && !e.sumsIn.none {
			return false
		}
	}
	return true
}

// resulted says that a part of the bucket has its results, as far as they are to come
// before they are sent in exchange n.
func (h *halved) resulted(n int, part span) bool {
	if !h.own.has(h.finished, part) {
		return false
	}
	for i := n + 1; i < len(h.exchanges); i++ {
		if !h.exchanges[i].resultsIn.has(h.done[i].resultsIn, part) {
			return false
		}
	}
	return true
}

// tail is the sum of the tails that came in the exchanges before number n and of this
// rank's own.
func (h *halved) tail(own []int64, n int) []int64 {
	sum := slices.Clone(own)
	for _, d := range h.done[:n] {
		for i, x := range d.tail {
			sum[i] += x
		}
	}
	return sum
}

// total is the sum of all tails: beyond the core it comes as such.
func (h *halved) total(own []int64) []int64 {
	if h.own.none {
		return h.done[0].tail
	}
	return h.tail(own, len(h.exchanges))
}

// at is where the sums of a part are.
func (h *halved) at(part span) []int64 { return h.sums[part.lo-h.held.lo : part.hi-h.held.lo] }

// letGo gives up sums when nobody reads them any more.
func (s *step) letGo(h *halved) {
	if h.readers.Add(-1) == 0 {
		s.ring.spare.put(h.sums)
		h.sums = nil
	}
}

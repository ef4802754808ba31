package allreduce

import (
	"context"
	"fmt"
	"sync"
)

// partnerEnd is a partner's link in a step.
type partnerEnd struct {
	link            Link
	rank            int
	queue           chan handover
	sends, receives int
}

// fromRing is where a message comes from that is no partner's.
const fromRing = -1

// delivery is a message, and the exchange that it is of, or fromRing.
type delivery struct {
	message *Segment
	from    int
}

// source is the rank from which a delivery comes.
func (s *step) source(from int) int {
	if from == fromRing {
		return s.ring.cfg.Predecessor().Rank
	}
	return s.partners[from].rank
}

// joinPartners makes the ends for the buckets that go by halving.
func (s *step) joinPartners() {
	if len(s.halving) == 0 {
		return
	}
	s.partners = make([]partnerEnd, len(s.ring.partners))
	for i, rank := range Partners(s.ring.cfg.World, s.ring.cfg.Rank) {
		p := partnerEnd{link: s.ring.partners[i], rank: rank}
		for _, bucket := range s.halving {
			sent, received := s.halved[bucket].exchanges[i].messages()
			p.sends, p.receives = p.sends+sent, p.receives+received
		}
		p.queue = make(chan handover, p.sends)
		s.partners[i] = p
	}
}

// sendTo makes and sends what is handed on to a partner.
func (s *step) sendTo(ctx context.Context, p partnerEnd) error {
	for range p.sends {
		var j handover
		select {
		case j = <-p.queue:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		m := s.make(j)
		s.letGo(s.halved[j.bucket])
		if err := p.link.Send(ctx, m); err != nil {
			return partnerError(p.rank, fmt.Errorf("send to rank %d: %w", p.rank, err))
		}
	}
	return nil
}

// receiveFrom takes what a partner sends.
func (s *step) receiveFrom(ctx context.Context, i int) error {
	p := s.partners[i]
	for range p.receives {
		m, err := p.link.Recv(ctx)
		if err != nil {
			return partnerError(p.rank, fmt.Errorf("receive from rank %d: %w", p.rank, err))
		}
		select {
		case s.arrived <- delivery{m, i}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// make makes a message of what is handed on.
func (s *step) make(j handover) *Segment {
	h, n := s.halved[j.bucket], j.span.len()
	bound := PackedBound(n)
	if j.phase == Doubling {
		bound = s.v.resultBound(n)
	}
	m := newSegment(&s.ring.pool, headerBytes+8*len(j.tail)+bound)
	b := appendInt64s((*m.buf)[:headerBytes], j.tail)
	switch {
	case j.phase == Halving && (j.exchange == 0 || h.own.none):
		b = appendOwn(b, s.v.own(j.span.lo, j.span.hi)) // nothing has been added to it
	case j.phase == Halving:
		b = AppendPacked(b, h.at(j.span))
	default:
		var sums []int64
		if j.summed {
			sums = h.at(j.span)
		}
		b = s.v.appendResult(b, sums, s.v.Out[j.span.lo:j.span.hi])
	}
	*m.buf = b
	m.seal(s.header(j.place))
	return m
}

// halvedPlace is where a segment that this rank sends stands.
func (s *step) halvedPlace(bucket, i int, phase Phase, segment int) place {
	e := s.halved[bucket].exchanges[i]
	f := e.sumsOut
	if phase == Doubling {
		f = e.resultsOut
	}
	return place{bucket: bucket, phase: phase, hop: e.round, exchange: i, segment: segment, span: f.segment(segment)}
}

// placeOf is where a header says that a partner's message belongs, which must be the
// next of its flow.
func (s *step) placeOf(h Header, from int) (place, error) {
	if err := s.known(h); err != nil {
		return place{}, err
	}
	b := s.halved[h.Bucket]
	if b == nil || h.Phase != Halving && h.Phase != Doubling {
		return place{}, fmt.Errorf("%w ring message: %v of bucket %d between partners: all ranks must halve the same buckets", ErrMalformed, h.Phase, h.Bucket)
	}
	e, done := b.exchanges[from], &b.done[from]
	if int(h.Hop) != e.round {
		return place{}, fmt.Errorf("%w ring message: round %d, the partner's is %d", ErrMalformed, h.Hop, e.round)
	}
	f, next := e.sumsIn, &done.sumsPlaced
	if h.Phase == Doubling {
		f, next = e.resultsIn, &done.resultsPlaced
	}
	p := place{bucket: int(h.Bucket), phase: h.Phase, hop: e.round, exchange: from, segment: *next}
	if p.segment >= f.segments() {
		return place{}, fmt.Errorf("%w ring message: more than %d segments in round %d of %v", ErrMalformed, p.segment, p.hop, p.phase)
	}
	p.span = f.segment(p.segment)
	if err := p.check(h); err != nil {
		return place{}, err
	}
	*next++
	return p, nil
}

// spares keeps room for sums that nobody needs now.
type spares struct {
	mu   sync.Mutex
	room [][]int64
}

// take gives room, empty.
func (s *spares) take() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.room) - 1
	if n < 0 {
		return nil
	}
	room := s.room[n]
	s.room = s.room[:n]
	return room[:0]
}

func (s *spares) put(room []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = append(s.room, room)
}

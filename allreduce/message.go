package allreduce

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// place is where a message stands in the schedule.
type place struct {
	bucket         int
	phase          Phase
	hop            int
	chunk, segment int
	span           span
	// exchange is the number of this rank's, where the bucket goes by halving.
	exchange int
}

// last says that the message goes no further in its phase.
func (s *step) last(p place) bool { return p.hop == s.hops()-1 }

// tailBytes is the size of the tail that the message carries.
func (s *step) tailBytes(p place) int {
	if p.bucket != len(s.buckets)-1 || p.chunk != 0 || p.segment != 0 {
		return 0
	}
	if p.phase == Doubling && p.hop < bits.Len(uint(core(s.ring.cfg.World)))-1 {
		return 0 // both partners have the totals
	}
	return 8 * len(s.tail)
}

// start makes the first message of one of this rank's own segments.
func (s *step) start(own ownSegment) *Segment {
	b := s.buckets[own.bucket]
	chunk := b.sends(ReduceScatter, 0)
	p := place{bucket: own.bucket, phase: ReduceScatter, chunk: chunk, segment: own.segment, span: b.segment(chunk, own.segment)}
	m := newSegment(&s.ring.pool, headerBytes+s.tailBytes(p)+PackedBound(p.span.len()))
	payload := (*m.buf)[:headerBytes]
	if s.tailBytes(p) > 0 {
		payload = appendInt64s(payload, s.v.Tail)
	}
	*m.buf = appendOwn(payload, s.v.own(p.span.lo, p.span.hi))
	m.seal(s.header(p))
	return m
}

// take does with a received message what its place asks for.
func (s *step) take(a arrival) error {
	var err error
	switch m, p := a.message, a.place; {
	case s.halved[p.bucket] != nil:
		err = s.takeHalved(a)
	case p.phase == AllGather:
		err = s.gather(m, a.header, p)
	case s.last(p):
		err = s.complete(m, p)
	default:
		err = s.addAndPass(m, p)
	}
	s.took(a.place.bucket)
	s.tellOn()
	return err
}

// expect checks a message and finds its place, which must be the next of its hop.
func (s *step) expect(d delivery) (arrival, error) {
	m := d.message
	h, err := m.Header()
	if err != nil {
		return arrival{}, err
	}
	var p place
	if d.from == fromRing {
		p, err = s.place(h)
	} else {
		p, err = s.placeOf(h, d.from)
	}
	if err != nil {
		return arrival{}, err
	}
	if err := m.verify(h); err != nil {
		return arrival{}, err
	}
	if len(m.payload()) < s.tailBytes(p) {
		return arrival{}, fmt.Errorf("%w ring message: payload of %d bytes, its tail alone has %d", ErrMalformed, len(m.payload()), s.tailBytes(p))
	}
	return arrival{m, h, p}, nil
}

// known refuses a header that is of nothing that this rank reduces now.
func (s *step) known(h Header) error {
	cfg := s.ring.cfg
	if err := h.fence(cfg.Run, cfg.Generation, s.number); err != nil {
		return err
	}
	if h.Elems != uint64(len(s.v.Out)) || h.TailLanes != uint32(len(s.tail)) {
		return fmt.Errorf("that rank reduces %d elements and %d tail lanes, this one %d and %d: all ranks must reduce the same",
			h.Elems, h.TailLanes, len(s.v.Out), len(s.tail))
	}
	if uint64(h.Bucket) >= uint64(len(s.buckets)) {
		return fmt.Errorf("%w ring message: bucket %d of %d: all ranks must use the same bucket size", ErrMalformed, h.Bucket, len(s.buckets))
	}
	return nil
}

// place is where a header says that the predecessor's message belongs.
func (s *step) place(h Header) (place, error) {
	if err := s.known(h); err != nil {
		return place{}, err
	}
	if int(h.Hop) >= s.hops() {
		return place{}, fmt.Errorf("%w ring message: hop %d, a ring of %d has %d", ErrMalformed, h.Hop, s.ring.cfg.World, s.hops())
	}
	if s.halved[h.Bucket] != nil || h.Phase != ReduceScatter && h.Phase != AllGather {
		return place{}, fmt.Errorf("%w ring message: %v of bucket %d round the ring: all ranks must halve the same buckets", ErrMalformed, h.Phase, h.Bucket)
	}
	b := s.buckets[h.Bucket]
	p := place{bucket: int(h.Bucket), phase: h.Phase, hop: int(h.Hop), chunk: b.receives(h.Phase, int(h.Hop))}
	next := &s.received[(2*p.bucket+int(h.Phase-ReduceScatter))*s.hops()+p.hop]
	if p.segment = *next; p.segment >= b.segments(p.chunk) {
		return place{}, fmt.Errorf("%w ring message: more than %d segments at hop %d of %v", ErrMalformed, p.segment, p.hop, p.phase)
	}
	p.span = b.segment(p.chunk, p.segment)
	if err := p.check(h); err != nil {
		return place{}, err
	}
	*next++
	return p, nil
}

// check refuses a header whose segment is not the place's.
func (p place) check(h Header) error {
	if h.Segment != uint32(p.segment) || h.Offset != uint64(p.span.lo) || h.Count != uint32(p.span.len()) {
		return fmt.Errorf("segment %d with %d elements from %d at hop %d of %v in bucket %d, want segment %d with %d from %d: all ranks must use the same segment size and bucket size",
			h.Segment, h.Count, h.Offset, p.hop, p.phase, p.bucket, p.segment, p.span.len(), p.span.lo)
	}
	return nil
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
	b, err := appendSum(b, packed, s.v.own(p.span.lo, p.span.hi))
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
	if err := unpackAdd(sums, packed, s.v.own(p.span.lo, p.span.hi)); err != nil {
		return err
	}
	result := s.v.Out[p.span.lo:p.span.hi]
	m.Release()
	s.v.results(result, sums)

	p.phase, p.hop = AllGather, 0
	out := newSegment(&s.ring.pool, headerBytes+s.tailBytes(p)+s.v.resultBound(len(result)))
	b := (*out.buf)[:headerBytes]
	if s.tailBytes(p) > 0 {
		b = appendInt64s(b, s.tail)
	}
	*out.buf = s.v.appendResult(b, sums, result)
	out.seal(s.header(p))
	return s.enqueue(job{message: out})
}

// gather takes a result and passes on the message as it is.
func (s *step) gather(m *Segment, h Header, p place) error {
	tail, result := m.payload()[:s.tailBytes(p)], m.payload()[s.tailBytes(p):]
	getInt64s(s.tail[:len(tail)/8], tail)
	if _, err := s.v.takeResult(s.v.Out[p.span.lo:p.span.hi], s.ring.sums[:p.span.len()], result); err != nil {
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
	if p.hop > 0 {
		return nil
	}
	s.room++ // it is one of this rank's own segments that has come back
	return s.startOwn()
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
		Bucket:     uint32(p.bucket),
		Segment:    uint32(p.segment),
		Offset:     uint64(p.span.lo),
		Count:      uint32(p.span.len()),
		Elems:      uint64(len(s.v.Out)),
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

package allreduce

import "testing"

// Whatever a partner sends, a rank takes it for the next message of its flow or refuses
// it, and its own sums stay as they are.
func FuzzTakeFromPartner(f *testing.F) {
	const world, elems, lanes, rank = 5, 100, 2, 0
	fresh := func(t testing.TB) (*step, []int64) {
		ring := &Ring{cfg: Config{Member: Member{Run: testRun, Generation: 7, Rank: rank, World: world}, SegmentElems: 8, InFlight: 2, BucketElems: 40, HalvingElems: 40}}
		ring.partners = make([]Link, len(Partners(world, rank)))
		v := Vector{Sum: make([]int64, elems), Tail: make([]int64, lanes), Out: make([]float32, elems), Finish: Fixed{FractionBits: 20}.Means(world)}
		for i := range v.Sum {
			v.Sum[i] = int64(i)
		}
		s := newStep(ring, 5, v)
		for range 2 { // of three buckets
			if err := s.openNext(); err != nil {
				t.Fatal(err)
			}
		}
		return s, append([]int64(nil), v.Sum...)
	}
	s, _ := fresh(f)
	for number, h := range s.halved {
		for i, e := range h.exchanges {
			for phase, in := range map[Phase]flow{Halving: e.sumsIn, Doubling: e.resultsIn} {
				if in.none {
					continue
				}
				p := place{bucket: number, phase: phase, hop: e.round, exchange: i, span: in.segment(0)}
				m := newSegment(new(bufferPool), headerBytes+s.tailBytes(p))
				*m.buf = AppendPacked(*m.buf, s.v.Sum[p.span.lo:p.span.hi])
				m.seal(s.header(p))
				f.Add(*m.buf, uint8(i), false)
				f.Add((*m.buf)[:len(*m.buf)-1], uint8(i), true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, from uint8, reseal bool) {
		s, before := fresh(t)
		buf := append([]byte(nil), b...)
		m := &Segment{buf: &buf, pool: new(bufferPool)}
		if h, err := m.Header(); err == nil && reseal {
			m.seal(h)
		}
		again := append([]byte(nil), buf...)
		exchange := int(from) % len(s.partners)
		if s.arriveFrom(delivery{m, exchange}) != nil {
			return
		}
		for i, x := range before {
			if s.v.Sum[i] != x {
				t.Fatalf("sum %d became %d", i, s.v.Sum[i])
			}
		}
		h, err := parseHeader(again)
		if err != nil || h.fence(testRun, 7, 5) != nil {
			t.Fatalf("it took a message of %+v (%v)", h, err)
		}
		if err := s.arriveFrom(delivery{&Segment{buf: &again, pool: new(bufferPool)}, exchange}); err == nil {
			t.Fatalf("it took the same message twice: %+v", h)
		}
	})
}

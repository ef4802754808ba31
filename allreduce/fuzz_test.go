package allreduce

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Whatever a predecessor sends, a rank takes it for the next message of the
// schedule or refuses it, and its own sums stay as they are.
func FuzzTake(f *testing.F) {
	const world, elems, lanes = 3, 100, 2
	message := func(h Header, payload []byte) []byte {
		s := newSegment(new(bufferPool), headerBytes+len(payload))
		copy(s.payload(), payload)
		s.seal(h)
		return *s.buf
	}
	fresh := func(t testing.TB) (*step, []int64) {
		ring := &Ring{cfg: Config{Member: Member{Run: testRun, Generation: 7, Rank: 1, World: world}, SegmentElems: 8, InFlight: 2, BucketElems: 40}}
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
	for number, b := range s.buckets {
		for _, phase := range []Phase{ReduceScatter, AllGather} {
			for hop := range s.hops() {
				chunk := b.receives(phase, hop)
				p := place{bucket: number, phase: phase, hop: hop, chunk: chunk, span: b.segment(chunk, 0)}
				h := s.header(p)
				tail := make([]byte, s.tailBytes(p))
				f.Add(message(h, append(tail, AppendPacked(nil, s.v.Sum[p.span.lo:p.span.hi])...)), false)
				f.Add(message(h, append(tail, make([]byte, 4*p.span.len())...)), true)
				h.Generation++
				f.Add(message(h, nil), false)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, reseal bool) {
		s, before := fresh(t)
		buf := append([]byte(nil), b...)
		m := &Segment{buf: &buf, pool: new(bufferPool)}
		if h, err := m.Header(); err == nil && reseal {
			m.seal(h) // so that the checksum does not hide what comes after it
		}
		again := append([]byte(nil), buf...)
		if s.arrive(m) != nil {
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
		if err := s.arrive(&Segment{buf: &again, pool: new(bufferPool)}); err == nil {
			t.Fatalf("it took the same message twice: %+v", h)
		}
	})
}

// Whatever comes as results is refused or is values, which come back from another rank.
func FuzzResults(f *testing.F) {
	const n = 300
	r := rand.New(rand.NewPCG(3, 4))
	for _, gather := range []Gather{GatherFloat32, GatherBF16} {
		v := Vector{Finish: Fixed{FractionBits: 20}.Means(3), Gather: gather}
		for _, width := range []int{1, 12, 50} {
			sums, values := sumsOfWidth(r, n, width), make([]float32, n)
			v.results(values, sums)
			f.Add(v.appendResult(nil, sums, values), gather == GatherBF16)
			f.Add(v.appendResult(nil, nil, values), gather == GatherBF16)
		}
		f.Add(make([]byte, gather.bytes(n)), gather == GatherBF16)
	}
	f.Fuzz(func(t *testing.T, b []byte, bf16 bool) {
		v := Vector{Finish: Fixed{FractionBits: 20}.Means(3)}
		if bf16 {
			v.Gather = GatherBF16
		}
		values, sums := make([]float32, n), make([]int64, n)
		summed, err := v.takeResult(values, sums, b)
		if err != nil {
			return
		}
		known := sums
		if !summed {
			known = nil
		}
		again, more := make([]float32, n), make([]int64, n)
		if _, err := v.takeResult(again, more, v.appendResult(nil, known, values)); err != nil {
			t.Fatal(err)
		}
		for i, x := range values {
			if math.Float32bits(again[i]) != math.Float32bits(x) {
				t.Fatalf("result %d is %x here and %x there", i, math.Float32bits(x), math.Float32bits(again[i]))
			}
		}
	})
}

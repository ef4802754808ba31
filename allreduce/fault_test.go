package allreduce

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// faultyLink is a link whose sender fails on purpose. fault sees the n-th segment
// that is sent, counted from 0, and may change it; its error breaks the link.
type faultyLink struct {
	Link
	sent  atomic.Int64
	fault func(n int, s *Segment) error
}

func (l *faultyLink) Send(ctx context.Context, s *Segment) error {
	if err := l.fault(int(l.sent.Add(1)-1), s); err != nil {
		return err // of which the ring closes the link
	}
	return l.Link.Send(ctx, s)
}

// change makes a fault that changes the header of segment n.
func change(n int, f func(h *Header)) func(int, *Segment) error {
	return func(i int, s *Segment) error {
		if i == n {
			h, err := s.Header()
			if err != nil {
				return err
			}
			f(&h)
			s.SetHeader(h)
		}
		return nil
	}
}

var errCut = errors.New("the wire was cut")

// Whatever goes wrong on one link, every rank must fail at once, and nothing that
// was brought may be lost.
func TestFaultEndsTheStepOnEveryRank(t *testing.T) {
	const world, n, segment = 4, 1000, 16
	faults := []struct {
		name  string
		fault func(n int, s *Segment) error
		is    error  // of the rank that finds it
		says  string // there
		at    int    // that rank
	}{
		{"cut at the first message", func(int, *Segment) error { return errCut }, errCut, "cut", 1},
		{"cut in the middle", func(n int, _ *Segment) error {
			if n == 37 {
				return errCut
			}
			return nil
		}, errCut, "cut", 1},
		{"other run", change(5, func(h *Header) { h.Run[0]++ }), ErrFenced, testRun.String(), 2},
		{"older generation", change(5, func(h *Header) { h.Generation-- }), ErrFenced, "generation 6 on a ring of generation 7", 2},
		{"newer generation", change(40, func(h *Header) { h.Generation++ }), ErrFenced, "generation 8 on a ring of generation 7", 2},
		{"older step", change(5, func(h *Header) { h.Step-- }), ErrFenced, "step 2 while this rank reduces step 3", 2},
		{"other length", change(0, func(h *Header) { h.Elems++ }), nil, "1001 elements and 3 tail lanes, this one 1000 and 3", 2},
		{"other tail", change(0, func(h *Header) { h.TailLanes = 4 }), nil, "1000 elements and 4 tail lanes, this one 1000 and 3", 2},
		{"other offset", change(9, func(h *Header) { h.Offset++ }), nil, "segment size", 2},
		{"other count", change(9, func(h *Header) { h.Count-- }), nil, "segment size", 2},
		{"segment skipped", change(9, func(h *Header) { h.Segment++ }), nil, "segment size", 2},
		{"bucket outside", change(9, func(h *Header) { h.Bucket = 1 }), ErrMalformed, "bucket 1 of 1", 2},
		{"hop outside", change(9, func(h *Header) { h.Hop = world }), ErrMalformed, "hop 4", 2},
		{"damaged payload", func(n int, s *Segment) error {
			if n == 11 {
				s.payload()[3] ^= 0x10
			}
			return nil
		}, ErrMalformed, "CRC", 2},
		{"tail cut off", func(n int, s *Segment) error {
			h, err := s.Header()
			if h.Offset == 0 {
				*s.buf = (*s.buf)[:headerBytes+8]
				s.seal(h)
			}
			return err
		}, ErrMalformed, "tail", 2},
		{"packed values cut off", func(n int, s *Segment) error {
			h, err := s.Header()
			if h.Offset > 0 && h.Phase == ReduceScatter {
				*s.buf = (*s.buf)[:len(*s.buf)-1]
				s.seal(h)
			}
			return err
		}, ErrMalformed, "packed", 2},
		{"results cut off", func(n int, s *Segment) error {
			h, err := s.Header()
			if h.Phase == AllGather {
				*s.buf = (*s.buf)[:len(*s.buf)-1]
				s.seal(h)
			}
			return err
		}, ErrMalformed, "results", 2},
		{"results too long", func(n int, s *Segment) error {
			h, err := s.Header()
			if h.Phase == AllGather {
				*s.buf = append(*s.buf, make([]byte, 1<<16)...)
				s.seal(h)
			}
			return err
		}, ErrMalformed, "results", 2},
	}
	for _, tr := range transports() {
		for _, tt := range faults {
			t.Run(tr.name+"/"+tt.name, func(t *testing.T) {
				r := newRand(t)
				links := tr.links(t, world, 7)
				links[1] = &faultyLink{Link: links[1], fault: tt.fault}
				rings := newRings(t, Config{SegmentElems: segment}, links)
				vs := randomVectors(r, world, n, 3)
				errs := failAll(t, rings, 3, vs)
				if err := errs[tt.at]; (tt.is != nil && !errors.Is(err, tt.is)) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("rank %d says %q, want %q", tt.at, err, tt.says)
				}
				// The ring stays broken, and says why.
				if err := rings[0].AllReduce(t.Context(), 4, vs[0]); !errors.Is(err, errs[0]) {
					t.Errorf("a broken ring says %v, not %v", err, errs[0])
				}
				// The next generation reduces what has survived.
				reduceAll(t, newRings(t, Config{}, tr.links(t, world, 7)), 3, vs)
			})
		}
	}
}

// failAll runs one step, which must fail on every rank and leave Sum and Tail.
func failAll(t *testing.T, rings []*Ring, step uint64, vs []Vector) []error {
	t.Helper()
	ctx := testContext(t)
	errs := make([]error, len(rings))
	each(len(rings), func(rank int) {
		sum, tail := slices.Clone(vs[rank].Sum), slices.Clone(vs[rank].Tail)
		errs[rank] = rings[rank].AllReduce(ctx, step, vs[rank])
		if errs[rank] == nil || errors.Is(errs[rank], context.DeadlineExceeded) {
			t.Errorf("rank %d: %v", rank, errs[rank])
		}
		if !slices.Equal(vs[rank].Sum, sum) || !slices.Equal(vs[rank].Tail, tail) {
			t.Errorf("rank %d: what it brought has changed", rank)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return errs
}

// One rank never calls AllReduce; the others wait for it until one is told to stop.
func TestCancelEndsTheStepOnEveryRank(t *testing.T) {
	for _, tr := range transports() {
		t.Run(tr.name, func(t *testing.T) {
			const world = 3
			r := newRand(t)
			rings := newRings(t, Config{SegmentElems: 10}, tr.links(t, world, 7))
			vs := randomVectors(r, world, 500, 1)
			ctx, cancel := context.WithCancelCause(testContext(t))
			told := errors.New("told to stop")
			errs := make([]error, world)
			each(world, func(rank int) {
				switch rank {
				case 0:
					cancel(told)
				case 1:
					errs[1] = rings[1].AllReduce(ctx, 0, vs[1])
				case 2:
					errs[2] = rings[2].AllReduce(testContext(t), 0, vs[2])
				}
			})
			if !errors.Is(errs[1], told) {
				t.Errorf("the rank that was told says %v", errs[1])
			}
			if errs[2] == nil || errors.Is(errs[2], context.DeadlineExceeded) || errors.Is(errs[2], told) {
				t.Errorf("its neighbour says %v", errs[2])
			}
		})
	}
}

func TestCloseEndsAStepThatRuns(t *testing.T) {
	for _, tr := range transports() {
		t.Run(tr.name, func(t *testing.T) {
			rings := newRings(t, Config{}, tr.links(t, 2, 7))
			vs := randomVectors(newRand(t), 2, 100, 0)
			started := make(chan struct{})
			vs[0].Finish = func([]float32, []int64) {}
			go func() {
				<-started
				_ = rings[0].Close(nil)
			}()
			rings[0].link = &faultyLink{Link: rings[0].link, fault: func(int, *Segment) error {
				close(started)
				return nil
			}}
			if err := rings[0].AllReduce(testContext(t), 0, vs[0]); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the step ends with %v", err)
			}
			if err := rings[0].AllReduce(testContext(t), 1, vs[0]); err == nil {
				t.Error("a closed ring reduces")
			}
		})
	}
}

// The same shards, dealt in any way to any number of ranks, give the same bits.
func TestResultDoesNotDependOnWhoHoldsWhat(t *testing.T) {
	// Of the values below, as this package has always reduced them.
	golden := map[Gather]string{
		GatherFloat32: "a571f9553a5426f117ab43b73ebe55f2e3b4742f94a2934e1c9d8421129dc342",
		GatherBF16:    "f49edcc7134781ab1f7b110a8d0a27c68c437d9d7ce4ff692a3951a67e2d0ea0",
	}
	const shards, n = 11, 5003
	source := rand.New(rand.NewPCG(5, 6))
	values := make([][]float32, shards)
	for i := range values {
		values[i] = randomFloats(source, n)
	}
	f := Fixed{FractionBits: DefaultFractionBits}
	r := newRand(t)
	for world := 1; world <= 5; world++ {
		for i := range 6 {
			gather := Gather(i % 2)
			vs := make([]Vector, world)
			for rank := range vs {
				vs[rank] = Vector{Sum: make([]int64, n), Tail: make([]int64, 1), Out: make([]float32, n), Finish: f.Means(shards), Gather: gather}
			}
			for _, i := range r.Perm(shards) {
				rank := r.IntN(world)
				f.Accumulate(vs[rank].Sum, values[i], shards)
				vs[rank].Tail[0]++
			}
			cfg := Config{SegmentElems: 1 + r.IntN(2000), InFlight: 1 + r.IntN(4), BucketElems: []int{0, 7, n, 1 + r.IntN(n)}[r.IntN(4)]}
			reduceAll(t, newRings(t, cfg, NewMemoryRing(world)), 0, vs)
			for rank, v := range vs {
				b := make([]byte, 4*n)
				putFloat32s(b, v.Out)
				sum := sha256.Sum256(b)
				if got := hex.EncodeToString(sum[:]); got != golden[gather] || v.Tail[0] != shards {
					t.Fatalf("%d ranks, gather %d: rank %d has %s and %d shards", world, gather, rank, got, v.Tail[0])
				}
			}
		}
	}
}

func TestNewRingRefuses(t *testing.T) {
	good := Member{Run: testRun, Rank: 1, World: 2}
	tests := []struct {
		name string
		cfg  Config
	}{
		{"rank outside", Config{Member: Member{Rank: 2, World: 2}}},
		{"negative segments", Config{Member: good, SegmentElems: -1}},
		{"segments too large", Config{Member: good, SegmentElems: MaxSegmentElems + 1}},
		{"nothing in flight", Config{Member: good, InFlight: -1}},
		{"buckets of nothing", Config{Member: good, BucketElems: -1}},
	}
	for _, tt := range tests {
		links := NewMemoryRing(2)
		if _, err := NewRing(tt.cfg, links[1]); err == nil {
			t.Errorf("%s: taken", tt.name)
		}
		if _, err := links[0].Recv(testContext(t)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: its link stays open: %v", tt.name, err)
		}
	}
	if _, err := NewRing(Config{Member: good}, nil); err == nil {
		t.Error("no link: taken")
	}
}

func TestAllReduceRefusesVectors(t *testing.T) {
	finish := func([]float32, []int64) {}
	for name, v := range map[string]Vector{
		"results too short": {Sum: make([]int64, 2), Out: make([]float32, 1), Finish: finish},
		"tail too long":     {Tail: make([]int64, MaxTailLanes+1), Finish: finish},
		"no Finish":         {Sum: make([]int64, 2), Out: make([]float32, 2)},
	} {
		for world := 1; world <= 2; world++ {
			rings := newRings(t, Config{}, NewMemoryRing(world))
			if err := rings[0].AllReduce(testContext(t), 0, v); err == nil {
				t.Errorf("%s: taken by a ring of %d", name, world)
			}
			if world == 2 {
				good := randomVectors(newRand(t), 1, 5, 0)[0]
				if err := rings[1].AllReduce(testContext(t), 0, good); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: the neighbour ends with %v", name, err)
				}
			}
		}
	}
}

// Ranks that differ in what must be alike must all end, none with a result.
func TestRanksThatDifferAreRefused(t *testing.T) {
	for name, differ := range map[string]func(cfg *Config, v *Vector){
		"segment size": func(cfg *Config, _ *Vector) { cfg.SegmentElems = 99 },
		"bucket size":  func(cfg *Config, _ *Vector) { cfg.BucketElems = 99 },
		"length":       func(_ *Config, v *Vector) { v.Sum, v.Out = v.Sum[:900], v.Out[:900] },
		"tail":         func(_ *Config, v *Vector) { v.Tail = v.Tail[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			const world = 3
			links, vs := NewMemoryRing(world), randomVectors(newRand(t), world, 1000, 2)
			rings := make([]*Ring, world)
			for rank := range rings {
				cfg := Config{Member: Member{Run: testRun, Rank: rank, World: world}, SegmentElems: 100}
				if rank == 1 {
					differ(&cfg, &vs[rank])
				}
				var err error
				if rings[rank], err = NewRing(cfg, links[rank]); err != nil {
					t.Fatal(err)
				}
			}
			errs := failAll(t, rings, 0, vs)
			if !strings.Contains(fmt.Sprint(errs), "all ranks must") {
				t.Errorf("nobody says what is wrong: %v", errs)
			}
		})
	}
}

package allreduce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
)

// newHalving makes the rings of all ranks with links in memory to partners, and closes
// them at the test's end. bend may put something in the place of a link.
func newHalving(t testing.TB, cfg Config, world int, bend func(rank, partner int, l Link) Link) []*Ring {
	return joinAll(t, cfg, NewMemoryRing(world), NewMemoryPartners(world), bend)
}

func joinAll(t testing.TB, cfg Config, links []Link, partners [][]Link, bend func(rank, partner int, l Link) Link) []*Ring {
	rings := make([]*Ring, len(links))
	for rank, link := range links {
		cfg.Member = Member{Run: testRun, Generation: 7, Rank: rank, World: len(links)}
		if bend != nil && cfg.HalvingElems > 0 {
			for i, partner := range Partners(len(links), rank) {
				partners[rank][i] = bend(rank, partner, partners[rank][i])
			}
		}
		var err error
		if rings[rank], err = NewRing(cfg, link, partners[rank]...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		each(len(rings), func(rank int) {
			if err := rings[rank].Close(nil); err != nil {
				t.Error(err)
			}
		})
	})
	return rings
}

// connectPartners makes the links between the partners of a generation.
func (c *cluster) connectPartners(t testing.TB, generation uint64) [][]Link {
	links := make([][]Link, len(c.servers))
	ctx := testContext(t)
	each(len(links), func(rank int) {
		var err error
		links[rank], err = ConnectPartners(ctx, c.servers[rank], c.member(generation, rank), func(rank int) (string, []grpc.DialOption) {
			return c.addresses[rank], []grpc.DialOption{insecureCredentials()}
		})
		if err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return links
}

// Who is a rank's partner has it for one too, in the same round, and what one sends the
// other takes.
func TestPartnersAgree(t *testing.T) {
	for world := 2; world <= 33; world++ {
		for _, n := range []int{0, 1, 5, 97} {
			for rank := range world {
				mine, _ := schedule{world: world, rank: rank, at: 3, elems: n, segmentElems: 4}.exchanges()
				partners := Partners(world, rank)
				if len(partners) != len(mine) {
					t.Fatalf("rank %d of %d has %d partners and %d exchanges", rank, world, len(partners), len(mine))
				}
				for i, partner := range partners {
					theirs, _ := schedule{world: world, rank: partner, at: 3, elems: n, segmentElems: 4}.exchanges()
					at := slices.Index(Partners(world, partner), rank)
					if at < 0 {
						t.Fatalf("rank %d of %d has partner %d, which does not have it", rank, world, partner)
					}
					a, b := mine[i], theirs[at]
					if a.round != b.round || a.sumsOut != b.sumsIn || a.resultsOut != b.resultsIn {
						t.Fatalf("ranks %d and %d of %d: %+v and %+v", rank, partner, world, a, b)
					}
				}
			}
		}
	}
}

// A flow's segments cover its span, from either end, and has says what the first of
// them have.
func TestFlow(t *testing.T) {
	for _, n := range []int{0, 1, 7, 30} {
		for _, cut := range []int{1, 4, 100} {
			for _, down := range []bool{false, true} {
				f := flow{span: span{10, 10 + n}, cut: cut, down: down}
				seen := map[int]bool{}
				for i := range f.segments() {
					if f.has(i, f.span) {
						t.Fatalf("%+v is complete before segment %d", f, i)
					}
					for x := f.segment(i).lo; x < f.segment(i).hi; x++ {
						seen[x] = true
					}
					for x := range f.len() {
						if at := f.lo + x; f.has(i+1, span{at, at + 1}) != seen[at] {
							t.Fatalf("%+v: element %d after segment %d", f, at, i)
						}
					}
				}
				if len(seen) != n || !f.has(f.segments(), f.span) || !f.has(0, span{0, 10}) {
					t.Fatalf("%+v has %d elements", f, len(seen))
				}
			}
		}
	}
}

// The law whichever way a bucket goes: every world, every size of a bucket, segment and
// number in flight, round the ring, halved, or some of each, whenever which rank
// releases what, gives the sums.
func TestHalvingGivesTheSameSums(t *testing.T) {
	r := newRand(t)
	for world := 1; world <= 9; world++ {
		for _, n := range []int{0, 3, 700} {
			for _, size := range []int{64, 300, 5000} {
				for _, halving := range []int{0, 60, 5000} { // 60: the last bucket alone
					for _, gather := range []Gather{GatherFloat32, GatherBF16} {
						t.Run(fmt.Sprintf("%d/%d/%d/%d/%d", world, n, size, halving, gather), func(t *testing.T) {
							vs := withTerms(r, randomVectors(r, world, n, 2))
							for rank := range vs {
								vs[rank].Gather = gather
							}
							seed, cfg := r.Uint64(), Config{SegmentElems: []int{1 + r.IntN(40), 200}[r.IntN(2)], InFlight: 1 + r.IntN(4), BucketElems: size, HalvingElems: halving}
							synctest.Test(t, func(t *testing.T) {
								rings := joinEither(t, cfg, world)
								for step := range 2 {
									overlapAll(t, rings, uint64(step), vs, seed)
								}
							})
						})
					}
				}
			}
		}
	}
}

// joinEither has links to partners where the config has use for them.
func joinEither(t testing.TB, cfg Config, world int) []*Ring {
	partners := NewMemoryPartners(world)
	if cfg.HalvingElems == 0 {
		partners = make([][]Link, world)
	}
	return joinAll(t, cfg, NewMemoryRing(world), partners, nil)
}

// However unevenly partners go, nothing locks up.
func TestUnevenPartners(t *testing.T) {
	r := newRand(t)
	for _, world := range []int{2, 3, 6, 8} {
		for _, inFlight := range []int{1, 3} {
			seed := r.IntN(1000)
			vs := randomVectors(r, world, 900, 1)
			synctest.Test(t, func(t *testing.T) {
				slow := func(rank, partner int, l Link) Link {
					return &faultyLink{Link: l, fault: func(n int, _ *Segment) error {
						time.Sleep(time.Duration((seed*(rank+1)+partner*31+n)%7) * time.Microsecond)
						return nil
					}}
				}
				reduceAll(t, newHalving(t, Config{SegmentElems: 5, InFlight: inFlight, BucketElems: 200, HalvingElems: 200}, world, slow), 0, vs)
			})
		}
	}
}

// Over gRPC, ring and partners side by side.
func TestHalvingOverGRPC(t *testing.T) {
	for _, world := range []int{2, 3, 5, 8} {
		t.Run(fmt.Sprint(world), func(t *testing.T) {
			r, c := newRand(t), newCluster(t, world)
			links := c.connect(t, 7, insecureCredentials())
			for _, l := range links {
				if RoundTrip(l) <= 0 {
					t.Error("a link's round trip is not known")
				}
			}
			rings := joinAll(t, Config{SegmentElems: 100, BucketElems: 3000, HalvingElems: 2000}, links, c.connectPartners(t, 7), nil)
			for step, n := range []int{0, 1, 255, 7001} {
				reduceAll(t, rings, uint64(step), withTerms(r, randomVectors(r, world, n, step)))
			}
		})
	}
}

// Whatever goes wrong between two partners, every rank fails at once, and keeps what it
// brought.
func TestPartnersFaultEndsTheStepOnEveryRank(t *testing.T) {
	for _, world := range []int{2, 5, 8} {
		for cut := range 6 {
			for _, tt := range []struct {
				name  string
				fault func(int, *Segment) error
			}{
				{"cut", func(n int, _ *Segment) error {
					if n == cut {
						return errCut
					}
					return nil
				}},
				{"other generation", change(cut, func(h *Header) { h.Generation++ })},
				{"other round", change(cut, func(h *Header) { h.Hop++ })},
				{"other offset", change(cut, func(h *Header) { h.Offset++ })},
				{"the ring's", change(cut, func(h *Header) { h.Phase = ReduceScatter })},
				{"damaged", func(n int, s *Segment) error {
					if n == cut {
						(*s.buf)[len(*s.buf)-1] ^= 1
					}
					return nil
				}},
			} {
				t.Run(fmt.Sprintf("%d/%d/%s", world, cut, tt.name), func(t *testing.T) {
					vs := randomVectors(newRand(t), world, 900, 1)
					partner := Partners(world, 1)[0]
					rings := newHalving(t, Config{SegmentElems: 20, BucketElems: 400, HalvingElems: 400}, world, func(rank, to int, l Link) Link {
						if rank == 1 && to == partner {
							return &faultyLink{Link: l, fault: tt.fault}
						}
						return l
					})
					failAll(t, rings, 3, vs)
					for _, r := range rings {
						select {
						case <-r.Broken():
						default:
							t.Error("a ring is not broken")
						}
					}
					reduceAll(t, newHalving(t, Config{HalvingElems: 1000}, world, nil), 3, vs)
				})
			}
		}
	}
}

// A member that dies in the middle of a step is gone from its ring and its partners.
func TestDeadPartnerEndsTheStepOnEveryRank(t *testing.T) {
	const world = 6
	c := newCluster(t, world)
	links, partners := c.connect(t, 7, insecureCredentials()), c.connectPartners(t, 7)
	var rings []*Ring
	died := errors.New("died")
	rings = joinAll(t, Config{SegmentElems: 20, BucketElems: 400, HalvingElems: 400}, links, partners, func(rank, _ int, l Link) Link {
		if rank != 5 {
			return l
		}
		return &faultyLink{Link: l, fault: func(n int, _ *Segment) error {
			if n == 3 {
				return died
			}
			return nil
		}}
	})
	failAll(t, rings, 3, randomVectors(newRand(t), world, 1000, 1))
	_ = rings
}

// A link to a partner that breaks while nobody reduces is told at once, with the rank.
func TestBrokenPartner(t *testing.T) {
	rings := newHalving(t, Config{HalvingElems: 10}, 4, nil)
	if err := rings[2].partners[0].Close(errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	for _, r := range rings {
		<-r.Broken()
	}
	var p *PartnerError
	if err := rings[0].Cause(); !errors.As(err, &p) || p.Rank != 2 {
		t.Logf("rank 0 was told by another first: %v", err)
	}
	if err := rings[3].AllReduce(context.Background(), 0, randomVectors(newRand(t), 1, 5, 0)[0]); err == nil {
		t.Error("a broken ring reduces")
	}
}

// Ranks that do not halve the same buckets all end, none with a result.
func TestHalvingUnlike(t *testing.T) {
	const world = 3
	links, partners := NewMemoryRing(world), NewMemoryPartners(world)
	rings := make([]*Ring, world)
	for rank := range rings {
		cfg := Config{Member: Member{Run: testRun, Rank: rank, World: world}, BucketElems: 100, HalvingElems: 50}
		if rank == 1 {
			cfg.HalvingElems = 100
		}
		var err error
		if rings[rank], err = NewRing(cfg, links[rank], partners[rank]...); err != nil {
			t.Fatal(err)
		}
	}
	failAll(t, rings, 0, randomVectors(newRand(t), world, 330, 1))
}

func TestNewRingRefusesPartners(t *testing.T) {
	for name, halving := range map[string]int{"too few": 10, "unasked": 0, "negative": -1} {
		partners := NewMemoryPartners(4)[0]
		if name == "too few" {
			partners = partners[1:]
		}
		if _, err := NewRing(Config{Member: Member{World: 4}, HalvingElems: halving}, NewMemoryRing(4)[0], partners...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Where messages take their time and are few, a step takes as long as its rounds: a ring
// has 2(W-1), halving 2 log2 W, and two more where ranks fold.
func TestHalvingTakesFewerRounds(t *testing.T) {
	const latency = time.Millisecond
	for _, tt := range []struct{ world, ring, halving int }{{2, 2, 2}, {4, 6, 4}, {8, 14, 6}, {9, 16, 8}, {16, 30, 8}} {
		for _, halving := range []int{0, 1000} {
			vs := randomVectors(newRand(t), tt.world, 300, 2)
			synctest.Test(t, func(t *testing.T) {
				late := func(l Link) Link {
					return &faultyLink{Link: l, fault: func(int, *Segment) error {
						time.Sleep(latency)
						return nil
					}}
				}
				links, partners := NewMemoryRing(tt.world), make([][]Link, tt.world)
				if halving > 0 {
					partners = NewMemoryPartners(tt.world)
				}
				for i, l := range links {
					links[i] = late(l)
				}
				rings := joinAll(t, Config{HalvingElems: halving}, links, partners, func(_, _ int, l Link) Link { return late(l) })
				began := time.Now()
				reduceAll(t, rings, 0, vs)
				rounds := tt.ring
				if halving > 0 {
					rounds = tt.halving
				}
				if took := time.Since(began); took != time.Duration(rounds)*latency {
					t.Errorf("%d members, halving up to %d: %v, want %d rounds", tt.world, halving, took, rounds)
				}
			})
		}
	}
}

package allreduce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// connectLanes makes the links between the hosts of a generation, nil for who has none.
func (c *cluster) connectLanes(t testing.TB, generation uint64, hosts Hosts) []Link {
	links := make([]Link, len(c.servers))
	ctx := testContext(t)
	each(len(links), func(rank int) {
		_, next, _ := hosts.LaneNeighbours(rank)
		var err error
		if links[rank], err = ConnectLane(ctx, c.servers[rank], c.member(generation, rank), hosts, c.addresses[next], insecureCredentials()); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return links
}

// newLaneRings makes rings of several hosts, over gRPC's links. bend may put something in
// the place of a lane's link.
func newLaneRings(t testing.TB, cfg Config, bend func(rank int, l Link) Link) []*Ring {
	world := 0
	for _, n := range cfg.Hosts {
		world += n
	}
	c := newCluster(t, world)
	ring, lanes := c.connect(t, 7, insecureCredentials()), c.connectLanes(t, 7, cfg.Hosts)
	others := make([][]Link, world)
	for rank, l := range lanes {
		if l != nil && bend != nil {
			l = bend(rank, l)
		}
		if l != nil {
			others[rank] = []Link{l}
		}
	}
	return joinAll(t, cfg, ring, others, nil)
}

// Every rank of a lane has its neighbours there, each on another host, and ranks beyond
// the smallest host's have none.
func TestLanesAreRings(t *testing.T) {
	t.Parallel()
	for _, hosts := range []Hosts{{1, 1}, {2, 2}, {3, 1, 2}, {2, 5, 3, 2}, {8, 8, 8}} {
		rank := 0
		for host, members := range hosts {
			for local := range members {
				if got := hosts.seat(rank); got != (seat{host, local, rank - local, members}) {
					t.Errorf("%v: rank %d has seat %+v", hosts, rank, got)
				}
				at, round := rank, 0
				for before, next, ok := hosts.LaneNeighbours(at); ok; before, next, ok = hosts.LaneNeighbours(at) {
					if _, back, _ := hosts.LaneNeighbours(before); back != at || hosts.seat(next).local != local || hosts.seat(next).host != (hosts.seat(at).host+1)%len(hosts) {
						t.Errorf("%v: rank %d is between %d and %d", hosts, at, before, next)
					}
					round++
					if at = next; at == rank || round > 99 {
						break
					}
				}
				if want := len(hosts); local < hosts.Lanes() && round != want || local >= hosts.Lanes() && round != 0 {
					t.Errorf("%v: the lane of rank %d has %d members", hosts, rank, round)
				}
				rank++
			}
		}
		if err := hosts.Validate(rank); err != nil {
			t.Error(err)
		}
		if hosts.Validate(rank+1) == nil || append(hosts, 0).Validate(rank) == nil {
			t.Errorf("%v are the hosts of another ring too", hosts)
		}
	}
}

// The law of the ring, on several hosts: whenever which rank releases what, all get the
// same as a ring of one, step after step, whatever the hosts' sizes.
func TestLanesGiveTheSameSums(t *testing.T) {
	needSharedMemory(t)
	for _, hosts := range []Hosts{{1, 1}, {2, 2}, {1, 3}, {3, 1, 2}, {2, 2, 2}, {4, 4}} {
		for _, cfg := range []Config{{}, {SegmentElems: 1009, InFlight: 1, BucketElems: 5003}} {
			t.Run(fmt.Sprint(hosts, cfg.BucketElems), func(t *testing.T) {
				r := newRand(t)
				cfg.Hosts = hosts
				rings := newLaneRings(t, cfg, nil)
				shareAll(t, rings)
				sizes := []int{0, 1, 7, 3001, pieceElems - 1, pieceElems, pieceElems + 1, 2*roomPieces*pieceElems + 77, r.IntN(3 * pieceElems)}
				for step, n := range sizes {
					vs := randomVectors(r, len(rings), n, 1+step)
					for rank := range vs {
						vs[rank].Gather = Gather(step % 2)
					}
					overlapAll(t, rings, uint64(step), vs, r.Uint64())
					if t.Failed() {
						t.Fatalf("at step %d of %d elements", step, n)
					}
				}
			})
		}
	}
}

// However a step on several hosts fails, all ranks are told at once, what they brought is
// as it was, and no memory is left in use.
func TestLaneFailure(t *testing.T) {
	needSharedMemory(t)
	const failing, n = 2, 3*pieceElems + 11
	hosts := Hosts{2, 2, 2}
	errGone := errors.New("rank 2 is gone")
	for name, tt := range map[string]struct {
		fail func(ctx context.Context, ring *Ring, v Vector) error
		cut  bool
	}{
		"abandoned": {fail: func(ctx context.Context, ring *Ring, v Vector) error {
			a := ring.Begin(ctx, 3, v)
			a.Release(2 * pieceElems)
			a.Abandon(errGone)
			return a.err
		}},
		"closed before it begins": {fail: func(ctx context.Context, ring *Ring, v Vector) error {
			if err := ring.Close(errGone); err != nil {
				return err
			}
			return ring.AllReduce(ctx, 3, v)
		}},
		"out of time": {fail: func(ctx context.Context, ring *Ring, v Vector) error {
			ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Millisecond, errGone)
			defer cancel()
			a := ring.Begin(ctx, 3, v)
			<-a.done
			a.Release(0)
			return a.Complete()
		}},
		"another step":                  {fail: func(ctx context.Context, ring *Ring, v Vector) error { return ring.AllReduce(ctx, 4, v) }},
		"the link between hosts is cut": {cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			rings := newLaneRings(t, Config{Hosts: hosts}, func(rank int, l Link) Link {
				if !tt.cut || rank != failing {
					return l
				}
				return &faultyLink{Link: l, fault: func(n int, _ *Segment) error {
					if n == 3 {
						return errCut
					}
					return nil
				}}
			})
			shareAll(t, rings)
			vs := randomVectors(newRand(t), len(rings), n, 2)
			ctx := testContext(t)
			each(len(rings), func(rank int) {
				sum, tail := slices.Clone(vs[rank].Sum), slices.Clone(vs[rank].Tail)
				var err error
				if rank == failing && tt.fail != nil {
					err = tt.fail(ctx, rings[rank], vs[rank])
				} else {
					err = rings[rank].AllReduce(ctx, 3, vs[rank])
				}
				if err == nil {
					t.Errorf("rank %d completed the step", rank)
				}
				var p *PartnerError
				if tt.cut && rank == failing && (!errors.Is(err, errCut) || !errors.As(err, &p) || p.Rank != 4) {
					t.Errorf("rank %d: %v", rank, err)
				}
				if !slices.Equal(vs[rank].Sum, sum) || !slices.Equal(vs[rank].Tail, tail) {
					t.Errorf("rank %d lost something", rank)
				}
				if rings[rank].Shared() {
					t.Errorf("rank %d still holds shared memory", rank)
				}
			})
		})
	}
}

// Where one rank of one host can't share, all go round the ring by messages.
func TestLanesApart(t *testing.T) {
	rings := newLaneRings(t, Config{Hosts: Hosts{2, 1, 2}}, nil)
	rings[3].cfg.Private = true
	ctx := testContext(t)
	each(len(rings), func(rank int) {
		var apart *ApartError
		if err := rings[rank].Share(ctx); !errors.Is(err, ErrApart) || !errors.As(err, &apart) || apart.Rank != 3 || rings[rank].Shared() {
			t.Errorf("rank %d: %v", rank, err)
		}
	})
	reduceAll(t, rings, 0, randomVectors(newRand(t), len(rings), 3000, 2))
}

// A link between hosts is taken from the one before in the lane alone.
func TestLaneTakesItsNeighbourAlone(t *testing.T) {
	c := newCluster(t, 4)
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	each(4, func(rank int) {
		hosts := Hosts{2, 2}
		if rank == 1 {
			hosts = Hosts{1, 3} // of which rank 1 begins the second, before rank 0
		}
		_, next, _ := hosts.LaneNeighbours(rank)
		l, err := ConnectLane(ctx, c.servers[rank], c.member(7, rank), hosts, c.addresses[next], insecureCredentials())
		if err == nil {
			err = l.Close(nil)
		}
		if rank == 1 && (!errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "rank 1 of 4")) {
			t.Errorf("rank %d: %v", rank, err)
		}
	})
}

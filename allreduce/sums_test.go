package allreduce

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// newInPlaceRings makes rings that share memory, in which ranks have their sums where
// others read them, but for one where there are several; and moves the vectors' sums there.
func newInPlaceRings(t testing.TB, vs []Vector) []*Ring {
	world := len(vs)
	links := newCluster(t, world).connect(t, 7, insecureCredentials())
	rings := make([]*Ring, world)
	for rank := range rings {
		cfg := Config{Member: Member{Run: testRun, Generation: 7, Rank: rank, World: world}}
		if rank != 1 || world == 2 {
			sums, err := NewSums(len(vs[rank].Sum))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := sums.Close(); err != nil {
					t.Error(err)
				}
			})
			copy(sums.Values(), vs[rank].Sum)
			cfg.Sums, vs[rank].Sum = sums, sums.Values()
		}
		var err error
		if rings[rank], err = NewRing(cfg, links[rank]); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { each(world, func(rank int) { _ = rings[rank].Close(nil) }) }) // before their sums
	shareAll(t, rings)
	return rings
}

// Sums are read in place while they are final, and no longer: a rank that is done
// scribbles on its own at once, and begins the next step with others.
func TestSumsInPlace(t *testing.T) {
	needSharedMemory(t)
	for _, world := range []int{2, 3, 5} {
		for _, n := range []int{0, 1, 3001, pieceElems + 1, (2*roomPieces+1)*pieceElems + 77} {
			t.Run(fmt.Sprintf("%d/%d", world, n), func(t *testing.T) {
				r := newRand(t)
				vs := randomVectors(r, world, n, 3)
				rings := newInPlaceRings(t, vs)
				ctx := testContext(t)
				for step := range uint64(4) {
					fresh := randomVectors(r, world, n, 3)
					out, tail := reference(fresh)
					seed := r.Uint64()
					each(world, func(rank int) {
						r := rand.New(rand.NewPCG(seed, uint64(rank)))
						v := vs[rank]
						copy(v.Sum, fresh[rank].Sum)
						copy(v.Tail, fresh[rank].Tail)
						a := rings[rank].Begin(ctx, step, v)
						trickle(a, v, randomPieces(r, n), func() { time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond) })
						if err := a.Complete(); err != nil {
							t.Error(err)
							return
						}
						for i := range v.Sum {
							v.Sum[i] = -1
						}
						if !slices.Equal(v.Out, out) || !slices.Equal(v.Tail, tail) {
							t.Errorf("step %d, rank %d: wrong results", step, rank)
						}
					})
				}
			})
		}
	}
}

// A rank that gives up while others still read its sums may change them: nobody completes
// the step.
func TestSumsOfOneWhoGivesUp(t *testing.T) {
	needSharedMemory(t)
	const world, n = 3, 5*pieceElems + 3
	for trial := range 20 {
		vs := randomVectors(newRand(t), world, n, 1)
		rings := newInPlaceRings(t, vs)
		ctx := testContext(t)
		each(world, func(rank int) {
			a := rings[rank].Begin(ctx, 0, vs[rank])
			if rank > 0 {
				if err := a.Complete(); err == nil {
					t.Errorf("trial %d: rank %d completed the step", trial, rank)
				}
				return
			}
			a.Release(pieceElems)
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			a.Abandon(errors.New("halted"))
			for i := range vs[0].Sum {
				vs[0].Sum[i] = -1
			}
		})
	}
}

// Of several hosts sums are copied: a host that has them all may complete a step that
// another one gives up.
func TestSumsOfSeveralHostsAreCopied(t *testing.T) {
	needSharedMemory(t)
	const n = pieceElems
	vs := randomVectors(newRand(t), 4, n, 1)
	rings := newLaneRings(t, Config{Hosts: Hosts{2, 2}}, nil)
	for rank := range rings {
		sums, err := NewSums(n)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sums.Close() }()
		copy(sums.Values(), vs[rank].Sum)
		rings[rank].cfg.Sums, vs[rank].Sum = sums, sums.Values()
	}
	shareAll(t, rings)
	reduceAll(t, rings, 0, vs)
	for rank, r := range rings {
		d := newDirect(r, r.borrow(), 1, vs[rank])
		if d.host.own().vector == nil || d.mayReadInPlace() {
			t.Errorf("rank %d lets others read its sums where they are", rank)
		}
		r.giveBack()
	}
}

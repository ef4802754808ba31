package allreduce

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// trickle brings a vector as a backward does: from the end on, now and then, in
// pieces that know nothing of buckets. Before they are final, sums and results are the
// caller's to scribble on, and after it the results are the ring's.
func trickle(a *Reduction, v Vector, pieces []int, pause func()) {
	if v.Term != nil {
		trickleInto(a, v.Term.Values, v.Out, pieces, pause)
	} else {
		trickleInto(a, v.Sum, v.Out, pieces, pause)
	}
}

func trickleInto[T int64 | float32](a *Reduction, brought []T, out []float32, pieces []int, pause func()) {
	final := slices.Clone(brought)
	for i := range brought {
		brought[i], out[i] = -1, -1
	}
	hi := len(brought)
	for _, lo := range pieces {
		pause()
		copy(brought[lo:hi], final[lo:hi])
		a.Release(lo)
		hi = lo
	}
	pause()
	copy(brought[:hi], final[:hi])
}

// randomPieces are descending ends of pieces of n elements.
func randomPieces(r *rand.Rand, n int) []int {
	pieces := make([]int, r.IntN(8))
	for i := range pieces {
		pieces[i] = r.IntN(n + 1)
	}
	slices.Sort(pieces)
	slices.Reverse(pieces)
	return pieces
}

// The law of the ring while its vector is being made: whatever the size of a bucket,
// and whenever which rank releases what, all get the sums.
func TestOverlapGivesTheSameSums(t *testing.T) {
	r := newRand(t)
	const n = 700
	for world := 1; world <= 5; world++ {
		for _, size := range []int{1, 3, 64, 699, n, 5000} {
			for _, gather := range []Gather{GatherFloat32, GatherBF16} {
				t.Run(fmt.Sprintf("%d/%d/%d", world, size, gather), func(t *testing.T) {
					vs := withTerms(r, randomVectors(r, world, n, 2))
					for rank := range vs {
						vs[rank].Gather = gather
					}
					seed, inFlight := r.Uint64(), 1+r.IntN(5)
					synctest.Test(t, func(t *testing.T) {
						rings := newRings(t, Config{SegmentElems: 17, InFlight: inFlight, BucketElems: size}, NewMemoryRing(world))
						for step := range 3 {
							overlapAll(t, rings, uint64(step), vs, seed)
						}
					})
				})
			}
		}
	}
}

// overlapAll runs a step on all ranks that release at different times, and checks it.
func overlapAll(t *testing.T, rings []*Ring, step uint64, vs []Vector, seed uint64) {
	out, tail := reference(vs)
	ctx := testContext(t)
	each(len(rings), func(rank int) {
		r := rand.New(rand.NewPCG(seed, uint64(rank)))
		v := vs[rank]
		before, votes := bitsBrought(v), slices.Clone(v.Tail)
		a := rings[rank].Begin(ctx, step, v)
		v.Tail[0] = -1 // not yet known
		trickle(a, v, randomPieces(r, len(v.Out)), func() { time.Sleep(time.Duration(r.IntN(3)*r.IntN(1000)) * time.Microsecond) })
		copy(v.Tail, votes)
		if err := a.Complete(); err != nil {
			t.Error(err)
			return
		}
		if !slices.Equal(v.Out, out) || !slices.Equal(v.Tail, tail) || !slices.Equal(bitsBrought(v), before) {
			t.Errorf("step %d, rank %d: wrong results, or what it brings has changed", step, rank)
		}
		copy(v.Tail, votes)
	})
}

// A rank whose vector will not be complete ends its neighbours' waiting, and is left
// with what it has.
func TestAbandonEndsTheStepOnEveryRank(t *testing.T) {
	for _, tr := range transports() {
		t.Run(tr.name, func(t *testing.T) {
			const world, n = 3, 500
			rings := newRings(t, Config{SegmentElems: 10, BucketElems: 40}, tr.links(t, world, 7))
			vs := randomVectors(newRand(t), world, n, 1)
			ctx := testContext(t)
			each(world, func(rank int) {
				v := vs[rank]
				before, tail := slices.Clone(v.Sum), slices.Clone(v.Tail)
				a := rings[rank].Begin(ctx, 0, v)
				if a.Release(300); rank == 1 {
					a.Abandon(errors.New("halted"))
				}
				if err := a.Complete(); err == nil || ctx.Err() != nil {
					t.Errorf("rank %d: %v", rank, err)
				}
				if !slices.Equal(v.Sum, before) || !slices.Equal(v.Tail, tail) {
					t.Errorf("rank %d: what it brought has changed", rank)
				}
			})
		})
	}
	alone := newRings(t, Config{}, NewMemoryRing(1))[0]
	alone.Begin(t.Context(), 0, randomVectors(newRand(t), 1, 5, 0)[0]).Abandon(errors.New("halted"))
	if alone.AllReduce(t.Context(), 1, randomVectors(newRand(t), 1, 5, 0)[0]) == nil {
		t.Error("a ring of one goes on after it was abandoned")
	}
}

// A link that breaks while the vector is being made is told by Complete, on all ranks,
// and the releases until then wait for nobody.
func TestFaultWhileTheVectorIsMade(t *testing.T) {
	const world, n = 3, 500
	for cut := range 12 {
		links := NewMemoryRing(world)
		links[1] = &faultyLink{Link: links[1], fault: func(i int, _ *Segment) error {
			if i == cut {
				return errCut
			}
			return nil
		}}
		rings := newRings(t, Config{SegmentElems: 10, BucketElems: 40}, links)
		vs := randomVectors(newRand(t), world, n, 1)
		ctx := testContext(t)
		each(world, func(rank int) {
			before, tail := slices.Clone(vs[rank].Sum), slices.Clone(vs[rank].Tail)
			a := rings[rank].Begin(ctx, 0, vs[rank])
			a.Release(250)
			<-rings[rank].Broken()
			a.Release(50)
			if err := a.Complete(); err == nil || ctx.Err() != nil {
				t.Errorf("rank %d: %v", rank, err)
			}
			if !slices.Equal(vs[rank].Sum, before) || !slices.Equal(vs[rank].Tail, tail) {
				t.Errorf("rank %d: what it brought has changed", rank)
			}
		})
		reduceAll(t, newRings(t, Config{BucketElems: 30}, NewMemoryRing(world)), 0, vs)
	}
}

// What travels while the vector is still being made is told as hidden: all of it but
// the last bucket, here.
func TestHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const world, n = 2, 400
		links := NewMemoryRing(world)
		for rank := range links {
			links[rank] = &faultyLink{Link: links[rank], fault: func(int, *Segment) error {
				time.Sleep(time.Second)
				return nil
			}}
		}
		rings := newRings(t, Config{SegmentElems: 100, BucketElems: 100}, links)
		vs := randomVectors(newRand(t), world, n, 1)
		each(world, func(rank int) {
			a := rings[rank].Begin(testContext(t), 0, vs[rank])
			for lo := n - 100; lo > 0; lo -= 100 {
				a.Release(lo)
				time.Sleep(5 * time.Second)
			}
			if err := a.Complete(); err != nil {
				t.Error(err)
			}
			if got, want := a.Hidden(), 3*2*time.Second; got != want {
				t.Errorf("hidden %v, want %v", got, want)
			}
		})
	})
}

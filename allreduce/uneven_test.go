package allreduce

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// However unevenly the ranks go, what is under way stays within its bound (a step
// fails otherwise), and the ring does not lock up. In the bubble a rank that waits
// lets all others go as far as they can.
func TestUnevenRanks(t *testing.T) {
	for name, delay := range map[string]func(r *rand.Rand, rank int) time.Duration{
		"one slow": func(_ *rand.Rand, rank int) time.Duration {
			if rank == 1 {
				return time.Microsecond
			}
			return 0
		},
		"one fast": func(_ *rand.Rand, rank int) time.Duration {
			if rank == 1 {
				return 0
			}
			return time.Microsecond
		},
		"one slower than the next": func(_ *rand.Rand, rank int) time.Duration {
			return time.Duration(rank) * time.Microsecond
		},
		"some wait at random": func(r *rand.Rand, _ int) time.Duration {
			return time.Duration(r.IntN(2)*r.IntN(1000)) * time.Microsecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRand(t)
			for _, world := range []int{2, 3, 6} {
				for _, inFlight := range []int{1, 2, 5} {
					seed, size := r.Uint64(), 50+r.IntN(900)
					vs := randomVectors(r, world, 900, 1)
					synctest.Test(t, func(t *testing.T) {
						links := NewMemoryRing(world)
						for rank := range links {
							own := rand.New(rand.NewPCG(seed, uint64(rank)))
							links[rank] = &faultyLink{Link: links[rank], fault: func(int, *Segment) error {
								time.Sleep(delay(own, rank))
								return nil
							}}
						}
						reduceAll(t, newRings(t, Config{SegmentElems: 5, InFlight: inFlight, BucketElems: size}, links), 0, vs)
					})
				}
			}
		})
	}
}

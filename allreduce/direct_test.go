package allreduce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// newSharedRings makes rings that share memory, over gRPC's links.
func newSharedRings(t testing.TB, world int) []*Ring {
	rings := newRings(t, Config{}, newCluster(t, world).connect(t, 7, insecureCredentials()))
	shareAll(t, rings)
	return rings
}

func shareAll(t testing.TB, rings []*Ring) {
	t.Helper()
	ctx := testContext(t)
	each(len(rings), func(rank int) {
		if err := rings[rank].Share(ctx); err != nil {
			t.Error(err)
		}
		if !rings[rank].Shared() {
			t.Errorf("rank %d has no shared memory", rank)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

func needSharedMemory(t testing.TB) {
	t.Helper()
	r, _, file, err := makeRoom()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.unmap()
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// The law of the ring, through memory: whenever which rank releases what, all get the
// same as a ring of one, step after step, in pieces that fill a room many times.
func TestSharedMemoryGivesTheSameSums(t *testing.T) {
	needSharedMemory(t)
	for _, world := range []int{2, 3, 5, 8} {
		t.Run(fmt.Sprint(world), func(t *testing.T) {
			r := newRand(t)
			rings := newSharedRings(t, world)
			sizes := []int{0, 1, 7, 3001, pieceElems - 1, pieceElems, pieceElems + 1, 2*roomPieces*pieceElems + 77, r.IntN(3 * pieceElems)}
			for step, n := range sizes {
				vs := randomVectors(r, world, n, 1+step)
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

// A rank that adds late, and one that takes late, are waited for.
func TestSharedMemoryWaitsForTheSlowest(t *testing.T) {
	needSharedMemory(t)
	const world, n = 3, 6*pieceElems + 5
	rings, vs := newSharedRings(t, world), randomVectors(newRand(t), world, n, 1)
	for rank := range vs {
		means := vs[rank].Finish
		vs[rank].Finish = func(dst []float32, sum []int64) {
			if rank == 1 && rand.IntN(8) == 0 {
				time.Sleep(time.Millisecond)
			}
			means(dst, sum)
		}
	}
	for step := range uint64(3) {
		vs := slices.Clone(vs)
		out, tail := reference(vs)
		ctx := testContext(t)
		each(world, func(rank int) {
			v := vs[rank]
			v.Tail = slices.Clone(v.Tail)
			if err := rings[rank].AllReduce(ctx, step, v); err != nil {
				t.Error(err)
			} else if !slices.Equal(v.Out, out) || !slices.Equal(v.Tail, tail) {
				t.Errorf("step %d, rank %d: wrong results", step, rank)
			}
		})
	}
}

// However a step through memory fails, all ranks are told at once, what they brought is
// as it was, and no memory is left in use.
func TestSharedMemoryFailure(t *testing.T) {
	needSharedMemory(t)
	const world, n = 4, 3*pieceElems + 11
	errGone := errors.New("rank 2 is gone")
	for name, fail := range map[string]func(ctx context.Context, ring *Ring, v Vector) error{
		"abandoned": func(ctx context.Context, ring *Ring, v Vector) error {
			a := ring.Begin(ctx, 3, v)
			a.Release(2 * pieceElems)
			a.Abandon(errGone)
			return a.err
		},
		"closed before it begins": func(ctx context.Context, ring *Ring, v Vector) error {
			if err := ring.Close(errGone); err != nil {
				return err
			}
			return ring.AllReduce(ctx, 3, v)
		},
		"out of time": func(ctx context.Context, ring *Ring, v Vector) error {
			ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Millisecond, errGone)
			defer cancel()
			a := ring.Begin(ctx, 3, v)
			<-a.done
			a.Release(0)
			return a.Complete()
		},
		"another step": func(ctx context.Context, ring *Ring, v Vector) error { return ring.AllReduce(ctx, 4, v) },
		"another length": func(ctx context.Context, ring *Ring, v Vector) error {
			v.Sum, v.Out = v.Sum[1:], v.Out[1:]
			return ring.AllReduce(ctx, 3, v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			rings, vs := newSharedRings(t, world), randomVectors(newRand(t), world, n, 2)
			ctx := testContext(t)
			each(world, func(rank int) {
				sum, tail := slices.Clone(vs[rank].Sum), slices.Clone(vs[rank].Tail)
				var err error
				if rank == 2 {
					err = fail(ctx, rings[rank], vs[rank])
				} else {
					err = rings[rank].AllReduce(ctx, 3, vs[rank])
				}
				if err == nil {
					t.Errorf("rank %d completed the step", rank)
				}
				if !slices.Equal(vs[rank].Sum, sum) || !slices.Equal(vs[rank].Tail, tail) {
					t.Errorf("rank %d lost something", rank)
				}
				if rings[rank].Shared() {
					t.Errorf("rank %d still holds shared memory", rank)
				}
			})
			reduceAll(t, newSharedRings(t, world), 3, vs)
		})
	}
}

// Where one rank can't share, all go by messages, and know why.
func TestApart(t *testing.T) {
	const world = 4
	for name, apart := range map[string]func(r *Ring){
		"told not to":  func(r *Ring) { r.cfg.Private = true },
		"out of sight": nil, // tells of memory that is not there, as one in another container does
	} {
		t.Run(name, func(t *testing.T) {
			if apart == nil {
				needSharedMemory(t)
			}
			rings := newRings(t, Config{}, newCluster(t, world).connect(t, 7, insecureCredentials()))
			ctx := testContext(t)
			if apart != nil {
				apart(rings[1])
			}
			each(world, func(rank int) {
				var err error
				if rank == 1 && apart == nil {
					err = pretend(ctx, rings[rank])
				} else {
					err = rings[rank].Share(ctx)
				}
				if !errors.Is(err, ErrApart) || rings[rank].Shared() {
					t.Errorf("rank %d: %v", rank, err)
				}
			})
			reduceAll(t, rings, 0, randomVectors(newRand(t), world, 3000, 2))
		})
	}
}

// pretend takes part in Share with a room that nobody finds.
func pretend(ctx context.Context, r *Ring) error {
	key := roomKey{pid: uint32(os.Getpid()), descriptor: 1, name: newRoomName()}
	if _, err := r.circulate(ctx, appendOffer(nil, offer{room: key}, nil)); err != nil {
		return err
	}
	verdicts, err := r.circulate(ctx, appendOffer(nil, offer{}, nil))
	if err != nil {
		return err
	}
	if _, err := parseOffer(verdicts[0]); err == nil || !strings.Contains(err.Error(), "container") {
		return fmt.Errorf("rank 0 says %w", err)
	}
	return ErrApart
}

// A message of another kind where memory is told of breaks the ring.
func TestShareRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":    nil,
		"other kind": []byte("DRS\x03 and more"),
		"other rank": binary.LittleEndian.AppendUint32([]byte(offerMagic), 0),
	} {
		t.Run(name, func(t *testing.T) {
			links := NewMemoryRing(2)
			links[1] = &faultyLink{Link: links[1], fault: func(_ int, s *Segment) error { *s = *message(b); return nil }}
			rings := newRings(t, Config{}, links)
			ctx := testContext(t)
			each(2, func(rank int) {
				if err := rings[rank].Share(ctx); err == nil || errors.Is(err, ErrApart) {
					t.Errorf("rank %d: %v", rank, err)
				}
			})
		})
	}
	if _, err := parseOffer(make([]byte, offerBytes-1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a short offer: %v", err)
	}
}

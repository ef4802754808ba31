package allreduce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout ends a test that would hang. No test waits for it when all is well.
const testTimeout = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// newRand is a generator whose seed is printed when the test fails.
func newRand(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

var testRun = NewRunTag("test", "1")

// transport makes the links of a ring.
type transport struct {
	name  string
	links func(t testing.TB, world int, generation uint64) []Link
}

func transports() []transport {
	return []transport{
		{"memory", func(_ testing.TB, world int, _ uint64) []Link { return NewMemoryRing(world) }},
		{"grpc", func(t testing.TB, world int, generation uint64) []Link {
			return newCluster(t, world).connect(t, generation, insecureCredentials())
		}},
	}
}

// cluster is ring servers on this machine's loopback.
type cluster struct {
	servers   []*Server
	addresses []string
}

func newCluster(t testing.TB, world int) *cluster {
	c := new(cluster)
	for range world {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := NewServer(slog.New(slog.DiscardHandler))
		g := grpc.NewServer(ServerOptions()...)
		server.Register(g)
		healthpb.RegisterHealthServer(g, health.NewServer())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := g.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Error(err)
			}
		})
		t.Cleanup(func() {
			server.Close()
			g.Stop()
			wg.Wait()
		})
		c.servers = append(c.servers, server)
		c.addresses = append(c.addresses, listener.Addr().String())
	}
	return c
}

// connect makes the links of a generation.
func (c *cluster) connect(t testing.TB, generation uint64, opts ...grpc.DialOption) []Link {
	ctx := testContext(t)
	world := len(c.servers)
	links := make([]Link, world)
	each(world, func(rank int) {
		var err error
		m := c.member(generation, rank)
		if links[rank], err = Connect(ctx, c.servers[rank], m, c.addresses[m.Successor().Rank], opts...); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return links
}

func (c *cluster) member(generation uint64, rank int) Member {
	return Member{Run: testRun, Generation: generation, Rank: rank, World: len(c.servers)}
}

func insecureCredentials() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

// each runs f for every rank at once and waits.
func each(world int, f func(rank int)) {
	var wg sync.WaitGroup
	for rank := range world {
		wg.Go(func() { f(rank) })
	}
	wg.Wait()
}

// newRings makes the rings of all ranks and closes them at the test's end.
func newRings(t testing.TB, cfg Config, links []Link) []*Ring {
	rings := make([]*Ring, len(links))
	for rank, link := range links {
		cfg.Member = Member{Run: testRun, Generation: 7, Rank: rank, World: len(links)}
		var err error
		if rings[rank], err = NewRing(cfg, link); err != nil {
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

// randomVectors are what world ranks bring, of any magnitude.
func randomVectors(r *rand.Rand, world, n, tail int) []Vector {
	vs := make([]Vector, world)
	for rank := range vs {
		vs[rank] = Vector{
			Sum:    randomInts(r, n),
			Tail:   randomInts(r, tail),
			Out:    make([]float32, n),
			Finish: Fixed{FractionBits: 20}.Means(world),
		}
	}
	return vs
}

func randomInts(r *rand.Rand, n int) []int64 {
	x := make([]int64, n)
	width := r.IntN(60)
	for i := range x {
		if r.IntN(50) == 0 {
			width = r.IntN(60)
		}
		x[i] = int64(r.Uint64()) >> (63 - width)
	}
	return x
}

// reference is what every rank must end with.
func reference(vs []Vector) (out []float32, tail []int64) {
	sum := make([]int64, len(vs[0].Out))
	tail = make([]int64, len(vs[0].Tail))
	for _, v := range vs {
		for i, x := range sumsBrought(v) {
			sum[i] += x
		}
		for i, x := range v.Tail {
			tail[i] += x
		}
	}
	out = make([]float32, len(sum))
	vs[0].results(out, sum)
	return out, tail
}

// reduceAll runs one step on all ranks and checks what they end with.
func reduceAll(t *testing.T, rings []*Ring, step uint64, vs []Vector) {
	t.Helper()
	ctx := testContext(t)
	out, tail := reference(vs)
	each(len(rings), func(rank int) {
		before := bitsBrought(vs[rank])
		if err := rings[rank].AllReduce(ctx, step, vs[rank]); err != nil {
			t.Error(err)
			return
		}
		if !slices.Equal(vs[rank].Out, out) {
			t.Errorf("step %d, rank %d: wrong results", step, rank)
		}
		if !slices.Equal(vs[rank].Tail, tail) {
			t.Errorf("step %d, rank %d: tail %d, want %d", step, rank, vs[rank].Tail, tail)
		}
		if !slices.Equal(bitsBrought(vs[rank]), before) {
			t.Errorf("step %d, rank %d: what it brings has changed", step, rank)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

func TestAllReduceIsTheSumOverRanks(t *testing.T) {
	for _, tr := range transports() {
		for _, world := range []int{1, 2, 3, 4, 5, 8} {
			t.Run(fmt.Sprintf("%s/%d", tr.name, world), func(t *testing.T) {
				r := newRand(t)
				for _, cfg := range []Config{{}, {SegmentElems: 1 + r.IntN(400)}, {SegmentElems: 64, InFlight: 1 + r.IntN(3), BucketElems: 1 + r.IntN(2000)}} {
					rings := newRings(t, cfg, tr.links(t, world, 7))
					for step, n := range []int{0, 1, 2, 7, 255, 3001, r.IntN(20000)} {
						reduceAll(t, rings, uint64(step), withTerms(r, randomVectors(r, world, n, step)))
					}
				}
			})
		}
	}
}

package worker

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// marshalled are messages as bytes.
func marshalled(f *testing.F, messages ...proto.Message) {
	f.Helper()
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// taking is the stream of a fetch that somebody gave up who takes what is there.
type taking struct {
	ddpmv1.Peer_FetchServer
	ctx   context.Context
	bytes int
}

func (s *taking) Context() context.Context        { return s.ctx }
func (s *taking) SetHeader(metadata.MD) error     { return nil }
func (s *taking) Send(c *ddpmv1.FetchChunk) error { s.bytes += len(c.GetData()); return nil }

// Whatever another member asks for, it gets exactly that part of the state, or
// nothing.
func FuzzFetch(f *testing.F) {
	const n = 100
	t := &trainer{run: &run{id: "r"}, sum: make([]int64, n), reduced: make([]float32, n), gradientOf: 5, totalsOf: 5, moved: make(chan struct{})}
	t.state = &ddpm.State{Step: 5, Weights: make([]float32, n), M: make([]float32, n), V: make([]float32, n), EMA: make([]float32, n)}
	server := &peerServer{trainer: func() *trainer { return t }}
	over, cancel := context.WithCancel(f.Context())
	cancel()
	marshalled(f,
		&ddpmv1.FetchRequest{RunId: "r", Generation: 1, Step: 5, Vector: ddpmv1.Vector_VECTOR_WEIGHTS, Offset: 10, Count: 90},
		&ddpmv1.FetchRequest{RunId: "r", Generation: 1, Step: 5, Vector: ddpmv1.Vector_VECTOR_GRADIENT, Offset: 1, Count: 1 << 63},
		&ddpmv1.FetchRequest{RunId: "r", Step: 6, Vector: 99, Count: n},
		&ddpmv1.FetchRequest{RunId: "s", Step: 5, Offset: n},
	)
	f.Fuzz(func(tt *testing.T, b []byte) {
		r := new(ddpmv1.FetchRequest)
		if proto.Unmarshal(b, r) != nil {
			return
		}
		s := &taking{ctx: over}
		err := server.Fetch(r, s)
		if err == nil && uint64(s.bytes) != 4*r.GetCount() || err != nil && s.bytes > 0 {
			tt.Errorf("%v gives %d bytes and %v", r, s.bytes, err)
		}
		if err == nil && (r.GetRunId() != "r" || r.GetStep() != 5) {
			tt.Errorf("%v is served", r)
		}
	})
}

// Whatever a coordinator assigns, it is a generation that this worker can be in, or
// an error.
func FuzzAssignment(f *testing.F) {
	const shards = 8
	members := []*ddpmv1.Member{{WorkerId: "a", RingAddress: "h:1", Shards: 4}, {WorkerId: "b", Rank: 1, RingAddress: "h:2", FirstShard: 4, Shards: 4, Kept: []uint32{1}, Extra: []uint32{7}}}
	marshalled(f,
		&ddpmv1.Assignment{Rank: 1, Generation: &ddpmv1.Generation{Number: 3, Size: 2, Members: members, StartStep: 4, LastStep: 9, CheckpointEvery: 2}},
		&ddpmv1.Assignment{Rank: 2, Generation: &ddpmv1.Generation{Number: 3, Size: 1000, Members: members}},
		&ddpmv1.Assignment{Rank: 1 << 31, Generation: &ddpmv1.Generation{Size: 1<<32 - 1, Members: members, StartStep: 4}},
		&ddpmv1.Assignment{},
	)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := new(ddpmv1.Assignment)
		if proto.Unmarshal(b, a) != nil {
			return
		}
		g, err := newGeneration(t.Context(), "b", shards, a, new(sync.WaitGroup))
		if err != nil {
			return
		}
		defer g.cancel(errLeft)
		if g.next == nil || g.self.GetWorkerId() != "b" || g.rank >= g.size || g.lastStep() < g.startStep() {
			t.Errorf("%v is taken", a)
		}
		for _, s := range append(append([]uint32{g.self.GetFirstShard() + g.self.GetShards() - 1}, g.self.GetKept()...), g.self.GetExtra()...) {
			if g.self.GetShards() > 0 && s >= shards {
				t.Errorf("%v deals shard %d of %d", a, s, shards)
			}
		}
		g.savesAt(g.startStep())
	})
}

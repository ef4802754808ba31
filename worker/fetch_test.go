package worker

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// badSource is a member that is said to have the state, and gives what a test wants.
type badSource struct {
	ddpmv1.UnimplementedPeerServer
	fetch func(*ddpmv1.FetchRequest, ddpmv1.Peer_FetchServer) error
	// server is the source's own, for one that dies.
	server *grpc.Server
}

func (s *badSource) Fetch(r *ddpmv1.FetchRequest, stream ddpmv1.Peer_FetchServer) error {
	return s.fetch(r, stream)
}

// serve returns the source's address. It ends with the test.
func (s *badSource) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.server = grpc.NewServer(allreduce.ServerOptions()...)
	// Its ring waits for a generation that never comes.
	links := allreduce.NewServer(slog.New(slog.DiscardHandler))
	links.Register(s.server)
	ddpmv1.RegisterPeerServer(s.server, s)
	var group sync.WaitGroup
	group.Go(func() { _ = s.server.Serve(l) })
	t.Cleanup(func() {
		links.Close()
		s.server.Stop()
		group.Wait()
	})
	return l.Addr().String()
}

// What does not come whole is no state: the worker leaves the ring, says why and
// that it has none, and waits for what the coordinator makes of it.
func TestFetchesThatFail(t *testing.T) {
	chunk := func(n int) *ddpmv1.FetchChunk {
		b := make([]byte, n)
		return &ddpmv1.FetchChunk{Data: b, Crc32C: castagnoli(b)}
	}
	var killer sync.WaitGroup
	defer killer.Wait()
	for name, k := range map[string]struct {
		fetch func(*badSource, *ddpmv1.FetchRequest, ddpmv1.Peer_FetchServer) error
		want  string
	}{
		"a flipped bit": {func(_ *badSource, r *ddpmv1.FetchRequest, s ddpmv1.Peer_FetchServer) error {
			c := chunk(int(4 * r.GetCount()))
			c.Data[5] ^= 4
			return s.Send(c)
		}, "damaged"},
		"half a number": {func(_ *badSource, _ *ddpmv1.FetchRequest, s ddpmv1.Peer_FetchServer) error {
			return s.Send(chunk(6))
		}, "damaged"},
		"too much": {func(_ *badSource, r *ddpmv1.FetchRequest, s ddpmv1.Peer_FetchServer) error {
			return s.Send(chunk(int(4*r.GetCount() + 4)))
		}, "more than was asked for"},
		"too little": {func(_ *badSource, _ *ddpmv1.FetchRequest, s ddpmv1.Peer_FetchServer) error {
			return s.Send(chunk(8))
		}, "ended after 2 of"},
		"a source that dies": {func(b *badSource, _ *ddpmv1.FetchRequest, s ddpmv1.Peer_FetchServer) error {
			if err := s.Send(chunk(8)); err != nil {
				return err
			}
			killer.Go(b.server.Stop)
			<-s.Context().Done()
			return s.Context().Err()
		}, "fetch the state of step 0"},
	} {
		t.Run(name, func(t *testing.T) {
			source := &badSource{}
			source.fetch = func(r *ddpmv1.FetchRequest, s ddpmv1.Peer_FetchServer) error { return k.fetch(source, r, s) }
			address := source.serve(t)
			c := newCluster(t, 1)
			c.onAssign = func(a *ddpmv1.Assignment) {
				if a.GetGeneration().GetNumber() > fakeGeneration {
					return
				}
				a.Generation.Source = ddpmv1.StateSource_STATE_SOURCE_MEMBERS
				a.Generation.Members[0].Lack = ddpmv1.Lack_LACK_STATE
				a.Generation.Size = 2
				a.Generation.Members = append(a.Generation.Members, &ddpmv1.Member{
					WorkerId: "other", Rank: 1, RingAddress: address, Lack: ddpmv1.Lack_LACK_NOTHING,
				})
			}
			want := c.quiet(t)
			f, digest := c.train(t) // from a generation without that source
			if digest != want {
				t.Errorf("digest %s, want %s", digest, want)
			}
			p := f.positions[0]
			if p.GetHasState() || p.GetTraining() || p.GetGeneration() != fakeGeneration || !strings.Contains(p.GetBroke(), k.want) {
				t.Errorf("a fetch that must fail leads to %v, want one that broke and says %q", p, k.want)
			}
			if !strings.Contains(p.GetBroke(), address) {
				t.Errorf("%q does not name the member", p.GetBroke())
			}
		})
	}
}

package worker

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// fake is a coordinator of one generation: it waits for its workers, assigns their
// shards, lets them begin when all are ready, publishes checkpoints, and dismisses
// everybody at the end. The hooks bend it.
type fake struct {
	ddpmv1.UnimplementedCoordinatorServer
	t       *testing.T
	cluster *cluster
	address string
	readers sync.WaitGroup

	mu       sync.Mutex
	peers    []*peer // in the order of their Hellos, which is ring order
	ready    int
	parts    map[uint64][]*ddpmv1.PartSaved
	progress []*ddpmv1.Progress
	failures []*ddpmv1.Failure
	// most is the highest step that a heartbeat told.
	most uint64
}

// peer is a worker as the fake sees it.
type peer struct {
	rank    int
	hello   *ddpmv1.Hello
	stream  ddpmv1.Coordinator_SessionServer
	sending sync.Mutex
	dropped chan struct{} // closing it ends the stream
}

func (p *peer) id() string { return fmt.Sprintf("w%d", p.rank) }

// say sends with the term of a leader; a failure shows at the worker.
func (p *peer) say(term uint64, m *ddpmv1.CoordinatorMessage) {
	p.sending.Lock()
	defer p.sending.Unlock()
	m.Term = term
	_ = p.stream.Send(m)
}

func (p *peer) dismiss(ok bool, reason string) {
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: &ddpmv1.Dismiss{Ok: ok, Reason: reason}}})
}

func (p *peer) stop() {
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Stop{Stop: &ddpmv1.Stop{Reason: "a test"}}})
}

func (p *peer) begin(term, generation uint64) {
	p.say(term, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Begin{Begin: &ddpmv1.Begin{Generation: generation}}})
}

func (p *peer) assign(a *ddpmv1.Assignment) {
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Assignment{Assignment: a}})
}

const (
	fakeTerm       = 7
	fakeGeneration = 3
)

// serveFake starts the fake on loopback, until stop is called. What it heard is
// settled then.
func serveFake(t *testing.T, c *cluster) (f *fake, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f = &fake{t: t, cluster: c, address: l.Addr().String(), parts: map[uint64][]*ddpmv1.PartSaved{}}
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	ddpmv1.RegisterCoordinatorServer(server, f)
	var group sync.WaitGroup
	group.Go(func() { _ = server.Serve(l) })
	return f, func() {
		server.Stop()
		group.Wait()
		f.readers.Wait()
	}
}

// Session implements the service.
func (f *fake) Session(stream ddpmv1.Coordinator_SessionServer) error {
	first, err := stream.Recv()
	if err != nil || first.GetHello() == nil {
		return status.Error(codes.InvalidArgument, "no Hello")
	}
	p := &peer{hello: first.GetHello(), stream: stream, dropped: make(chan struct{})}
	heard := make(chan *ddpmv1.WorkerMessage)
	// A stream's reader ends after its handler.
	f.readers.Go(func() {
		defer close(heard)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case heard <- m:
			case <-stream.Context().Done():
				return
			}
		}
	})
	f.admit(p)
	for {
		select {
		case m, ok := <-heard:
			if !ok {
				return nil
			}
			f.hear(p, m)
		case <-p.dropped:
			return status.Error(codes.Unavailable, "a test dropped the session")
		}
	}
}

func (f *fake) admit(p *peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.rank = len(f.peers)
	f.peers = append(f.peers, p)
	if hook := f.cluster.onHello; hook != nil && hook(f, p) {
		return
	}
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: f.welcome(p)}})
	if len(f.peers) < f.cluster.workers {
		return
	}
	for _, q := range f.peers {
		q.assign(f.assignment(q))
	}
}

func (f *fake) welcome(p *peer) *ddpmv1.Welcome {
	return &ddpmv1.Welcome{
		WorkerId: p.id(), Run: runName, RunId: "id", Spec: encode(f.t, f.cluster.spec),
		Storage: f.cluster.storage, HeartbeatMilliseconds: 5,
	}
}

// assignment deals the shards as evenly as can be.
func (f *fake) assignment(p *peer) *ddpmv1.Assignment {
	c, n := f.cluster, len(f.peers)
	g := &ddpmv1.Generation{Number: fakeGeneration, StartStep: c.from, Source: ddpmv1.StateSource_STATE_SOURCE_INITIAL, Reason: "a test"}
	if c.from > 0 {
		g.Source = ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT
	}
	for r, q := range f.peers {
		lo, hi := r*c.spec.Shards()/n, (r+1)*c.spec.Shards()/n
		g.Members = append(g.Members, &ddpmv1.Member{WorkerId: q.id(), RingAddress: q.hello.GetRingAddress(), FirstShard: uint32(lo), Shards: uint32(hi - lo)})
	}
	a := &ddpmv1.Assignment{Generation: g, Rank: uint32(p.rank), LastStep: c.steps, CheckpointEvery: c.every}
	if c.onAssign != nil {
		c.onAssign(a)
	}
	return a
}

func (f *fake) hear(p *peer, m *ddpmv1.WorkerMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if hook := f.cluster.onMessage; hook != nil && hook(f, p, m) {
		return
	}
	switch body := m.Body.(type) {
	case *ddpmv1.WorkerMessage_Heartbeat:
		f.most = max(f.most, body.Heartbeat.GetStep())
	case *ddpmv1.WorkerMessage_Ready:
		if f.ready++; f.ready == len(f.peers) {
			for _, q := range f.peers {
				q.begin(fakeTerm, body.Ready.GetGeneration())
			}
		}
	case *ddpmv1.WorkerMessage_Progress:
		f.progress = append(f.progress, body.Progress)
	case *ddpmv1.WorkerMessage_PartSaved:
		f.saved(body.PartSaved)
	case *ddpmv1.WorkerMessage_Failure:
		f.failures = append(f.failures, body.Failure)
		p.dismiss(false, "a worker failed")
	}
}

// saved publishes a checkpoint when all of its parts are stored.
func (f *fake) saved(s *ddpmv1.PartSaved) {
	parts := append(f.parts[s.GetStep()], s)
	f.parts[s.GetStep()] = parts
	if len(parts) < len(f.peers) {
		return
	}
	m := checkpoint.Manifest{
		Format: checkpoint.Format, Run: runName, Step: s.GetStep(), Digest: s.GetDigest(),
		Params: int64(f.cluster.spec.Model.ParamCount()), Parts: len(parts),
	}
	for _, p := range parts {
		for _, o := range p.GetObjects() {
			m.Objects = append(m.Objects, checkpoint.Object{Key: o.GetKey(), Size: o.GetSize(), SHA256: o.GetSha256()})
		}
	}
	if err := checkpoint.Publish(f.t.Context(), openTestStore(f.t, f.cluster.storage), m); err != nil {
		f.t.Errorf("publish step %d: %v", s.GetStep(), err)
	}
	if s.GetLast() {
		for _, q := range f.peers {
			q.dismiss(true, "complete")
		}
	}
}

func encode(t *testing.T, s ddpm.Spec) []byte {
	t.Helper()
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

package worker

import (
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

// fake is a simple coordinator: it waits for its workers, makes a generation of
// them, makes another one whenever all members have said where they stand,
// publishes checkpoints, and dismisses everybody at the end. The hooks bend it.
type fake struct {
	ddpmv1.UnimplementedCoordinatorServer
	t       *testing.T
	cluster *cluster
	address string
	readers sync.WaitGroup

	mu    sync.Mutex
	peers []*peer // in the order of their first Hellos, which is ring order
	// generation is the newest, nil before the first, sizes the members of each.
	generation *ddpmv1.Generation
	sizes      map[uint64]int
	// stopping says that the run ends at the next step that all are idle at.
	stopping bool

	ready map[uint64]int
	// parts are those of the newest generation that saved a step, until it is published.
	parts     map[uint64][]*ddpmv1.PartSaved
	published map[uint64]bool
	progress  []*ddpmv1.Progress
	failures  []*ddpmv1.Failure
	positions []*ddpmv1.Position
	resumes   []*ddpmv1.Resume
	unsaved   []*ddpmv1.PartFailed
	overflows []*ddpmv1.Overflow
	// toldAgain counts parts that came more than once.
	toldAgain int
	// most is the highest step that a heartbeat told.
	most uint64
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
	f = &fake{
		t: t, cluster: c, address: l.Addr().String(),
		sizes: map[uint64]int{}, ready: map[uint64]int{}, parts: map[uint64][]*ddpmv1.PartSaved{}, published: map[uint64]bool{},
	}
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
	dropped := make(chan struct{})
	p := f.admit(first.GetHello(), stream, dropped)
	for {
		select {
		case m, ok := <-heard:
			if !ok {
				return nil
			}
			f.hear(p, m)
		case <-dropped:
			return status.Error(codes.Unavailable, "a test dropped the session")
		}
	}
}

func (f *fake) admit(h *ddpmv1.Hello, stream ddpmv1.Coordinator_SessionServer, dropped chan struct{}) *peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.takeIn(h, stream, dropped)
	if hook := f.cluster.onHello; hook != nil && hook(f, p) {
		return p
	}
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: f.welcome(p)}})
	if r := h.GetResume(); r != nil {
		f.resumes = append(f.resumes, r)
		if !r.GetPosition().GetTraining() {
			p.position = r.GetPosition()
			f.settle()
		}
	}
	return p
}

func (f *fake) welcome(p *peer) *ddpmv1.Welcome {
	w := &ddpmv1.Welcome{
		WorkerId: p.id, Run: runName, RunId: "id", Spec: encode(f.t, f.cluster.spec),
		Storage: f.cluster.storage, HeartbeatMilliseconds: 5, CompareEvery: f.cluster.compareEvery,
	}
	for _, p := range f.progress {
		w.ReportedStep = max(w.ReportedStep, p.GetStep())
	}
	return w
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
		p.step = body.Heartbeat.GetStep()
	case *ddpmv1.WorkerMessage_Available:
		f.available(p)
	case *ddpmv1.WorkerMessage_Ready:
		f.ready[body.Ready.GetGeneration()]++
	case *ddpmv1.WorkerMessage_Position:
		f.positioned(p, body.Position)
	case *ddpmv1.WorkerMessage_Progress:
		f.progress = append(f.progress, body.Progress)
	case *ddpmv1.WorkerMessage_PartSaved:
		f.saved(body.PartSaved)
	case *ddpmv1.WorkerMessage_PartFailed:
		f.unsaved = append(f.unsaved, body.PartFailed)
	case *ddpmv1.WorkerMessage_Overflow:
		f.overflows = append(f.overflows, body.Overflow)
	case *ddpmv1.WorkerMessage_Leaving:
		f.leaving(p)
	case *ddpmv1.WorkerMessage_Failure:
		f.failures = append(f.failures, body.Failure)
		p.dismiss(false, "a worker failed")
	}
}

// saved publishes a checkpoint when all of its parts are stored.
func (f *fake) saved(s *ddpmv1.PartSaved) {
	parts := f.parts[s.GetStep()]
	switch {
	case len(parts) > 0 && parts[0].GetGeneration() < s.GetGeneration():
		if f.published[s.GetStep()] {
			return
		}
		parts = nil
	case len(parts) > 0 && parts[0].GetGeneration() > s.GetGeneration():
		return
	}
	for _, p := range parts {
		if p.GetObjects()[0].GetKey() == s.GetObjects()[0].GetKey() {
			f.toldAgain++
			return
		}
	}
	parts = append(parts, s)
	f.parts[s.GetStep()] = parts
	if !f.complete(s.GetStep()) {
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
	if !f.published[s.GetStep()] {
		f.published[s.GetStep()] = true
		if err := checkpoint.Publish(f.t.Context(), openTestStore(f.t, f.cluster.storage), m); err != nil {
			f.t.Errorf("publish step %d: %v", s.GetStep(), err)
		}
	}
	f.settle()
}

// complete says that all parts of a step's checkpoint are there.
func (f *fake) complete(step uint64) bool {
	parts := f.parts[step]
	return len(parts) > 0 && len(parts) == f.sizes[parts[0].GetGeneration()]
}

func encode(t *testing.T, s ddpm.Spec) []byte {
	t.Helper()
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

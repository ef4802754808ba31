package worker

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// Members whose coordinator says nothing, though their sessions stand, go over to the
// one that leads at another address, and their ring goes on as it was.
func TestSilentCoordinatorIsLeft(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.silence = 1_000_000, time.Second
	first, stopFirst := serveFake(t, c) // which answers no Heartbeat
	defer stopFirst()
	next := *c
	second, stopSecond := serveFake(t, &next)
	defer stopSecond()
	c.others = []string{second.address}
	attempts := 0
	next.onHello = func(f *fake, p *peer) bool {
		if p.hello.GetResume() == nil {
			t.Errorf("%v joins the standby", p.hello)
		}
		p.id, p.available = p.hello.GetResume().GetWorkerId(), true
		if attempts++; attempts < 4 {
			p.drop() // it has just stopped leading, say
			return true
		}
		first.mu.Lock()
		defer first.mu.Unlock()
		f.generation, f.sizes = first.generation, map[uint64]int{fakeGeneration: 2}
		return false
	}
	over := map[*peer]bool{} // who speaks here, and so with the first no more
	next.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetHeartbeat() != nil {
			p.say(fakeTerm, &ddpmv1.CoordinatorMessage{})
		}
		if over[p] = true; len(over) == 2 && len(f.progress) > 0 && !f.stopping {
			f.stop()
		}
		return false
	}
	errs := make(chan error, 2)
	for i := range 2 {
		go func() { errs <- c.worker(i, first.address).live(t.Context()) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	stopFirst()
	stopSecond()
	if len(second.resumes) != 2 {
		t.Fatalf("%d of 2 workers came over", len(second.resumes))
	}
	for _, r := range second.resumes {
		if p := r.GetPosition(); !p.GetTraining() || p.GetGeneration() != fakeGeneration {
			t.Errorf("a worker comes over with %v", r)
		}
	}
	if len(first.positions) > 0 || len(first.failures)+len(second.failures) > 0 {
		t.Errorf("told %v, and failed: %v, %v", first.positions, first.failures, second.failures)
	}
	var last uint64
	told := map[uint64]bool{} // a step may be told of before those that were missed
	for _, p := range second.progress {
		told[p.GetStep()] = true
		last = max(last, p.GetStep())
	}
	if len(told) != int(last) {
		t.Errorf("heard of %d steps of %d", len(told), last)
	}
	digest := second.digest(last)
	c.steps, c.others = last, nil
	if want := c.quiet(t); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
}

// A coordinator that was only busy is kept, also where it has another name.
func TestCoordinatorThatSpeaksAgainIsKept(t *testing.T) {
	c := newCluster(t, 1)
	c.steps = 1_000_000
	f, stop := serveFake(t, c)
	defer stop()
	_, port, err := net.SplitHostPort(f.address)
	if err != nil {
		t.Fatal(err)
	}
	c.others = []string{net.JoinHostPort("localhost", port)}
	c.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetHeartbeat() != nil && c.log.contains("the coordinator is silent") {
			p.say(fakeTerm, &ddpmv1.CoordinatorMessage{})
		}
		if c.log.contains("the coordinator speaks again") && !f.stopping {
			f.stop()
		}
		return false
	}
	if err := c.worker(0, f.address).live(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
	if len(f.peers) != 1 || len(f.resumes) > 0 {
		t.Errorf("%d workers, and %v came back", len(f.peers), f.resumes)
	}
}

// hanging is a coordinator that reads nothing until it wakes up.
type hanging struct {
	ddpmv1.UnimplementedCoordinatorServer
	awake chan struct{}
	heard chan uint64
}

func (h *hanging) Session(stream ddpmv1.Coordinator_SessionServer) error {
	select {
	case <-h.awake:
	case <-stream.Context().Done():
		return nil
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil
		}
		if f := m.GetFailure(); f != nil {
			h.heard <- f.GetStep()
		}
	}
}

// Nobody waits for a coordinator that does not read, and it hears all in the end.
func TestHangingCoordinatorHoldsNobodyUp(t *testing.T) {
	const messages = 4000 // of 1 KiB: far more than a stream takes
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hanging{awake: make(chan struct{}), heard: make(chan uint64, messages)}
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	ddpmv1.RegisterCoordinatorServer(server, h)
	var group sync.WaitGroup
	group.Go(func() { _ = server.Serve(l) })
	defer func() { server.Stop(); group.Wait() }()
	conn, err := redial(t.Context(), l.Addr().String(), insecure.NewCredentials(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openSession(t.Context(), conn, l.Addr().String(), &ddpmv1.Hello{}, new(atomic.Uint64), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	reason := fmt.Sprintf("%1024d", 0)
	for i := range uint64(messages) {
		s.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: &ddpmv1.Failure{Step: i, Reason: reason}}})
	}
	close(h.awake)
	for want := range uint64(messages) {
		if got := <-h.heard; got != want {
			t.Fatalf("heard %d, want %d", got, want)
		}
	}
}

// A coordinator to which nothing gets through for very long is left.
func TestOutboxIsBounded(t *testing.T) {
	o := newOutbox()
	for range outboxLimit {
		if !o.put(&ddpmv1.WorkerMessage{}) {
			t.Fatal("full too early")
		}
	}
	if o.put(&ddpmv1.WorkerMessage{}) {
		t.Error("without a bound")
	}
}

// A worker that is asked for a sign of life gives it at once, and says that it was asked.
func TestAnswersWhenAsked(t *testing.T) {
	c := newCluster(t, 1)
	asked, unasked := 0, 0
	c.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		switch h := m.GetHeartbeat(); {
		case m.GetAvailable() != nil:
			p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Ask{Ask: &ddpmv1.Ask{}}})
			return true // the run begins, and may end, when it has answered
		case h.GetAsked():
			asked++
			f.available(p)
		case h != nil:
			unasked++
		}
		return false
	}
	c.train(t)
	if asked != 1 {
		t.Errorf("asked once, it has given %d signs of life for it, and %d by itself", asked, unasked)
	}
}

package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// peer is a fake worker: a stream, and what it was told.
type peer struct {
	t      *testing.T
	mu     sync.Mutex // of Send
	name   string
	stream ddpmv1.Coordinator_SessionClient
	cancel context.CancelFunc
	id     string
	run    *ddpmv1.Welcome
	spec   ddpm.Spec
	given  *ddpmv1.Assignment
}

// hello is what a worker of this build says.
func hello(name string) *ddpmv1.Hello {
	return &ddpmv1.Hello{
		Version: ddpmcluster.Version(), Build: ddpmcluster.Fingerprint(), RingAddress: name + ":1",
		Threads: 1, CpuLevel: "portable", Hostname: name, Pid: 1,
	}
}

// open opens a stream without a word.
func (c *cluster) open() *peer {
	c.t.Helper()
	conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*wait)
	c.t.Cleanup(func() {
		cancel()
		_ = conn.Close() // it only fails when it is closed
	})
	stream, err := ddpmv1.NewCoordinatorClient(conn).Session(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return &peer{t: c.t, stream: stream, cancel: cancel}
}

// join joins as a worker that is welcome, and opens the run.
func (c *cluster) join(name string) *peer {
	c.t.Helper()
	p := c.greet(hello(name))
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Available{Available: &ddpmv1.Available{}}})
	return p
}

// back joins as one that was in the run before, and stands somewhere there.
func (c *cluster) back(was *peer, at *ddpmv1.Position) *peer {
	c.t.Helper()
	h := hello(was.name)
	h.Resume = &ddpmv1.Resume{WorkerId: was.id, RunId: was.run.GetRunId(), Position: at}
	p := c.greet(h)
	p.given = was.given
	return p
}

func (c *cluster) greet(h *ddpmv1.Hello) *peer {
	c.t.Helper()
	p := c.open()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Hello{Hello: h}})
	p.name, p.run = h.GetHostname(), p.hear().GetWelcome()
	if p.run == nil {
		c.t.Fatalf("%s is not welcome", p.name)
	}
	p.id = p.run.GetWorkerId()
	spec, err := ddpm.DecodeSpec(p.run.GetSpec())
	if err != nil {
		c.t.Fatal(err)
	}
	p.spec = spec
	return p
}

// beating lets the worker give signs of life until the test ends.
func (p *peer) beating() {
	ended, beating := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(beating)
		for {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				p.mu.Lock()
				_ = p.stream.Send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: &ddpmv1.Heartbeat{}}})
				p.mu.Unlock()
			}
		}
	}()
	p.t.Cleanup(func() {
		close(ended)
		<-beating
	})
}

func (p *peer) say(m *ddpmv1.WorkerMessage) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		p.t.Fatalf("%s can't speak: %v", p.id, err)
	}
}

// receive takes the next directive; answers to Heartbeats are none, and what asks for
// one is as good as not heard: a beating worker beats.
func (p *peer) receive() (*ddpmv1.CoordinatorMessage, error) {
	m, err := p.stream.Recv()
	for err == nil && (m.Body == nil || m.GetAsk() != nil) {
		m, err = p.stream.Recv()
	}
	return m, err
}

func (p *peer) hear() *ddpmv1.CoordinatorMessage {
	p.t.Helper()
	m, err := p.receive()
	if err != nil {
		p.t.Fatalf("%s hears nothing: %v", p.id, err)
	}
	if m.GetTerm() == 0 {
		p.t.Errorf("%s hears a directive without a term: %v", p.id, m)
	}
	return m
}

// refused waits for the stream's end and returns its reason.
func (p *peer) refused() string {
	p.t.Helper()
	m, err := p.receive()
	if err == nil {
		p.t.Fatalf("heard %v", m)
	}
	return err.Error()
}

// assigned takes the assignment.
func (p *peer) assigned() {
	p.t.Helper()
	if p.given = p.hear().GetAssignment(); p.given == nil {
		p.t.Fatalf("%s has no assignment", p.id)
	}
}

func (p *peer) generation() uint64 { return p.given.GetGeneration().GetNumber() }

func (p *peer) ready() {
	p.t.Helper()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: p.generation()}}})
}

// stand says that the worker is out of its ring after a step.
func (p *peer) stand(step uint64, shards ...uint32) {
	p.t.Helper()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Position{Position: &ddpmv1.Position{
		Generation: p.generation(), HasState: true, Step: step, HasGradient: step > 0, Shards: shards, Unreachable: -1,
	}}})
}

// halted takes the request to leave the ring at once.
func (p *peer) halted() *ddpmv1.Halt {
	p.t.Helper()
	h := p.hear().GetHalt()
	if h.GetGeneration() == 0 {
		p.t.Fatalf("%s is not asked to leave its ring", p.id)
	}
	return h
}

// yielded takes the request to leave the ring at a step boundary.
func (p *peer) yielded() *ddpmv1.Yield {
	p.t.Helper()
	y := p.hear().GetYield()
	if y.GetGeneration() != p.generation() {
		p.t.Fatalf("%s is not asked to leave its ring at a boundary", p.id)
	}
	return y
}

// beat says a heartbeat.
func (p *peer) beat(step uint64) {
	p.t.Helper()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: &ddpmv1.Heartbeat{Generation: p.generation(), Step: step}}})
}

// trained says a completed step.
func (p *peer) trained(step uint64, loss float64) {
	p.t.Helper()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Progress{Progress: &ddpmv1.Progress{
		Generation: p.generation(), Step: step, Loss: loss, GradientNorm: 2, LearningRate: 0.1, Images: uint32(p.spec.Batch), Seconds: 0.5,
	}}})
}

// save stores the member's part of a step and says so. What is in the parts does
// not matter to a coordinator.
func (p *peer) save(step uint64, digest string) {
	p.t.Helper()
	st, err := storage.Open(p.t.Context(), p.run.GetStorage())
	if err != nil {
		p.t.Fatal(err)
	}
	rank, size, params := int(p.given.GetRank()), int(p.given.GetGeneration().GetSize()), p.spec.Model.ParamCount()
	lo, hi := rank*params/size, (rank+1)*params/size
	values := make([]float32, hi-lo)
	object, err := checkpoint.WritePart(p.t.Context(), st, p.run.GetRun(), step, rank, size, checkpoint.Part{
		Offset: int64(lo), Total: int64(params), Weights: values, M: values, V: values, EMA: values,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	saved := &ddpmv1.PartSaved{
		Generation: p.generation(), Step: step, Digest: digest, Loss: 0.25,
		Objects: []*ddpmv1.Object{{Key: object.Key, Size: object.Size, Sha256: object.SHA256}},
	}
	n := p.spec.Model.Size * p.spec.Model.Size * p.spec.Model.InChannels
	for i := range 2 { // the order in which they come is not that of their numbers
		saved.Previews = append(saved.Previews, &ddpmv1.Preview{Index: uint32(2*i + 1 - rank), Pixels: bytes.Repeat([]byte{byte(2*i + 1 - rank)}, n)})
	}
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartSaved{PartSaved: saved}})
}

// dismissed waits for the dismissal and then the end of the stream.
func (p *peer) dismissed() *ddpmv1.Dismiss {
	p.t.Helper()
	d := p.hear().GetDismiss()
	if d == nil {
		p.t.Fatalf("%s is not dismissed", p.id)
	}
	if _, err := p.receive(); !errors.Is(err, io.EOF) {
		p.t.Errorf("after its dismissal %s hears %v", p.id, err)
	}
	return d
}

// finish lets a worker save the last step and leave its ring.
func (p *peer) finish(step uint64, digest string) {
	p.t.Helper()
	p.save(step, digest)
	p.stand(step)
}

// team lets n workers join and form a generation.
func (c *cluster) team(n int) []*peer {
	c.t.Helper()
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = c.join(fmt.Sprintf("host%d", i))
	}
	form(peers...)
	return peers
}

// form takes the members of a generation into their ring.
func form(peers ...*peer) {
	for _, p := range peers {
		p.t.Helper()
		p.assigned()
	}
	for _, p := range peers {
		p.ready()
	}
}

// digest is what a state of a test is called.
func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what should come at once.
const wait = 30 * time.Second

// cluster is a coordinator under test, in its own data dir.
type cluster struct {
	t          *testing.T
	dir        string
	address    string
	interrupts chan os.Signal
	log        *watched
	stdout     *bytes.Buffer
	done       chan error
}

// watched is a log that tells where workers join.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string // of one address
}

var joinLine = regexp.MustCompile(`ddpm-worker --join (\S+)`)

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := joinLine.FindSubmatch(b); m != nil {
		select {
		case w.found <- string(m[1]):
		default:
		}
	}
	return w.text.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// settings are flags as a config.
func settings(t *testing.T, args ...string) *config.Config {
	t.Helper()
	c := new(config.Config)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

// launch starts a coordinator of tiny runs and waits until workers can join. bend
// may change its options.
func launch(t *testing.T, dir string, bend func(*Options), args ...string) *cluster {
	t.Helper()
	c := &cluster{
		t: t, dir: dir, interrupts: make(chan os.Signal, 2), stdout: &bytes.Buffer{},
		log: &watched{found: make(chan string, 1)}, done: make(chan error, 1),
	}
	o := Options{
		Config: settings(t, append([]string{"--preset", "tiny", "--data-dir", dir, "--listen", "127.0.0.1:0", "--insecure"}, args...)...),
		Stdout: c.stdout, Stderr: c.log, Interrupts: c.interrupts, limits: defaultLimits(),
	}
	o.limits.heartbeat = 20 * time.Millisecond
	if bend != nil {
		bend(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.done <- Run(ctx, o)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("the coordinator's log:\n%s", c.log)
		}
	})
	select {
	case c.address = <-c.log.found:
	case err := <-c.done:
		t.Fatalf("it ended: %v", err)
	case <-time.After(wait):
		t.Fatal("it does not say how to join")
	}
	return c
}

// end waits for the coordinator's end.
func (c *cluster) end() error {
	c.t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(wait):
		c.t.Fatal("the run does not end")
		return nil
	}
}

// failed waits for an end with an error that says all of the words.
func (c *cluster) failed(words ...string) {
	c.t.Helper()
	err := c.end()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			c.t.Errorf("the run ended with %v, want %q", err, w)
		}
	}
	if c.stdout.Len() > 0 {
		c.t.Errorf("standard output: %s", c.stdout)
	}
}

func (c *cluster) store() storage.Store {
	c.t.Helper()
	st, err := storage.Open(c.t.Context(), c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return st
}

// peer is a fake worker: a stream, and what it was told.
type peer struct {
	t      *testing.T
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
	ctx, cancel := context.WithTimeout(context.Background(), wait)
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

// join joins as a worker that is welcome.
func (c *cluster) join(name string) *peer {
	c.t.Helper()
	p := c.open()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Hello{Hello: hello(name)}})
	p.run = p.hear().GetWelcome()
	if p.run == nil {
		c.t.Fatalf("%s is not welcome", name)
	}
	p.id = p.run.GetWorkerId()
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Available{Available: &ddpmv1.Available{}}})
	spec, err := ddpm.DecodeSpec(p.run.GetSpec())
	if err != nil {
		c.t.Fatal(err)
	}
	p.spec = spec
	return p
}

func (p *peer) say(m *ddpmv1.WorkerMessage) {
	p.t.Helper()
	if err := p.stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		p.t.Fatalf("%s can't speak: %v", p.id, err)
	}
}

func (p *peer) hear() *ddpmv1.CoordinatorMessage {
	p.t.Helper()
	m, err := p.stream.Recv()
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
	m, err := p.stream.Recv()
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

// back joins as a worker that has been in the run before.
func (c *cluster) back(name, id, runID string, at *ddpmv1.Position) *peer {
	c.t.Helper()
	p := c.open()
	h := hello(name)
	h.Resume = &ddpmv1.Resume{WorkerId: id, RunId: runID, Position: at}
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Hello{Hello: h}})
	p.run = p.hear().GetWelcome()
	if p.run == nil {
		c.t.Fatalf("%s is not welcome back", name)
	}
	p.id = p.run.GetWorkerId()
	spec, err := ddpm.DecodeSpec(p.run.GetSpec())
	if err != nil {
		c.t.Fatal(err)
	}
	p.spec = spec
	return p
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
	rank, size, params := int(p.given.GetRank()), len(p.given.GetGeneration().GetMembers()), p.spec.Model.ParamCount()
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
	if _, err := p.stream.Recv(); !errors.Is(err, io.EOF) {
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

func manifestOf(dir string, step int) string {
	return filepath.Join(dir, "runs", "tiny", "checkpoints", fmt.Sprintf("step-%08d", step), "manifest.json")
}

package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const runName = "test"

// cluster is how a test trains: a fake coordinator and real workers, over loopback.
type cluster struct {
	workers            int
	threads            int
	spec               ddpm.Spec
	storage            string
	from, steps, every uint64
	device             deviceMaker
	compareEvery       uint64
	bucketElems        int
	// perHost has so many members of each host share memory, 0 none, but for the first
	// private ones, which won't.
	perHost     int
	private     int
	patience    time.Duration
	grace, away time.Duration
	// devices makes the device of the worker that is started as the i-th, instead
	// of device.
	devices func(i int) deviceMaker
	// store, where set, wraps the Store of the worker that is started as the i-th.
	store func(i int, st storage.Store) storage.Store
	// late are workers that are started when begin is closed.
	late  int
	begin chan struct{}
	// others are addresses that workers are given beside the coordinator's, and silence
	// is how long that one may say nothing.
	others  []string
	silence time.Duration
	// log is what the workers log.
	log *logs

	// onHello, onAssign, onMessage and onSettled bend the coordinator. They run under
	// its lock; true keeps it from doing what it would.
	onHello   func(*fake, *peer) bool
	onAssign  func(*ddpmv1.Assignment)
	onMessage func(*fake, *peer, *ddpmv1.WorkerMessage) bool
	onSettled func(*fake) bool
}

// newCluster trains a network smaller than any preset, on a device that costs next
// to nothing.
func newCluster(t *testing.T, workers int, change ...func(*ddpm.Spec)) *cluster {
	t.Helper()
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	spec := p.Spec
	spec.Model.Channels, spec.Model.Attention, spec.Model.Groups = []int{4, 4}, nil, 2
	spec.Diffusion.Steps = 10
	spec.Optimizer.WarmupSteps = 0
	for _, f := range change {
		f(&spec)
	}
	data, err := dataset.Open(t.Context(), "glyphs://?n=64", dataset.Want{Size: spec.Model.Size, Channels: spec.Model.InChannels})
	if err != nil {
		t.Fatal(err)
	}
	spec.Dataset, spec.DatasetDigest, spec.DatasetLen = data.URI(), data.Digest(), data.Len()
	c := &cluster{
		workers: workers, threads: 1, spec: spec, storage: t.TempDir(), steps: 4,
		device: newFakeDevice, patience: 20 * time.Second, begin: make(chan struct{}), log: &logs{to: t.Output()},
	}
	c.createRun(t, spec)
	return c
}

func (c *cluster) createRun(t *testing.T, spec ddpm.Spec) {
	t.Helper()
	if err := checkpoint.CreateRun(t.Context(), openTestStore(t, c.storage), runName, encode(t, spec)); err != nil {
		t.Fatal(err)
	}
}

func openTestStore(t *testing.T, uri string) storage.Store {
	t.Helper()
	st, err := storage.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// run lets the workers live until all have ended. Their errors are in the order in
// which they were started, which need not be ring order.
func (c *cluster) run(ctx context.Context, t *testing.T) (*fake, []error) {
	t.Helper()
	f, stop := serveFake(t, c)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	errs := make([]error, c.workers+c.late)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			if i >= c.workers {
				<-c.begin
			}
			errs[i] = c.worker(i, f.address).live(ctx)
		})
	}
	group.Wait()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("what the test waits for did not happen in %v", longest)
	}
	return f, errs
}

// longest is how long a cluster may train: on a busy machine too what a test waits for
// happens within seconds, or never.
const longest = 2 * time.Minute

func (c *cluster) worker(i int, address string) *life {
	log := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := newLife(Config{
		Join: append([]string{address}, c.others...), Threads: c.threads, Grace: c.grace, Away: c.away,
		Security: membership.Settings{Insecure: true}, Log: log, Private: i < c.private,
	})
	l.patience, l.config.Wait, l.device, l.bucketElems = c.patience, c.patience, c.device, c.bucketElems
	if c.silence > 0 {
		l.office.silence = c.silence
	}
	if c.devices != nil {
		l.device = c.devices(i)
	}
	if c.store != nil {
		l.store = func(ctx context.Context, uri, name string, spec ddpm.Spec) (storage.Store, error) {
			st, err := openStore(ctx, uri, name, spec)
			return c.store(i, st), err
		}
	}
	return l
}

// train runs a cluster that must do well and returns the digest that all members
// have at the end.
func (c *cluster) train(t *testing.T) (*fake, string) {
	t.Helper()
	f, errs := c.run(t.Context(), t)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("worker %d of %d: %v", i, c.workers, err)
		}
	}
	return f, f.digest(c.steps)
}

// digest is what all members have after a step that they saved.
func (f *fake) digest(step uint64) string {
	f.t.Helper()
	parts := f.parts[step]
	if !f.complete(step) {
		f.t.Fatalf("%d workers saved step %d, and not all", len(parts), step)
	}
	for _, p := range parts {
		if p.GetDigest() != parts[0].GetDigest() {
			f.t.Fatalf("digests %s and %s after the same step", p.GetDigest(), parts[0].GetDigest())
		}
	}
	return parts[0].GetDigest()
}

// quiet is the digest of a run that nothing happens to.
func (c *cluster) quiet(t *testing.T) string {
	t.Helper()
	q := newCluster(t, 1)
	q.steps = c.steps
	_, digest := q.train(t)
	return digest
}

// logs keeps what is written.
type logs struct {
	to io.Writer

	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	return l.to.Write(b)
}

func (l *logs) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// fakeDevice computes a gradient that depends on all that it may depend on.
type fakeDevice struct {
	weights []float32
	losses  []float64
	// after sees each shard with its gradient; what it returns replaces the loss.
	after func(shard []ddpm.Example, grad []float32) (float64, error)
	// between is called when part of the gradient is final, and part is not.
	between func(shard []ddpm.Example)
}

func newFakeDevice(ddpm.Spec, dataset.Dataset, *kernel.Pool) ddpm.Device { return &fakeDevice{} }

func (d *fakeDevice) Begin(weights []float32) { d.weights = weights }

func (d *fakeDevice) Gradient(shard []ddpm.Example, grad []float32, final func(lo int)) (float64, error) {
	loss, err := d.gradient(shard, grad)
	if err != nil {
		return 0, err
	}
	if final == nil {
		return loss, nil
	}
	for lo := len(grad) * 3 / 4; lo > 0; lo -= len(grad)/5 + 1 {
		final(lo)
		if d.between != nil {
			d.between(shard)
		}
	}
	final(0)
	return loss, nil
}

func (d *fakeDevice) gradient(shard []ddpm.Example, grad []float32) (float64, error) {
	loss := 0.0
	d.losses = d.losses[:0]
	for i, w := range d.weights {
		grad[i] = w / 16
	}
	for _, ex := range shard {
		key := uint64(ex.T)*31 + ex.Index*7 + uint64(ex.Slot)
		for i := range grad {
			grad[i] += float32((key+uint64(i))%17) / 1024
		}
		loss += float64(key%97) / 97
		d.losses = append(d.losses, float64(key%97)/97)
	}
	if d.after == nil {
		return loss / float64(len(shard)), nil
	}
	return d.after(shard, grad)
}

// Account implements ddpm.Accountant.
func (d *fakeDevice) Account() ddpm.Account { return ddpm.Account{Losses: d.losses} }

// spoil is a device whose shards go through f after they are computed.
func spoil(f func(shard []ddpm.Example, grad []float32) (float64, error)) deviceMaker {
	return func(ddpm.Spec, dataset.Dataset, *kernel.Pool) ddpm.Device { return &fakeDevice{after: f} }
}

var inf = float32(math.Inf(1))

package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// UsageError is a mistake in the settings.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap gives the mistake itself.
func (e UsageError) Unwrap() error { return e.Err }

// Options are what a coordinator gets from its process.
type Options struct {
	Config *config.Config
	// Worker is the command that starts a local worker: the program and its first
	// arguments.
	Worker         []string
	Stdout, Stderr io.Writer
	// Interrupts are the user's: the first asks for a checkpoint and the end, the
	// second ends at once.
	Interrupts <-chan os.Signal
}

// patience is how long a start with fewer than all workers waits for another one.
const patience = 30 * time.Second

// Run owns a run from its start to its end and prints the closing line.
func Run(ctx context.Context, o Options) error {
	c := o.Config
	if err := c.Validate(); err != nil {
		return UsageError{err}
	}
	plan, err := c.Resolve()
	if err != nil {
		return UsageError{err}
	}
	if c.DryRun {
		return c.Print(o.Stdout, plan)
	}
	console := newConsole(o.Stderr)
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	s := &start{
		options: o, config: c, plan: plan, console: console,
		log: slog.New(slog.NewTextHandler(console, &slog.HandlerOptions{Level: level})),
	}
	defer console.end()
	return s.run(ctx)
}

// start is a run on its way from the settings to the loop.
type start struct {
	options Options
	config  *config.Config
	plan    config.Plan
	console *console
	log     *slog.Logger

	store    storage.Store
	existing bool // the run has a run.json
	newest   checkpoint.Manifest
	resumes  bool // newest is there
	loss     float64
}

func (s *start) run(ctx context.Context) (err error) {
	listener, err := listen("--listen", s.config.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	var web net.Listener
	if s.config.HTTP != "" {
		if web, err = listen("--http", s.config.HTTP); err != nil {
			return err
		}
		defer web.Close()
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := s.openDataset(ctx); err != nil {
		return err
	}
	if s.resumes && s.newest.Step >= s.plan.Steps {
		s.log.Info("the run is complete already; train it further with a higher --steps, or choose another --run", "run", s.plan.Run, "step", s.newest.Step)
		return s.closing(s.newest.Step, s.loss, s.newest.Digest)
	}
	undo := s.makeDataDir()
	defer func() {
		if err != nil && !s.existing {
			undo()
		}
	}()
	etcd, err := s.openEtcd(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	leader, err := registry.Lead(ctx, etcd, s.plan.Run, who(listener))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leader.Close()) }()
	end, err := s.lead(ctx, leader, listener, web)
	if err != nil {
		return err
	}
	if !end.OK {
		return errors.New(end.Reason)
	}
	s.console.end()
	s.log.Info(end.Reason)
	return s.closing(end.Step, end.Loss, end.Digest)
}

// closing prints the run's last line.
func (s *start) closing(step uint64, loss float64, digest string) error {
	_, err := fmt.Fprintf(s.options.Stdout, "run %s: step %d loss %.6f digest %s\n", s.plan.Run, step, loss, digest)
	return err
}

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another port, or 0 for any free one", flag, address, err)
	}
	return l, nil
}

// openStore makes sure that the Store can be written, and finds out what it
// knows about the run.
func (s *start) openStore(ctx context.Context) error {
	uri, err := storage.Canonical(s.config.Storage)
	if err != nil {
		return UsageError{fmt.Errorf("--storage: %w", err)}
	}
	if s.store, err = storage.Open(ctx, uri); err != nil {
		return err
	}
	if err := storage.Probe(ctx, s.store); err != nil {
		return err
	}
	text, err := checkpoint.ReadRun(ctx, s.store, s.plan.Run)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	spec, err := ddpm.DecodeSpec(text)
	if err != nil {
		return fmt.Errorf("run %s in %s: %w; choose another --run", s.plan.Run, s.store, err)
	}
	s.existing = true
	if s.plan, err = s.config.Continue(spec); err != nil {
		return UsageError{err}
	}
	return s.findCheckpoint(ctx)
}

// findCheckpoint finds the newest checkpoint whose every object is whole.
func (s *start) findCheckpoint(ctx context.Context) error {
	m, skipped, err := checkpoint.NewestLoadable(ctx, s.store, s.plan.Run, func(m checkpoint.Manifest) error {
		return checkpoint.Verify(ctx, s.store, m)
	})
	for _, k := range skipped {
		s.log.Warn("skipped a checkpoint", "step", k.Step, "reason", k.Reason)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	s.newest, s.resumes = m, true
	s.loss, err = lossAt(ctx, s.store, s.plan.Run, m.Step)
	return err
}

// openDataset checks that the data is there and is what the run was started
// with.
func (s *start) openDataset(ctx context.Context) error {
	spec := &s.plan.Spec
	uri := spec.Dataset
	if s.existing && s.config.Given("dataset") {
		uri = s.config.Dataset
	}
	data, err := dataset.Open(ctx, uri, ddpm.Want(spec.Model))
	if err != nil {
		return err
	}
	found := *spec
	found.Dataset, found.DatasetDigest, found.DatasetLen = data.URI(), data.Digest(), data.Len()
	if s.existing {
		if err := config.Conflict(s.plan.Run, found, *spec); err != nil {
			return UsageError{err}
		}
	}
	*spec = found
	return nil
}

// makeDataDir returns how to take back what a failed start leaves in the data
// dir: all of it, if it was not there before.
func (s *start) makeDataDir() (undo func()) {
	dir := s.config.DataDir
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return func() {}
	}
	return func() {
		if s.existing {
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			s.log.Warn("can't remove what the failed start left", "dir", dir, "err", err)
		}
	}
}

func (s *start) openEtcd(ctx context.Context) (*registry.Etcd, error) {
	if len(s.config.Etcd) > 0 {
		return registry.Dial(ctx, s.config.Etcd)
	}
	return registry.Embed(ctx, filepath.Join(s.config.DataDir, "etcd"))
}

// who names this process to another coordinator that wants the same run.
func who(l net.Listener) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("the coordinator at %s on %s, pid %d", l.Addr(), host, os.Getpid())
}

// lead serves the run under a leadership until it ends.
func (s *start) lead(ctx context.Context, leader *registry.Leader, listener, web net.Listener) (end core.End, err error) {
	var last core.Generation
	if _, err := leader.Generation(ctx, &last); err != nil {
		return end, err
	}
	runID, err := leader.RunID(ctx)
	if err != nil {
		return end, err
	}
	spec, err := s.plan.Spec.Encode()
	if err != nil {
		return end, err
	}
	if !s.existing {
		if err := checkpoint.CreateRun(ctx, s.store, s.plan.Run, spec); err != nil {
			return end, err
		}
		s.existing = true
	}
	metrics, err := checkpoint.OpenMetrics(ctx, s.store, s.plan.Run, s.newest.Step+1)
	if err != nil {
		return end, err
	}
	keeper := &keeper{store: s.store, run: s.plan.Run, spec: s.plan.Spec, metrics: metrics}
	l := s.newLoop(leader, last.Number, runID, spec, keeper)
	end, err = s.serve(ctx, l, listener, web)
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return end, errors.Join(err, keeper.flush(flush))
}

func (s *start) newLoop(leader *registry.Leader, generation uint64, runID string, spec []byte, k *keeper) *loop {
	var newest *CheckpointState
	if s.resumes {
		newest = &CheckpointState{s.newest.Step, s.newest.Digest}
	}
	return &loop{
		machine: core.New(core.Config{
			Workers: s.config.Workers, MinWorkers: s.config.MinWorkers, Patience: patience,
			Shards: s.plan.Spec.Shards(), StartStep: s.newest.Step, FromCheckpoint: s.resumes,
			Generation: generation, Silence: silence,
			Version: ddpmcluster.Version(), Build: ddpmcluster.Fingerprint(),
		}),
		registry: leader,
		plan: welcome{
			run: s.plan.Run, runID: runID, storage: s.store.String(), spec: spec,
			steps: s.plan.Steps, checkpointEvery: s.plan.CheckpointEvery, threads: s.config.Threads,
		},
		keeper:   k,
		progress: newProgress(s.console, s.log, s.newest.Step, s.plan.Steps),
		log:      s.log,
		sessions: map[string]*session{},
		parts:    map[uint64]map[string]*ddpmv1.PartSaved{},
		outcomes: make(chan outcome),
		work:     &errgroup.Group{},
		view:     newView(s.plan.Run, s.newest.Step, s.plan.Steps, newest),
	}
}

// serve takes workers' sessions and runs the loop, until the run ends and nothing
// that belongs to it is left.
func (s *start) serve(ctx context.Context, l *loop, listener, web net.Listener) (core.End, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, done := make(chan sessionEvent), make(chan struct{})
	srv := &server{events: events, done: done, why: func(_ *ddpmv1.Hello, err error) error { return err }}
	address := joinAddress(listener)
	s.announce(address)
	if s.config.Local {
		workers, err := startLocal(ctx, s.config.Workers, s.options.Worker, address, s.config.Threads, s.console, s.config.Verbose)
		if err != nil {
			return core.End{}, err
		}
		defer workers.end()
		l.local, srv.why = workers.lost, workers.why
	}
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(16),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	ddpmv1.RegisterCoordinatorServer(g, srv)
	var serving errgroup.Group
	serving.Go(func() error { return g.Serve(listener) })
	if web != nil {
		defer serveHTTP(web, l.view)()
		s.log.Info("status", "at", fmt.Sprintf("http://%s/api/status", web.Addr()))
	}
	end, err := l.run(ctx, events, s.options.Interrupts)
	if err != nil {
		cancel() // children and uploads end at once
	}
	_ = l.work.Wait() // its outcomes came as events
	close(done)
	s.stopServer(g)
	return end, errors.Join(err, serving.Wait())
}

// stopServer lets sessions send what they hold, for a bounded time.
func (s *start) stopServer(g *grpc.Server) {
	timer := time.AfterFunc(exitGrace, g.Stop)
	defer timer.Stop()
	g.GracefulStop()
}

// announce says how workers join.
func (s *start) announce(address string) {
	s.log.Info("run", "run", s.plan.Run, "preset", s.plan.Spec.Preset, "parameters", s.plan.Spec.Model.ParamCount(),
		"dataset", s.plan.Spec.Dataset, "examples", s.plan.Spec.DatasetLen, "from", s.newest.Step, "to", s.plan.Steps, "storage", s.store)
	if s.config.Local {
		return
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() {
			s.log.Warn("this version has no TLS: whoever reaches the port can join; use it on a network that you trust", "listen", address)
		}
	}
	fmt.Fprintf(s.console, "waiting for %d workers; start each with:\n\n    ddpm-worker --join %s\n\n", s.config.Workers, address)
}

// joinAddress is the listener's address as another machine dials it.
func joinAddress(l net.Listener) string {
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok || !address.IP.IsUnspecified() {
		return l.Addr().String()
	}
	host := "127.0.0.1"
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		addresses = nil
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			host = n.IP.String()
			break
		}
	}
	return net.JoinHostPort(host, fmt.Sprint(address.Port))
}

// lossAt reads the loss of a completed step from the run's metrics; 0 where they
// don't have it.
func lossAt(ctx context.Context, st storage.Store, run string, step uint64) (float64, error) {
	r, _, err := st.Get(ctx, checkpoint.MetricsKey(run))
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for d := json.NewDecoder(r); ; {
		var line metricLine
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return 0, nil
		} else if err != nil {
			return 0, fmt.Errorf("metrics of run %s: %w", run, err)
		}
		if line.Step == step {
			return line.Loss, nil
		}
	}
}

// OneLine puts an error on one line, as a command prints it.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
	"github.com/ddpm-cluster/ddpm-cluster/internal/profiling"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// lead serves the run under a leadership until it ends.
func (s *start) lead(ctx context.Context, leader *registry.Leader) (end core.End, err error) {
	var last core.Generation
	if _, err := leader.Generation(ctx, &last); err != nil {
		return end, err
	}
	identify := leader.RunID
	if !s.existing {
		// Workers that still train in a run that had this name, with another config perhaps, are
		// none of this one's. Only their generation's number stays: theirs are refused by it.
		identify, last.Members = leader.NewRunID, nil
	}
	runID, err := identify(ctx)
	if err != nil {
		return end, err
	}
	spec, err := s.plan.Spec.Encode()
	if err != nil {
		return end, err
	}
	if !s.existing {
		err := checkpoint.CreateRun(ctx, s.store, s.plan.Run, spec)
		if errors.Is(err, storage.ErrExists) {
			return end, fmt.Errorf("run %s in %s: another coordinator has just made it; choose another --run", s.plan.Run, s.store)
		}
		if err != nil {
			return end, err
		}
		s.existing = true
	}
	config, err := checkpoint.ConfigHash(ctx, s.store, s.plan.Run)
	if err != nil {
		return end, err
	}
	if err := s.begin(ctx); err != nil {
		return end, err
	}
	fenced := storage.Fenced(s.store, leader.Check)
	store := storage.Patient(fenced, storePatience, s.log)
	metrics, err := checkpoint.OpenMetrics(ctx, store, s.plan.Run, s.newest.Step+1)
	if err != nil {
		return end, err
	}
	keeper := &keeper{
		store: store, run: s.plan.Run, spec: s.plan.Spec, config: config, metrics: metrics, log: s.log,
		retention: checkpoint.Retention{Last: s.config.KeepLast, Every: s.config.KeepEvery},
	}
	if s.config.TensorBoard {
		keeper.board = newBoard(ctx, fenced, s.plan.Run, s.newest.Step+1, s.log)
	}
	l := s.newLoop(leader, last, runID, spec, keeper)
	return s.serve(ctx, l)
}

func (s *start) newLoop(leader *registry.Leader, last core.Generation, runID string, spec []byte, k *keeper) *loop {
	var newest *report.Checkpoint
	if s.resumes {
		newest = &report.Checkpoint{Step: s.newest.Step, Digest: s.newest.Digest}
		for _, o := range s.newest.Objects {
			newest.Bytes += o.Size
			newest.Picture = newest.Picture || o.Key == checkpoint.SamplesKey
		}
	}
	view := newView(s.plan.Run, s.newest.Step, s.plan.Steps, newest, s.plan.Spec.Model.MACs(), s.security.counts, s.measured()...)
	if !s.config.Local { // whose workers end with their coordinator
		view.members = last.Members
		view.status.HalvingElems, view.status.AllReduce = last.HalvingElems, last.AllReduce
	}
	machine := core.Config{
		Workers: s.config.Workers, MinWorkers: s.config.MinWorkers, Patience: s.options.limits.patience,
		Shards: s.plan.Spec.Shards(), Groups: s.plan.Spec.Local.Groups, Steps: s.plan.Steps, CheckpointEvery: s.plan.CheckpointEvery,
		StartStep: s.newest.Step, HasCheckpoint: s.resumes,
		// Local workers end with their coordinator.
		Last: last, Adopt: !s.config.Local, AdoptPatience: s.options.limits.adopt,
		Heartbeat: s.options.limits.heartbeat, Silence: s.options.limits.silence, MaxSkipped: s.config.MaxSkipped,
		Elems: s.plan.Spec.Model.ParamCount(), Version: ddpmcluster.Version(), Build: ddpmcluster.Fingerprint(),
	}
	limits := s.options.limits
	if len(s.config.Etcd) == 0 || s.config.Local { // then no other coordinator can lead, or has the workers
		limits.alone = 0
	}
	return &loop{
		config:   machine,
		machine:  core.New(machine),
		registry: leader,
		plan: welcome{
			run: s.plan.Run, runID: runID, storage: s.store.String(), spec: spec,
			compareEvery: s.config.CompareEvery, threads: s.config.Threads,
		},
		tracer:    s.tracer,
		limits:    limits,
		handOver:  s.config.HandOver,
		keeper:    k,
		progress:  newProgress(s.console, s.log, s.newest.Step, s.plan.Steps),
		where:     s.where,
		log:       s.log,
		sessions:  map[string]*session{},
		leases:    newLeases(leader, s.log),
		persisted: make(chan stored),
		examined:  make(chan examination),
		over:      make(chan struct{}),
		named:     highest(last),
		publisher: newPublisher(k),
		newest:    newest,
		pulse:     health.NewPulse("the coordinator's loop"),
		view:      view,
	}
}

// highest is the number of the last name among a generation's members.
func highest(g core.Generation) int {
	most := 0
	for _, m := range g.Members {
		if n, err := strconv.Atoi(strings.TrimPrefix(m.Worker, "w")); err == nil {
			most = max(most, n)
		}
	}
	return most
}

// serve takes workers' sessions and runs the loop, until the run ends and nothing
// that belongs to it is left.
func (s *start) serve(ctx context.Context, l *loop) (core.End, error) {
	listener := s.listener
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, done := make(chan sessionEvent), make(chan struct{})
	srv := &server{
		events: events, done: done, helloLimit: s.options.limits.hello,
		why: func(_ *ddpmv1.Hello, err error) error { return err },
	}
	address := joinAddress(listener)
	s.outlet.leads(l.pulse.Check, l.view.metrics.Handler())
	s.announce(address)
	// Workers on this machine end by themselves, and may be sending their last spans when
	// all else of the run is over.
	local, endLocal := context.WithCancel(context.WithoutCancel(ctx))
	defer endLocal()
	if s.config.Local {
		workers, err := startLocal(local, s.config.Workers, s.options.Worker, s.security.local(), address, s.config.Threads, s.console, s.format, s.config.Verbose)
		if err != nil {
			return core.End{}, err
		}
		defer workers.end()
		l.local, l.children, srv.why = workers.lost, s.config.Workers, workers.why
	}
	look := looks{l.view, s.store, s.plan.Run, s.showing()}
	defer look.data.close()
	defer s.recall(ctx, l.view)()
	g := newServer(srv, s.security.options()...)
	s.security.register(g)
	over := make(chan struct{})
	ddpmv1.RegisterStatusServer(g, newStatusServer(look, over))
	s.pool.server.Register(g)
	var serving errgroup.Group
	serving.Go(func() error { return g.Serve(s.security.guard(listener)) })
	for _, port := range s.webs {
		secured, scheme := s.security.web(port)
		defer web.Serve(secured, s.log, l.pulse.Check, look, http.HandlerFunc(s.outlet.metrics), s.pool.server.Handle)()
		s.log.Info("dashboard", "at", fmt.Sprintf("%s://%s/", scheme, port.Addr()))
	}
	defer s.serveProfiles()()
	s.begun()
	end, err := l.run(ctx, events, s.options.Interrupts)
	if err != nil {
		cancel() // uploads end at once
	}
	if end.OK {
		s.keep()
	}
	close(done)
	s.settle(ctx, cancel, l)
	if ctx.Err() != nil { // told so again, or out of patience
		endLocal()
	}
	cancel()
	s.pool.close()
	close(over) // those who look on hear the last word
	stopServer(g, err == nil)
	err = errors.Join(err, serving.Wait())
	srv.readers.Wait()
	if err != nil {
		return end, fmt.Errorf("%w%s", err, l.resume())
	}
	if !end.OK {
		end.Reason += l.resume()
	}
	return end, nil
}

// serveProfiles answers at the port of --pprof, if there is one, until stop is called.
func (s *start) serveProfiles() (stop func()) {
	if s.profiles == nil {
		return func() {}
	}
	s.log.Info("profiles, to administrators", "at", s.profiles.Addr())
	return profiling.Serve(s.security.profiles(s.profiles))
}

func newServer(srv *server, security ...grpc.ServerOption) *grpc.Server {
	g := newGRPC(security...)
	ddpmv1.RegisterCoordinatorServer(g, srv)
	return g
}

// inboundWindow is how much a worker may send before it is read. That it is fixed also keeps
// gRPC from measuring each connection, by a ping for every message.
const inboundWindow = 1 << 20

func newGRPC(options ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(options,
		grpc.InitialWindowSize(inboundWindow), grpc.InitialConnWindowSize(inboundWindow), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(16), grpc.WaitForHandlers(true),
		// Workers that are gone are noticed by the loop; this lets their connections go.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)...)
}

// settle lets the loop end what is under way, for a bounded time or until one more
// interrupt, and keeps the metrics up to here.
func (s *start) settle(ctx context.Context, cancel context.CancelFunc, l *loop) {
	defer onInterrupt(s.options.Interrupts, cancel)()
	defer time.AfterFunc(s.options.limits.settle, cancel).Stop()
	l.settle(ctx)
	defer l.publisher.wait() // last, since it may use up the time that is left
	defer l.keeper.board.close(ctx)
	select {
	case <-l.registry.Lost():
		cancel() // the metrics and the old checkpoints are another coordinator's now
		return
	case <-ctx.Done():
		return
	default:
	}
	if err := l.keeper.metrics.Finish(ctx); err != nil {
		s.log.Warn("the metrics since the newest checkpoint are not stored", "err", err)
	}
}

// stopServer lets sessions send what they hold, for a short time.
func stopServer(g *grpc.Server, patient bool) {
	grace := exitGrace
	if !patient {
		grace = 200 * time.Millisecond
	}
	timer := time.AfterFunc(grace, g.Stop)
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
	workers := fmt.Sprintf("%d workers; start each", s.config.Workers)
	if s.config.Workers == 1 {
		workers = "1 worker; start it"
	}
	fmt.Fprintf(s.console, "waiting for %s with:\n\n    ddpm-worker --join %s %s\n\n", workers, address, s.security.joinFlags(s.console.tty))
	if config.Loopback(address) {
		fmt.Fprint(s.console, "That is for this machine. For others, start with --listen HOST:PORT, an address that they reach.\n\n")
	}
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

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/metrics"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// samplePool keeps the queue of the sampling pool whenever no other coordinator at the
// same etcd does.
type samplePool struct {
	server  *pool.Server
	cancel  context.CancelFunc
	keeping sync.WaitGroup
}

// openPool begins to keep the pool beside whatever else the coordinator does.
func (s *start) openPool(ctx context.Context, etcd *registry.Etcd) *samplePool {
	p := &samplePool{server: pool.New(pool.Config{Store: s.store, Build: ddpmcluster.Fingerprint(), Log: s.log, Tracer: s.tracer})}
	ctx, p.cancel = context.WithCancel(ctx)
	p.keeping.Go(func() {
		for ctx.Err() == nil {
			if err := s.leadPool(ctx, p.server, etcd); err != nil && ctx.Err() == nil {
				s.log.Warn("can't serve the sampling pool; trying again", "err", err)
				pause(ctx, s.options.limits.retry)
			}
		}
	})
	return p
}

// measured is what a coordinator's metrics have beside those of a run.
func (s *start) measured() []prometheus.Collector {
	return []prometheus.Collector{metrics.Pool(s.pool.server.Load), s.asked}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// leadPool waits for the leadership of the pool and serves it while it lasts.
func (s *start) leadPool(ctx context.Context, server *pool.Server, etcd *registry.Etcd) error {
	leader, err := registry.FollowPool(ctx, etcd, who(s.config.Listen))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-leader.Lost():
			cancel()
		case <-stop:
		}
	})
	err = server.Lead(ctx, leader)
	close(stop)
	watching.Wait()
	if cerr := leader.Close(); cerr != nil { // it is free when its lease ends
		s.log.Warn("can't leave the sampling pool as it should be", "err", cerr)
	}
	return err
}

// close ends what waits for the pool and gives it up.
func (p *samplePool) close() {
	p.server.Close()
	p.cancel()
	p.keeping.Wait()
}

// serveSamples serves the sampling pool alone, until an interrupt.
func serveSamples(ctx context.Context, o Options) (err error) {
	s := newStart(o)
	defer s.console.end()
	defer s.trace(ctx)()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer onInterrupt(o.Interrupts, func() { cancel(errInterruptedEarly) })()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errInterruptedEarly) {
			err = errInterruptedEarly // and not what broke by it
		}
	}()
	defer s.close()
	stop, err := s.openOutlet()
	if err != nil {
		return err
	}
	defer stop()
	if err := s.listen(); err != nil {
		return err
	}
	if s.store, err = storage.Open(ctx, s.config.Storage); err != nil {
		return err
	}
	if err := storage.Probe(ctx, s.store, s.log); err != nil {
		return err
	}
	s.store = storage.Observed(s.store, s.asked)
	etcd, err := s.openEtcd(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := etcd.Close(); err != nil {
			s.log.Warn("can't close etcd", "err", err)
		}
	}()
	if err := s.openSecurity(ctx, etcd, s.listener); err != nil {
		return err
	}
	defer s.security.close()
	s.pool = s.openPool(ctx, etcd)
	defer s.pool.close()
	defer s.serveProfiles()()
	return s.servePool(ctx)
}

// trainsNothing answers what asks for a run, a worker or people.
func trainsNothing(_ any, call grpc.ServerStream) error {
	advice := "start the worker with --role sample"
	if method, _ := grpc.MethodFromServerStream(call); strings.HasPrefix(method, "/"+ddpmv1.Status_ServiceDesc.ServiceName+"/") {
		advice = "ddpmctl jobs list shows its jobs"
	}
	return status.Error(codes.FailedPrecondition, "this coordinator trains nothing and serves the sampling pool alone; "+advice)
}

// servePool answers until ctx ends.
func (s *start) servePool(ctx context.Context) error {
	g := newGRPC(append(s.security.options(), grpc.UnknownServiceHandler(trainsNothing))...)
	s.security.register(g)
	s.pool.server.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(s.security.guard(s.listener)) }()
	shown := metrics.WithoutRun(s.measured()...)
	s.outlet.leads(func() error { return nil }, shown)
	for _, port := range s.webs {
		secured, scheme := s.security.web(port)
		// Each answer is its own: there is no loop that could stop.
		defer web.Serve(secured, s.log, nil, nil, shown, s.pool.server.Handle)()
		s.log.Info("jobs over HTTP", "at", fmt.Sprintf("%s://%s/api/samples", scheme, port.Addr()))
	}
	address := joinAddress(s.listener)
	s.log.Info("serving the sampling pool", "at", address, "storage", s.store)
	fmt.Fprintf(s.console, "waiting for sampling workers; start each with:\n\n    ddpm-worker --role sample --join %s %s\n\n", address, s.security.joinFlags(s.console.tty))
	if config.Loopback(address) {
		fmt.Fprint(s.console, "That is for this machine. For others, start with --listen HOST:PORT, an address that they reach.\n\n")
	}
	select {
	case err := <-served: // before it was asked to
		return fmt.Errorf("the port is lost: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("ending; jobs that are not done go on when a coordinator serves the pool again")
	s.pool.close()
	stopServer(g, true)
	return <-served
}

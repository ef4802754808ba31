package coordinator

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/metrics"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
)

// outlet is what a program may see of the coordinator without being an administrator:
// its metrics, and whether it is alive. It is there from the process' start, so also
// where a standby waits, which is alive and says that its run is not complete: whoever
// remembers that one before it was must not take this one's end for the same.
type outlet struct {
	leader  atomic.Pointer[leading] // nil until it leads
	waiting http.Handler            // the metrics until then
	// asked says that somebody collects the metrics, here or at a port of --http.
	asked atomic.Bool
	// answered is told of each answer with metrics while somebody waits for one.
	answered chan struct{}
}

func newOutlet() *outlet {
	return &outlet{waiting: metrics.WithoutRun(metrics.Complete(false)), answered: make(chan struct{})}
}

// leading is a coordinator that leads, as an outlet shows it.
type leading struct {
	alive   func() error
	metrics http.Handler
}

// openOutlet opens the port of --metrics, if there is one.
func (s *start) openOutlet() (stop func(), err error) {
	if s.config.Metrics == "" {
		return func() {}, nil
	}
	l, err := listen("--metrics", s.config.Metrics)
	if err != nil {
		return nil, err
	}
	s.log.Info("metrics, to whoever asks", "at", l.Addr())
	return health.Serve(l, s.log, s.outlet.alive, func(mux *http.ServeMux) { mux.HandleFunc("GET /metrics", s.outlet.metrics) }), nil
}

// leads has the outlet show what leads from now on.
func (o *outlet) leads(alive func() error, metrics http.Handler) {
	o.leader.Store(&leading{alive, metrics})
}

// complete has it show that the run is, where it was before this process began.
func (o *outlet) complete() {
	o.leads(func() error { return nil }, metrics.WithoutRun(metrics.Complete(true)))
}

func (o *outlet) alive() error {
	if l := o.leader.Load(); l != nil {
		return l.alive()
	}
	return nil
}

func (o *outlet) metrics(w http.ResponseWriter, r *http.Request) {
	shown := o.waiting
	if l := o.leader.Load(); l != nil {
		shown = l.metrics
	}
	shown.ServeHTTP(w, r)
	o.asked.Store(true)
	select {
	case o.answered <- struct{}{}:
	default:
	}
}

// keep holds the ports of --http open past the end of what is served there, for farewell.
func (s *start) keep() {
	if !s.outlet.asked.Load() {
		return
	}
	for _, port := range s.webs {
		l, err := again(port)
		if err != nil {
			s.log.Warn("the metrics are not there to the end", "at", port.Addr(), "err", err)
			continue
		}
		s.kept = append(s.kept, l)
	}
}

// again is a listener that stays when the one that it is made of is closed.
func again(l net.Listener) (net.Listener, error) {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("%T is not TCP", l)
	}
	f, err := t.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// farewell waits, for a bounded time or until an interrupt, for whoever collects metrics
// to hear that the run is complete: a coordinator that is gone then is not down. Where nobody
// has asked before, nobody is waited for.
func (s *start) farewell(ctx context.Context) {
	if !s.outlet.asked.Load() {
		return
	}
	for _, port := range s.kept {
		secured, _ := s.security.web(port)
		defer web.Serve(secured, s.log, nil, nil, http.HandlerFunc(s.outlet.metrics))()
	}
	s.begun() // interrupts are for this from here on
	ctx, cancel := context.WithTimeout(ctx, s.options.limits.farewell)
	defer cancel()
	defer onInterrupt(s.options.Interrupts, cancel)()
	s.log.Info("waiting until the metrics are asked for once more", "for", s.options.limits.farewell)
	select {
	case <-s.outlet.answered:
	case <-ctx.Done():
	}
}

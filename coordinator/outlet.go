package coordinator

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
)

// outlet is what a program may see of the coordinator without being an administrator:
// its metrics, and whether it is alive. It is there from the process' start, so also
// where a standby waits, which is alive and has no metrics.
type outlet struct {
	leader atomic.Pointer[leading] // nil until it leads
	// asked says that somebody collects the metrics.
	asked atomic.Bool
	// answered is told of each answer with metrics while somebody waits for one.
	answered chan struct{}
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
	s.outlet.answered = make(chan struct{})
	s.log.Info("metrics, to whoever asks", "at", l.Addr())
	return health.Serve(l, s.outlet.alive, func(mux *http.ServeMux) { mux.HandleFunc("GET /metrics", s.outlet.metrics) }), nil
}

// leads has the outlet show what leads from now on.
func (o *outlet) leads(alive func() error, metrics http.Handler) {
	o.leader.Store(&leading{alive, metrics})
}

func (o *outlet) alive() error {
	if l := o.leader.Load(); l != nil {
		return l.alive()
	}
	return nil
}

func (o *outlet) metrics(w http.ResponseWriter, r *http.Request) {
	if l := o.leader.Load(); l != nil {
		l.metrics.ServeHTTP(w, r)
		o.asked.Store(true)
		select {
		case o.answered <- struct{}{}:
		default:
		}
	}
}

// farewell waits, for a bounded time or until an interrupt, for whoever collects metrics
// to hear that the run is complete: a coordinator that is gone then is not down. Where nobody
// has asked before, nobody is waited for.
func (s *start) farewell(ctx context.Context) {
	if s.config.Metrics == "" || !s.outlet.asked.Load() {
		return
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

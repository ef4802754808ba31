package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

const (
	// DefaultLease is how long a worker that says nothing keeps its task.
	DefaultLease = 10 * time.Second
	// waitLimit bounds how long a worker waits for a task in one call.
	waitLimit = 20 * time.Second
	// leadLimit is how long a call waits for a coordinator that is about to lead.
	leadLimit = 3 * time.Second
)

// Keys is where the queue is kept while this coordinator leads the pool; package
// registry's Pool is the real one. What Put and Delete have answered stays, whatever
// becomes of the coordinator.
type Keys interface {
	Put(ctx context.Context, key string, value any) error
	Delete(ctx context.Context, prefix string) error
	Each(ctx context.Context, prefix string, do func(key string, value []byte) error) error
}

// Config is what a Server needs.
type Config struct {
	// Store has the runs, and gets what is drawn.
	Store storage.Store
	// Build is this program's: it takes workers of the same alone.
	Build string
	// Lease is how long a worker that says nothing keeps its task; 0 is DefaultLease.
	Lease time.Duration
	Log   *slog.Logger
	// Tracer draws a span of each task that is handed out; nil draws none.
	Tracer *tracing.Tracer
}

// Server serves the pool to workers and administrators while it leads.
type Server struct {
	config Config
	// over ends the calls that wait.
	over context.Context
	end  context.CancelFunc

	mu sync.Mutex
	// queue and keys are there while this server leads.
	queue *Queue
	keys  Keys
	// number is the last job's.
	number uint64
	// changed is closed and replaced when something in the queue has changed.
	changed chan struct{}
	rates   map[string]rate
	// work is what was done since the server was made.
	work Work

	// shown is for Load.
	shown struct {
		backlog atomic.Pointer[Backlog]
		work    atomic.Pointer[Work]
	}
}

// New makes a server that does not lead yet.
func New(c Config) *Server {
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	s := &Server{config: c, changed: make(chan struct{}), work: newWork()}
	s.worked(func(Work) {})
	s.over, s.end = context.WithCancel(context.Background())
	return s
}

// Register adds the pool's services.
func (s *Server) Register(g grpc.ServiceRegistrar) {
	ddpmv1.RegisterPoolServer(g, workers{s: s})
	ddpmv1.RegisterJobsServer(g, jobs{s: s})
}

// Close ends the calls that wait, so that the gRPC server can stop.
func (s *Server) Close() { s.end() }

// Lead reads the queue and serves it until ctx ends.
func (s *Server) Lead(ctx context.Context, keys Keys) error {
	if err := s.load(ctx, keys); err != nil {
		return err
	}
	defer s.resign()
	tick := time.NewTicker(min(2*time.Second, s.config.Lease/4))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.expire(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) resign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.keys = nil, nil
	s.wake()
}

// wake tells whoever waits or looks that something has changed. s.mu is held.
func (s *Server) wake() {
	s.shown.backlog.Store(s.queue.Backlog())
	close(s.changed)
	s.changed = make(chan struct{})
}

// expire takes back what was silent for too long.
func (s *Server) expire(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil {
		return
	}
	for _, r := range s.queue.Expired(time.Now()) {
		t := s.queue.Task(r)
		s.config.Log.Warn("a sampling worker is silent; its task goes to another", "job", r.Job, "task", r.Number, "worker", t.Worker)
		t.Lease, t.Worker = "", ""
		if err := s.change(ctx, r, t); err != nil {
			s.config.Log.Warn("can't take a task back; trying again", "job", r.Job, "task", r.Number, "err", err)
			return
		}
		s.queue.Silenced(r.Job, time.Now())
		s.worked(func(w Work) { w.Leases[TaskExpired]++ })
	}
}

// change gives a task another state, in etcd first. s.mu is held.
func (s *Server) change(ctx context.Context, r Ref, t Task) error {
	if err := s.keys.Put(ctx, taskKey(r), t); err != nil {
		return err
	}
	s.queue.Changed(r, t, time.Now().Add(s.config.Lease))
	s.wake()
	return nil
}

// conclude ends a job. s.mu is held.
func (s *Server) conclude(ctx context.Context, id string, state State, reason string) error {
	r, ok := s.queue.Find(id)
	if !ok || r.State != Open {
		return nil
	}
	r = r.ended(state, reason)
	if err := s.keys.Put(ctx, jobKey(id), r); err != nil {
		return err
	}
	s.queue.Submitted(r)
	s.wake()
	s.tellEnd(r)
	// What stays behind of its tasks goes when the queue is next read.
	if err := s.keys.Delete(ctx, tasksPrefix(id)); err != nil {
		s.config.Log.Warn("can't clear a sampling job's tasks; they are cleared when the pool is next taken up", "job", id, "err", err)
	}
	return nil
}

// ended is the record of the job with its end.
func (r Record) ended(state State, reason string) Record {
	r.State, r.Reason, r.Ended = state, reason, time.Now().UTC().Truncate(time.Millisecond)
	return r
}

func (s *Server) tellEnd(r Record) {
	s.config.Log.Info("a sampling job has ended", "job", r.ID, "state", r.State, "reason", r.Reason)
}

// leading locks the server and fails, unlocked, where it does not lead and does not
// come to it soon.
func (s *Server) leading(ctx context.Context) error {
	for until := time.Now().Add(leadLimit); ; {
		s.mu.Lock()
		if s.queue != nil {
			return nil
		}
		changed := s.changed
		s.mu.Unlock()
		left := time.Until(until)
		if left <= 0 {
			return status.Error(codes.Unavailable, "this coordinator has no sampling pool now: it is starting or ending, or another one has it")
		}
		if err := s.wait(ctx, changed, left); err != nil {
			return err
		}
	}
}

// unavailable is a failure of etcd, to the caller: trying again may help.
func unavailable(err error) error {
	return status.Error(codes.Unavailable, fmt.Sprintf("the queue of jobs can't be written now: %v", err))
}

// errOver says that the server ends.
var errOver = errors.New("the coordinator is ending")

// wait waits for a change, for a time, or for the end of the call or the server.
func (s *Server) wait(ctx context.Context, changed <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.over.Done():
		return status.Error(codes.Unavailable, errOver.Error())
	}
}

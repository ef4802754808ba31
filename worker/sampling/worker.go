package sampling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

const (
	// storePatience is how long a Store that fails is tried again.
	storePatience = 10 * time.Minute
	// callLimit bounds a call to the coordinator that does not wait for work, takeLimit
	// one that does.
	callLimit = 5 * time.Second
	takeLimit = time.Minute
	// pause lies between two calls to coordinators that do not answer.
	pause = 500 * time.Millisecond
	// endLimit bounds the calls of a worker that was asked to end.
	endLimit = 5 * time.Second
	// mostRest bounds how long a worker rests after a task that its machine can't do.
	mostRest = 10 * time.Second
)

// Config is how a worker of the pool is started.
type Config struct {
	// Name is this worker's, to people.
	Name string
	// Build is this program's.
	Build   string
	Threads int
	// Away is how long no coordinator may answer.
	Away time.Duration
	// Pulse beats while the worker asks for tasks or keeps one; nil is that nobody looks.
	Pulse *health.Pulse
	Log   *slog.Logger
	// Tracer draws a span of each task; nil draws none.
	Tracer *tracing.Tracer
}

// worker is one worker's state. It serves one goroutine.
type worker struct {
	config Config
	pools  []ddpmv1.PoolClient
	pool   *kernel.Pool
	stores map[string]storage.Store
	// models are the checkpoints in memory, the one used last at the end.
	models []*model
	images heldOut
	// refused counts the tasks that this machine could not do since one that it did.
	refused int
}

// Run draws what the coordinators of the pools hand out, of whom one leads, until ctx
// ends, which is no error. It fails where no coordinator answers for too long, or the
// Store does not.
func Run(ctx context.Context, c Config, pools []ddpmv1.PoolClient) error {
	w := &worker{config: c, pools: pools, pool: kernel.NewPool(c.Threads), stores: map[string]storage.Store{}}
	defer w.pool.Close()
	defer w.closeImages()
	for {
		lease, err := w.take(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if lease == nil {
			continue
		}
		if err := w.serve(ctx, lease); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// take waits for a task.
func (w *worker) take(ctx context.Context) (*ddpmv1.Lease, error) {
	var r *ddpmv1.TakeTaskResponse
	err := w.call(ctx, takeLimit, func(ctx context.Context, p ddpmv1.PoolClient) (err error) {
		r, err = p.TakeTask(ctx, &ddpmv1.TakeTaskRequest{Worker: w.config.Name, Build: w.config.Build})
		return err
	})
	return r.GetLease(), err
}

// call calls the coordinator that leads the pool, for as long as none may answer.
func (w *worker) call(ctx context.Context, limit time.Duration, do func(context.Context, ddpmv1.PoolClient) error) error {
	begin, told := time.Now(), false
	for {
		err := w.once(ctx, limit, do)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case !passing(err):
			return plain(err)
		case time.Since(begin) > w.config.Away:
			return fmt.Errorf("no coordinator has answered for %v: %w; check that it runs, then start this worker again", w.config.Away, plain(err))
		case !told:
			told = true
			w.config.Log.Info("the coordinator does not answer; trying again", "for", w.config.Away, "reason", plain(err))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once calls each coordinator until one answers.
func (w *worker) once(ctx context.Context, limit time.Duration, do func(context.Context, ddpmv1.PoolClient) error) (err error) {
	for _, p := range w.pools {
		w.config.Pulse.Beat()
		limited, cancel := context.WithTimeout(ctx, limit)
		err = do(limited, p)
		cancel()
		if err == nil || !passing(err) {
			return err
		}
	}
	return err
}

// passing says that a call may go well later.
func passing(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled, codes.ResourceExhausted:
		return true
	}
	return false
}

func plain(err error) error { return errors.New(status.Convert(err).Message()) }

// errLeaseOver ends a task that somebody else has now.
var errLeaseOver = errors.New("the lease is over")

// serve does a task under its lease. An error is this worker's end.
func (w *worker) serve(ctx context.Context, l *ddpmv1.Lease) error {
	log := w.config.Log.With("job", l.GetJobId(), "task", l.GetTask())
	begin := time.Now()
	stages, err := w.underLease(ctx, l)
	w.trace(l, begin, stages, err)
	switch {
	case err == nil:
		w.refused = 0
		log.Debug("finished a task", "images", l.GetCount(), "seconds", time.Since(begin).Seconds())
		return w.finish(ctx, l)
	case errors.Is(err, errLeaseOver):
		log.Info("stopped drawing", "reason", err)
		return nil
	case ctx.Err() != nil:
		log.Info("asked to end; the task goes to another worker")
		w.giveBack(ctx, l, "", false)
		return nil
	case errors.As(err, new(fault)):
		log.Warn("a task failed", "err", err)
		w.giveBack(ctx, l, err.Error(), false)
		return nil
	case errors.Is(err, storage.ErrGaveUp):
		// Without the Store this machine can do no task, and no job is to blame.
		w.giveBack(ctx, l, "", false)
		return fmt.Errorf("task %d of job %s: %w", l.GetTask(), l.GetJobId(), err)
	}
	log.Warn("this machine can't do a task; others are given it", "err", err)
	w.giveBack(ctx, l, err.Error(), true)
	w.rest(ctx)
	return nil
}

// rest waits, the longer the more tasks in a row this machine could not do: one that can
// do none does not call without end, and leaves them to others.
func (w *worker) rest(ctx context.Context) {
	w.refused++
	select {
	case <-time.After(min(time.Duration(w.refused)*time.Second, mostRest)):
	case <-ctx.Done():
	}
}

// underLease does a task while it keeps the lease; errLeaseOver where it is lost. It
// tells what it did.
func (w *worker) underLease(ctx context.Context, l *ddpmv1.Lease) (did stages, err error) {
	drawing, cancel := context.WithCancelCause(ctx)
	var done, of atomic.Int64
	var keeping sync.WaitGroup
	keeping.Go(func() { w.keep(drawing, cancel, l, &done, &of) })
	defer keeping.Wait()
	defer cancel(nil)
	began := time.Now()
	t, err := w.open(drawing, l)
	did.add("load", began, err)
	if err == nil {
		t.stages = &did
		err = t.do(drawing, func(p job.Progress) {
			done.Store(int64(p.Done))
			of.Store(int64(p.Of))
		})
	}
	if err != nil && errors.Is(context.Cause(drawing), errLeaseOver) {
		return did, context.Cause(drawing)
	}
	return did, err
}

// keep renews the lease until the drawing ends, and ends the drawing where it can't.
func (w *worker) keep(drawing context.Context, cancel context.CancelCauseFunc, l *ddpmv1.Lease, done, of *atomic.Int64) {
	every := max(time.Duration(l.GetMilliseconds())*time.Millisecond/5, 100*time.Millisecond)
	tick := time.NewTicker(min(every, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-drawing.Done():
			return
		}
		err := w.once(drawing, callLimit, func(ctx context.Context, p ddpmv1.PoolClient) error {
			_, err := p.KeepTask(ctx, &ddpmv1.KeepTaskRequest{
				JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId(), Done: uint64(done.Load()), Of: uint64(of.Load()),
			})
			return err
		})
		if status.Code(err) == codes.NotFound {
			cancel(fmt.Errorf("%w: %w", errLeaseOver, plain(err)))
			return
		}
	}
}

// finish says that the task is done. A coordinator that does not answer is waited
// for; a worker that is asked to end meanwhile does not wait for long.
func (w *worker) finish(ctx context.Context, l *ddpmv1.Lease) error {
	tell := func(ctx context.Context, p ddpmv1.PoolClient) error {
		_, err := p.FinishTask(ctx, &ddpmv1.FinishTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId()})
		if status.Code(err) == codes.NotFound {
			return nil // the job is forgotten
		}
		return err
	}
	err := w.call(ctx, callLimit, tell)
	if ctx.Err() != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
		defer cancel()
		if err = w.once(late, endLimit, tell); err != nil {
			w.config.Log.Warn("the coordinator does not hear that a task is done; another worker looks after it", "job", l.GetJobId(), "task", l.GetTask(), "err", plain(err))
		}
		return nil
	}
	return err
}

// giveBack gives the task back, if the coordinator hears of it; otherwise the lease
// runs out. machine says that the reason is one of this machine.
func (w *worker) giveBack(ctx context.Context, l *ddpmv1.Lease, reason string, machine bool) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	err := w.once(late, endLimit, func(ctx context.Context, p ddpmv1.PoolClient) error {
		_, err := p.ReturnTask(ctx, &ddpmv1.ReturnTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId(), Reason: reason, Machine: machine})
		return err
	})
	if err != nil {
		w.config.Log.Info("a task can't be given back; its lease runs out", "job", l.GetJobId(), "task", l.GetTask(), "err", plain(err))
	}
}

// store opens a Store, once.
func (w *worker) store(ctx context.Context, uri string) (storage.Store, error) {
	if s, ok := w.stores[uri]; ok {
		return s, nil
	}
	s, err := storage.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	// How create-only is kept there is found out by each process for itself.
	if err := storage.ProbePatiently(ctx, s, storePatience, w.config.Log); err != nil {
		return nil, err
	}
	w.stores[uri] = storage.Patient(s, storePatience, w.config.Log)
	return w.stores[uri], nil
}

package pool

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// maxWords bounds what a worker says of itself or of a failure, in bytes.
const maxWords = 1 << 10

// workers is the service for those who draw.
type workers struct {
	ddpmv1.UnimplementedPoolServer
	s *Server
}

// TakeTask implements ddpmv1.PoolServer.
func (w workers) TakeTask(ctx context.Context, q *ddpmv1.TakeTaskRequest) (*ddpmv1.TakeTaskResponse, error) {
	s := w.s
	if q.GetBuild() != s.config.Build {
		return nil, status.Error(codes.FailedPrecondition, "the worker is of another build than the coordinator, so its images may differ in a bit; install the same version on both")
	}
	name := strings.ToValidUTF8(q.GetWorker(), "")
	if id, err := pki.PeerFrom(ctx); err == nil {
		name = id.Name
	}
	if len(name) > maxWords {
		return nil, status.Error(codes.InvalidArgument, "that is no name of a worker")
	}
	for until := time.Now().Add(waitLimit); ; {
		lease, changed, err := s.take(ctx, name)
		if err != nil || lease != nil {
			return &ddpmv1.TakeTaskResponse{Lease: lease}, err
		}
		left := time.Until(until)
		if left <= 0 {
			return &ddpmv1.TakeTaskResponse{}, nil
		}
		if err := s.wait(ctx, changed, left); err != nil {
			return nil, err
		}
	}
}

// take hands out a task, if there is one now.
func (s *Server) take(ctx context.Context, worker string) (*ddpmv1.Lease, <-chan struct{}, error) {
	if err := s.leading(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	s.queue.Seen(worker, now)
	ref, ok := s.queue.Next(worker, now)
	if !ok {
		return nil, s.changed, nil
	}
	t := s.queue.Task(ref)
	t.Lease, t.Worker = rand.Text(), worker
	began := time.Now()
	err := s.change(ctx, ref, t)
	s.config.Tracer.Draw(tracing.Task(ref.Job, uint32(ref.Number)), tracing.Since(began, "hand out", err,
		attribute.String("job", ref.Job), attribute.Int("task", ref.Number), attribute.String("worker", worker)))
	if err != nil {
		return nil, nil, unavailable(err)
	}
	s.began(ref.Job)
	r, _ := s.queue.Find(ref.Job)
	toDraw, toMeasure, err := r.encode()
	if err != nil {
		return nil, nil, status.Error(codes.Internal, err.Error())
	}
	drawn := r.drawn(ref.Number)
	return &ddpmv1.Lease{
		JobId: ref.Job, Task: uint32(ref.Number), Id: t.Lease, Milliseconds: uint32(s.config.Lease.Milliseconds()),
		Job: toDraw, Evaluation: toMeasure, First: uint32(drawn.First), Count: uint32(drawn.Count), Files: ref.Number == r.tasks(),
		Storage: s.config.Store.String(), Prefix: r.prefix(),
		Grid: r.Choice.Grid, Npz: r.Choice.NPZ,
	}, nil, nil
}

// KeepTask implements ddpmv1.PoolServer.
func (w workers) KeepTask(ctx context.Context, q *ddpmv1.KeepTaskRequest) (*ddpmv1.KeepTaskResponse, error) {
	s := w.s
	if err := s.leading(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	ref := Ref{q.GetJobId(), int(q.GetTask())}
	t, err := s.queue.Held(ref, q.GetLeaseId())
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	s.queue.Seen(t.Worker, time.Now())
	part := 0.0
	if q.GetOf() > 0 {
		part = float64(q.GetDone()) / float64(q.GetOf())
	}
	before := s.queue.Progress(ref)
	s.queue.Progressed(ref, part, time.Now().Add(s.config.Lease))
	r, _ := s.queue.Find(ref.Job)
	s.worked(func(w Work) { w.progressed(r, ref.Number, s.queue.Progress(ref)-before) })
	return &ddpmv1.KeepTaskResponse{}, nil
}

// FinishTask implements ddpmv1.PoolServer. A lease that is over finishes too: what
// it was for is in the Store.
func (w workers) FinishTask(ctx context.Context, q *ddpmv1.FinishTaskRequest) (*ddpmv1.FinishTaskResponse, error) {
	s := w.s
	if err := s.leading(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	ref := Ref{q.GetJobId(), int(q.GetTask())}
	r, ok := s.queue.Find(ref.Job)
	if !ok || ref.Number > r.tasks() {
		return nil, status.Errorf(codes.NotFound, "there is no task %d of a job %s", ref.Number, ref.Job)
	}
	if t := s.queue.Task(ref); !t.Done && r.State == Open {
		before := s.queue.Progress(ref)
		if err := s.change(ctx, ref, Task{Done: true}); err != nil {
			return nil, unavailable(err)
		}
		s.worked(func(w Work) {
			w.Leases[TaskDone]++
			w.Images[r.kind()] += uint64(r.drawn(ref.Number).Count)
			w.progressed(r, ref.Number, 1-before)
		})
	}
	if s.queue.Complete(ref.Job) {
		if err := s.conclude(ctx, ref.Job, Done, ""); err != nil {
			return nil, unavailable(err)
		}
	}
	return &ddpmv1.FinishTaskResponse{}, nil
}

// ReturnTask implements ddpmv1.PoolServer.
func (w workers) ReturnTask(ctx context.Context, q *ddpmv1.ReturnTaskRequest) (*ddpmv1.ReturnTaskResponse, error) {
	s := w.s
	if err := s.leading(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	ref := Ref{q.GetJobId(), int(q.GetTask())}
	t, err := s.queue.Held(ref, q.GetLeaseId())
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	reason := words(q.GetReason())
	if q.GetMachine() && reason != "" {
		err = s.refused(ctx, ref, t, reason)
	} else {
		err = s.back(ctx, ref, t, reason)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	outcome := TaskReturned
	if reason != "" {
		outcome = TaskFailed
	}
	s.worked(func(w Work) { w.Leases[outcome]++ })
	return &ddpmv1.ReturnTaskResponse{}, nil
}

// back takes a task back. Its job ends where the task has failed too often. s.mu is
// held.
func (s *Server) back(ctx context.Context, ref Ref, t Task, reason string) error {
	worker := t.Worker
	t.Lease, t.Worker = "", ""
	if reason != "" {
		t.Failures++
		s.config.Log.Warn("a sampling task failed", "job", ref.Job, "task", ref.Number, "worker", worker, "times", t.Failures, "reason", reason)
	}
	if t.Failures >= maxFailures {
		return s.conclude(ctx, ref.Job, Failed, fmt.Sprintf("task %d failed %d times; at last: %s", ref.Number, t.Failures, reason))
	}
	return s.change(ctx, ref, t)
}

// refused takes back a task that its worker's machine can't do, for others. Its job ends
// where nobody can. s.mu is held.
func (s *Server) refused(ctx context.Context, ref Ref, t Task, reason string) error {
	s.config.Log.Warn("a sampling worker can't do a task; it is for others", "job", ref.Job, "task", ref.Number, "worker", t.Worker, "reason", reason)
	now := time.Now()
	s.queue.Seen(t.Worker, now)
	s.queue.Refused(ref.Job, t.Worker, now)
	t.Lease, t.Worker = "", ""
	if err := s.change(ctx, ref, t); err != nil {
		return err
	}
	if n, hopeless := s.queue.Hopeless(ref.Job, now); hopeless {
		return s.conclude(ctx, ref.Job, Failed, fmt.Sprintf("no worker that is there (%d) can do task %d; the last one says: %s", n, ref.Number, reason))
	}
	return nil
}

// words bounds what a worker says.
func words(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxWords)], "") }

package pool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

const (
	// maxRequest bounds a request, in bytes.
	maxRequest = 64 << 10
	// maxOpen bounds the jobs that wait or are drawn.
	maxOpen = 1000
)

// submit queues the job that a request asks for, after everything that can be wrong
// with it has been looked at.
func (s *Server) submit(ctx context.Context, text []byte) (*ddpmv1.JobStatus, error) {
	if len(text) > maxRequest {
		return nil, status.Errorf(codes.InvalidArgument, "a request of %d bytes; %d are the most", len(text), maxRequest)
	}
	request, err := job.DecodeRequest(text)
	if err == nil {
		err = errors.Join(request.Check(), checkpoint.ValidRunName(request.Run))
	}
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	j, err := s.resolve(ctx, request)
	if err != nil {
		return nil, err
	}
	if err := s.leading(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if err := s.room(ctx); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	r := Record{
		// The time for people who browse the bucket; the rest so that no folder of
		// another job, of a cluster whose etcd is gone, is ever used again.
		ID:     fmt.Sprintf("%s-%s", now.Format("20060102-150405"), strings.ToLower(rand.Text()[:6])),
		Number: s.number + 1, Job: j, Choice: request.Choice(), TaskSize: TaskSize(j.N),
		Build: s.config.Build, State: Open, Submitted: now.Truncate(time.Millisecond),
	}
	if err := s.keys.Put(ctx, jobKey(r.ID), r); err != nil {
		return nil, unavailable(err)
	}
	s.number = r.Number
	s.queue.Submitted(r)
	s.wake()
	s.config.Log.Info("a sampling job", "job", r.ID, "run", j.Run, "step", j.Step, "n", j.N, "sampler", j.Settings.Method, "steps", j.Settings.Steps)
	return s.status(r.ID)
}

// resolve finds the checkpoint and makes the job, whole and valid.
func (s *Server) resolve(ctx context.Context, q job.Request) (job.Job, error) {
	text, err := checkpoint.ReadRun(ctx, s.config.Store, q.Run)
	if errors.Is(err, storage.ErrNotFound) {
		return job.Job{}, status.Errorf(codes.NotFound, "run %q: there is no such run in %s", q.Run, s.config.Store)
	}
	if err != nil {
		return job.Job{}, status.Error(codes.Unavailable, err.Error())
	}
	spec, err := ddpm.DecodeSpec(text)
	if err != nil {
		return job.Job{}, status.Errorf(codes.FailedPrecondition, "run %s in %s: %v", q.Run, s.config.Store, err)
	}
	m, err := s.checkpoint(ctx, q, spec)
	if err != nil {
		return job.Job{}, err
	}
	j := q.Job(spec, m.Step, m.Digest)
	if err := j.Validate(spec); err != nil {
		return job.Job{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return j, nil
}

// checkpoint finds the one that is asked for, or else the newest that fits the run.
func (s *Server) checkpoint(ctx context.Context, q job.Request, spec ddpm.Spec) (m checkpoint.Manifest, err error) {
	fits := func(m checkpoint.Manifest) error { return m.Fits(spec.Model.ParamCount()) }
	if q.Step == nil {
		m, _, err = checkpoint.NewestLoadable(ctx, s.config.Store, q.Run, fits)
	} else if m, err = checkpoint.At(ctx, s.config.Store, q.Run, *q.Step); err == nil {
		err = fits(m)
	}
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		return m, status.Errorf(codes.NotFound, "run %s has no checkpoint that can be used", q.Run)
	case errors.Is(err, storage.ErrNotFound):
		return m, status.Errorf(codes.NotFound, "run %s has no checkpoint of step %d; leave the step out for the newest", q.Run, *q.Step)
	case errors.Is(err, checkpoint.ErrCorrupt):
		return m, status.Errorf(codes.FailedPrecondition, "%v; leave the step out for the newest that is whole", err)
	case err != nil:
		return m, status.Error(codes.Unavailable, err.Error())
	}
	return m, nil
}

// room makes room for one more job. s.mu is held.
func (s *Server) room(ctx context.Context) error {
	open, ended := 0, 0
	for _, id := range s.queue.All() {
		if r, _ := s.queue.Find(id); r.State == Open {
			open++
		} else {
			ended++
		}
	}
	if open >= maxOpen {
		return status.Errorf(codes.ResourceExhausted, "%d jobs wait already; cancel some, or wait (ddpmctl jobs list)", open)
	}
	if err := s.forget(ctx, ended-keepEnded); err != nil {
		return unavailable(err)
	}
	return nil
}

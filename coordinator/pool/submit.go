package pool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
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
func (s *Server) submit(ctx context.Context, q *ddpmv1.SubmitJobRequest) (*ddpmv1.JobStatus, error) {
	if n := len(q.GetRequest()) + len(q.GetEvaluation()); n > maxRequest {
		return nil, status.Errorf(codes.InvalidArgument, "a request of %d bytes; %d are the most", n, maxRequest)
	}
	var r Record
	var err error
	if len(q.GetEvaluation()) > 0 {
		r, err = s.resolveEvaluation(ctx, q.GetEvaluation())
	} else {
		r, err = s.resolveSampling(ctx, q.GetRequest())
	}
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
	// The time for people who browse the bucket; the rest so that no folder of another
	// job, of a cluster whose etcd is gone, is ever used again.
	r.ID = fmt.Sprintf("%s-%s", now.Format("20060102-150405"), strings.ToLower(rand.Text()[:6]))
	r.Number, r.Build, r.State, r.Submitted = s.number+1, s.config.Build, Open, now.Truncate(time.Millisecond)
	if err := s.keys.Put(ctx, jobKey(r.ID), r); err != nil {
		return nil, unavailable(err)
	}
	s.number = r.Number
	s.queue.Submitted(r)
	s.wake()
	s.config.Log.Info("a sampling job", "job", r.ID, "images", r.images(), "results", r.prefix())
	return s.status(r.ID)
}

// resolveSampling makes the job that draws, whole and valid.
func (s *Server) resolveSampling(ctx context.Context, text []byte) (Record, error) {
	q, err := job.DecodeRequest(text)
	if err == nil {
		err = q.Check()
	}
	if err != nil {
		return Record{}, status.Error(codes.InvalidArgument, err.Error())
	}
	spec, m, err := s.resolve(ctx, q.Run, q.Step)
	if err != nil {
		return Record{}, err
	}
	j := q.Job(spec, m.Step, m.Digest)
	if err := j.Validate(spec); err != nil {
		return Record{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return Record{Job: j, Choice: q.Choice(), TaskSize: TaskSize(j.N)}, nil
}

// resolveEvaluation makes the job that measures, whole and valid.
func (s *Server) resolveEvaluation(ctx context.Context, text []byte) (Record, error) {
	q, err := evaluate.DecodeRequest(text)
	if err != nil {
		return Record{}, status.Error(codes.InvalidArgument, err.Error())
	}
	spec, m, err := s.resolve(ctx, q.Run, q.Step)
	if err != nil {
		return Record{}, err
	}
	data, err := dataset.Places{
		Stores: func(ctx context.Context, uri string) (packed.Store, error) { return storage.OpenBlobs(ctx, uri) },
		Run:    storage.AsBlobs(s.config.Store),
	}.Open(ctx, q.Dataset, ddpm.Want(spec.Model))
	if err != nil {
		return Record{}, status.Error(codes.InvalidArgument, err.Error())
	}
	if c, ok := data.(io.Closer); ok {
		defer c.Close()
	}
	j := q.Job(spec, m.Step, m.Digest)
	j.Dataset, j.DatasetDigest = data.URI(), data.Digest()
	if err = j.Validate(spec.Diffusion, data.Len()); err == nil {
		err = j.CheckLabels(spec, data)
	}
	if err != nil {
		return Record{}, status.Error(codes.InvalidArgument, err.Error())
	}
	return Record{Evaluation: &j, TaskSize: evaluationTaskSize(j)}, nil
}

// resolve finds a run's checkpoint: the one of a step, or with nil the newest.
func (s *Server) resolve(ctx context.Context, run string, step *uint64) (spec ddpm.Spec, m checkpoint.Manifest, err error) {
	if err := checkpoint.ValidRunName(run); err != nil {
		return spec, m, status.Error(codes.InvalidArgument, err.Error())
	}
	text, err := checkpoint.ReadRun(ctx, s.config.Store, run)
	if errors.Is(err, storage.ErrNotFound) {
		return spec, m, status.Errorf(codes.NotFound, "run %q: there is no such run in %s", run, s.config.Store)
	}
	if err != nil {
		return spec, m, status.Error(codes.Unavailable, err.Error())
	}
	if spec, err = ddpm.DecodeSpec(text); err != nil {
		return spec, m, status.Errorf(codes.FailedPrecondition, "run %s in %s: %v", run, s.config.Store, err)
	}
	m, err = s.checkpoint(ctx, run, step, spec)
	return spec, m, err
}

// checkpoint finds the one that is asked for, or else the newest that fits the run.
func (s *Server) checkpoint(ctx context.Context, run string, step *uint64, spec ddpm.Spec) (m checkpoint.Manifest, err error) {
	fits := func(m checkpoint.Manifest) error { return m.Fits(spec.Model.ParamCount()) }
	if step == nil {
		m, _, err = checkpoint.NewestLoadable(ctx, s.config.Store, run, fits)
	} else if m, err = checkpoint.At(ctx, s.config.Store, run, *step); err == nil {
		err = fits(m)
	}
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		return m, status.Errorf(codes.NotFound, "run %s has no checkpoint that can be used", run)
	case errors.Is(err, storage.ErrNotFound):
		return m, status.Errorf(codes.NotFound, "run %s has no checkpoint of step %d; leave the step out for the newest", run, *step)
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

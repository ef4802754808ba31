package pool

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// watchEvery is how often a watcher hears of a job, at most.
const watchEvery = 200 * time.Millisecond

// jobs is the service for administrators.
type jobs struct {
	ddpmv1.UnimplementedJobsServer
	s *Server
}

// SubmitJob implements ddpmv1.JobsServer.
func (j jobs) SubmitJob(ctx context.Context, q *ddpmv1.SubmitJobRequest) (*ddpmv1.SubmitJobResponse, error) {
	st, err := j.s.submit(ctx, q)
	if err != nil {
		return nil, err
	}
	return &ddpmv1.SubmitJobResponse{Job: st}, nil
}

// ListJobs implements ddpmv1.JobsServer.
func (j jobs) ListJobs(ctx context.Context, _ *ddpmv1.ListJobsRequest) (*ddpmv1.ListJobsResponse, error) {
	if err := j.s.leading(ctx); err != nil {
		return nil, err
	}
	defer j.s.mu.Unlock()
	r := new(ddpmv1.ListJobsResponse)
	for _, id := range j.s.queue.All() {
		st, err := j.s.status(id)
		if err != nil {
			return nil, err
		}
		r.Jobs = append(r.Jobs, st)
	}
	return r, nil
}

// GetJob implements ddpmv1.JobsServer.
func (j jobs) GetJob(ctx context.Context, q *ddpmv1.GetJobRequest) (*ddpmv1.GetJobResponse, error) {
	if err := j.s.leading(ctx); err != nil {
		return nil, err
	}
	defer j.s.mu.Unlock()
	st, err := j.s.status(q.GetId())
	if err != nil {
		return nil, err
	}
	return &ddpmv1.GetJobResponse{Job: st}, nil
}

// CancelJob implements ddpmv1.JobsServer.
func (j jobs) CancelJob(ctx context.Context, q *ddpmv1.CancelJobRequest) (*ddpmv1.CancelJobResponse, error) {
	s := j.s
	if err := s.leading(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	r, ok := s.queue.Find(q.GetId())
	switch {
	case !ok:
		return nil, unknown(q.GetId())
	case r.State != Open && r.State != Cancelled:
		return nil, status.Errorf(codes.FailedPrecondition, "job %s is %s already", r.ID, r.State)
	}
	if err := s.conclude(ctx, r.ID, Cancelled, ""); err != nil {
		return nil, unavailable(err)
	}
	st, err := s.status(r.ID)
	if err != nil {
		return nil, err
	}
	return &ddpmv1.CancelJobResponse{Job: st}, nil
}

// WatchJob implements ddpmv1.JobsServer.
func (j jobs) WatchJob(q *ddpmv1.WatchJobRequest, stream ddpmv1.Jobs_WatchJobServer) error {
	for {
		st, err := j.look(stream.Context(), q.GetId())
		if err != nil {
			return err
		}
		if err := stream.Send(&ddpmv1.WatchJobResponse{Job: st}); err != nil {
			return err
		}
		if st.GetEnded() != nil {
			return nil
		}
		if err := j.s.wait(stream.Context(), nil, watchEvery); err != nil {
			return err
		}
	}
}

func (j jobs) look(ctx context.Context, id string) (*ddpmv1.JobStatus, error) {
	if err := j.s.leading(ctx); err != nil {
		return nil, err
	}
	defer j.s.mu.Unlock()
	return j.s.status(id)
}

func unknown(id string) error {
	return status.Errorf(codes.NotFound, "there is no job %s; see ddpmctl jobs list", words(id))
}

// rate is where a job stood when this coordinator first handed out a task of it.
type rate struct {
	at       time.Time
	fraction float64
}

// began notes when a job's speed begins to count. s.mu is held.
func (s *Server) began(id string) {
	if _, ok := s.rates[id]; ok {
		return
	}
	st, _ := s.queue.Status(id)
	s.rates[id] = rate{time.Now(), st.Fraction}
}

// status is a job as people see it. s.mu is held.
func (s *Server) status(id string) (*ddpmv1.JobStatus, error) {
	st, ok := s.queue.Status(id)
	if !ok {
		return nil, unknown(id)
	}
	drawn, measured, err := st.encode()
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	m := &ddpmv1.JobStatus{
		Id: id, Reason: st.Reason, Job: drawn, Evaluation: measured, Submitted: timestamppb.New(st.Submitted),
		Images: uint32(st.images()), ImagesDone: uint32(st.ImagesDone), Fraction: st.Fraction, Workers: uint32(st.Workers), Previews: st.Previews,
		Storage: s.config.Store.String(), Prefix: st.prefix(),
	}
	if st.State != Open {
		m.Ended = timestamppb.New(st.Ended)
	}
	switch {
	case st.State == Done:
		m.State = ddpmv1.JobState_JOB_STATE_DONE
	case st.State == Cancelled:
		m.State = ddpmv1.JobState_JOB_STATE_CANCELLED
	case st.State == Failed:
		m.State = ddpmv1.JobState_JOB_STATE_FAILED
	case st.Begun:
		m.State = ddpmv1.JobState_JOB_STATE_RUNNING
	default:
		m.State = ddpmv1.JobState_JOB_STATE_QUEUED
	}
	if from, ok := s.rates[id]; ok && st.State == Open {
		seconds := time.Since(from.at).Seconds()
		if done := st.Fraction - from.fraction; done > 0 && seconds > 0 {
			m.ImagesPerSecond = done * float64(st.images()) / seconds
			m.StepsPerSecond = m.ImagesPerSecond * float64(st.steps())
			m.SecondsLeft = (1 - st.Fraction) / done * seconds
		}
	}
	return m, nil
}

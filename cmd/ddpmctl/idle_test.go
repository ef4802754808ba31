package main

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// It is told once in each stretch, and not of a job that is only being finished.
func TestIdle(t *testing.T) {
	t.Parallel()
	now := time.Now()
	i := idle{limit: idleLimit}
	saw := func(after time.Duration, s *ddpmv1.JobStatus, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := i.saw(now, s); got != want {
			t.Errorf("%v: %v", s, got)
		}
		i.told = i.told || want
	}
	nobody, somebody := &ddpmv1.JobStatus{Fraction: 0.5}, &ddpmv1.JobStatus{Fraction: 0.5, Workers: 1}
	for range 2 {
		saw(0, nobody, false)
		saw(idleLimit-1, nobody, false)
		saw(1, nobody, true)
		saw(time.Hour, nobody, false)
		saw(0, somebody, false)
		saw(time.Hour, somebody, false)
	}
	saw(0, nobody, false)
	saw(time.Hour, &ddpmv1.JobStatus{Fraction: 1}, false)
	saw(0, nobody, false)
	saw(time.Hour, &ddpmv1.JobStatus{Fraction: 0.5, Ended: timestamppb.Now()}, false)
}

// lonely serves a job on which nobody works. At first others are at work elsewhere.
type lonely struct {
	ddpmv1.UnimplementedJobsServer
	busy, looks atomic.Int32
	told        chan struct{} // closed once it is told
}

func (l *lonely) WatchJob(q *ddpmv1.WatchJobRequest, stream grpc.ServerStreamingServer[ddpmv1.WatchJobResponse]) error {
	s := &ddpmv1.JobStatus{Id: q.GetId(), Images: 9}
	for after := 0; after < 20; {
		if err := stream.Send(&ddpmv1.WatchJobResponse{Job: s}); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		select {
		case <-l.told:
			after++
		default:
		}
	}
	s.State, s.Ended = ddpmv1.JobState_JOB_STATE_DONE, timestamppb.Now()
	return stream.Send(&ddpmv1.WatchJobResponse{Job: s})
}

func (l *lonely) ListJobs(context.Context, *ddpmv1.ListJobsRequest) (*ddpmv1.ListJobsResponse, error) {
	r := &ddpmv1.ListJobsResponse{Jobs: []*ddpmv1.JobStatus{{Id: "before"}, {Id: "j1"}}}
	if l.looks.Add(1) <= l.busy.Load() {
		r.Jobs[0].Workers = 2
	}
	return r, nil
}

// onLine is told of what is written.
type onLine struct {
	bytes.Buffer
	wrote func()
}

func (o *onLine) Write(b []byte) (int, error) {
	o.wrote()
	return o.Buffer.Write(b)
}

// Whoever waits for a job in a pool without a sampler hears of it, and what to do; but not
// while the job only waits for others.
func TestNoSampler(t *testing.T) {
	t.Parallel()
	const busy = 3
	l := &lonely{told: make(chan struct{})}
	l.busy.Store(busy)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	ddpmv1.RegisterJobsServer(g, l)
	go func() { _ = g.Serve(listener) }() // it ends by Stop alone
	defer g.Stop()
	at := listener.Addr().String()
	stderr := &onLine{wrote: sync.OnceFunc(func() { close(l.told) })}
	a := administrator{join: at, insecure: true}
	if _, err := a.watch(t.Context(), "j1", func(*ddpmv1.JobStatus) {}, &idle{limit: time.Millisecond, stderr: stderr}); err != nil {
		t.Fatal(err)
	}
	if text := stderr.String(); text != "job j1 waits: no sampler is in the pool; start one by ddpm-worker --role sample --join "+at+" --insecure\n" {
		t.Errorf("standard error has %q", text)
	}
	if n := l.looks.Load(); n != busy+1 {
		t.Errorf("looked %d times", n)
	}
}

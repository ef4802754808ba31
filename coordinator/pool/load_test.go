package pool

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// addEvaluation queues an evaluation of n images of so many terms.
func addEvaluation(t *testing.T, s *Server, number uint64, n, terms, size int) string {
	t.Helper()
	id := s.add(t, number, n, size)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _ := s.queue.Find(id)
	r.Evaluation = &evaluate.Job{Run: "r", N: n, Terms: terms}
	s.queue.Submitted(r)
	s.wake()
	return id
}

// backlog checks what there is to do.
func backlog(t *testing.T, s *Server, waiting, leased int, sampling, evaluation map[string]int) {
	t.Helper()
	b, _ := s.Load()
	if b == nil {
		t.Fatal("the server does not lead")
	}
	if b.Waiting != waiting || b.Leased != leased || !maps.Equal(b.Jobs[Sampling], sampling) || !maps.Equal(b.Jobs[Evaluation], evaluation) {
		t.Errorf("%+v, want %d waiting, %d leased, %v, %v", b, waiting, leased, sampling, evaluation)
	}
	// What is said to wait is what is handed out.
	if _, ok := s.queue.Next("w", time.Now()); ok != (b.Waiting > 0) {
		t.Errorf("%d wait, and that there is a next one is %v", b.Waiting, ok)
	}
}

// Jobs and tasks are counted on their way, and what comes of leases.
func TestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := newLeader(t, newKeys())
		type states = map[string]int
		backlog(t, s, 0, 0, states{}, states{})
		id := s.add(t, 1, 5, 2)
		s.mu.Lock()
		r, _ := s.queue.Find(id)
		r.Job.Settings = sampler.Config{Steps: 10}
		s.queue.Submitted(r)
		s.wake()
		s.mu.Unlock()
		addEvaluation(t, s, 2, 3, 4, 3)
		backlog(t, s, 4, 0, states{"queued": 1}, states{"queued": 1})

		silent, _, _ := s.take(ctx, "silent")
		backlog(t, s, 3, 1, states{"running": 1}, states{"queued": 1})
		time.Sleep(DefaultLease)
		s.expire(ctx)
		backlog(t, s, 4, 0, states{"queued": 1}, states{"queued": 1})
		time.Sleep(suspectFor) // its job is the first again

		back := func(reason string) {
			l, _, _ := s.take(ctx, "w")
			if l.GetTask() != silent.GetTask() {
				t.Fatalf("task %d is handed out", l.GetTask())
			}
			if _, err := (workers{s: s}).ReturnTask(ctx, &ddpmv1.ReturnTaskRequest{JobId: id, LeaseId: l.GetId(), Reason: reason}); err != nil {
				t.Fatal(err)
			}
		}
		back("")
		back("out of memory")

		l, _, _ := s.take(ctx, "w")
		for _, done := range []uint64{5, 15, 10} {
			if _, err := (workers{s: s}).KeepTask(ctx, &ddpmv1.KeepTaskRequest{JobId: id, LeaseId: l.GetId(), Done: done, Of: 20}); err != nil {
				t.Fatal(err)
			}
		}
		_, work := s.Load()
		if work.Steps[Sampling] != 15 || work.Images[Sampling] != 0 {
			t.Errorf("three quarters of two images of 10 steps: %+v", work)
		}
		finish(t, s, id, 0)
		finish(t, s, id, 0) // its answer was lost
		finish(t, s, id, 1)
		finish(t, s, id, 2)
		backlog(t, s, 2, 0, states{"running": 1}, states{"queued": 1}) // the files can be made
		finish(t, s, id, 3)
		backlog(t, s, 1, 0, states{"done": 1}, states{"queued": 1})
		m, _, _ := s.take(ctx, "w")
		finish(t, s, m.GetJobId(), int(m.GetTask()))
		backlog(t, s, 1, 0, states{"done": 1}, states{"running": 1})

		_, work = s.Load()
		want := Work{
			Images: map[Kind]uint64{Sampling: 5, Evaluation: 3}, Steps: map[Kind]float64{Sampling: 50, Evaluation: 12},
			Leases: map[Outcome]uint64{TaskDone: 5, TaskExpired: 1, TaskReturned: 1, TaskFailed: 1},
		}
		if !maps.Equal(work.Images, want.Images) || !maps.Equal(work.Steps, want.Steps) || !maps.Equal(work.Leases, want.Leases) {
			t.Errorf("%+v, want %+v", work, want)
		}
		// What was done is known without the pool.
		s.resign()
		if b, work := s.Load(); b != nil || work.Images[Sampling] != 5 {
			t.Errorf("%+v, %+v", b, work)
		}
	})
}

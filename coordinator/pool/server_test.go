package pool

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

func TestTaskSize(t *testing.T) {
	for n, want := range map[int]int{1: 1, 7: 1, 16: 2, 64: 8, 256: 8, 100_000: 8} {
		if got := TaskSize(n); got != want {
			t.Errorf("%d images: tasks of %d, want %d", n, got, want)
		}
	}
}

// A task that measures has few evaluations of the network, however many an image takes.
func TestEvaluationTaskSize(t *testing.T) {
	for _, c := range []struct{ n, terms, want int }{{6, 1000, 1}, {100, 1000, 1}, {100, 50, 8}, {100, 100, 5}, {8, 2, 1}, {tasksAtMost, 1000, 1}, {tasksAtMost + 1, 1000, 2}, {evaluate.MaxImages, 2, 16}} {
		if got := evaluationTaskSize(evaluate.Job{N: c.n, Terms: c.terms}); got != c.want {
			t.Errorf("%d images of %d timesteps: tasks of %d, want %d", c.n, c.terms, got, c.want)
		}
	}
}

// What a lease of an evaluation is about, and where its results go.
func TestEvaluationIsQueued(t *testing.T) {
	keys := newKeys()
	r := Record{ID: "e", Number: 1, Evaluation: &evaluate.Job{Run: "r", N: 3, Terms: 7}, TaskSize: 2, Build: testBuild, State: Open}
	if err := keys.Put(t.Context(), jobKey(r.ID), r); err != nil {
		t.Fatal(err)
	}
	s := newLeader(t, keys) // as the next coordinator reads it
	l, _, err := s.take(t.Context(), "w")
	if err != nil || l.GetCount() != 2 || len(l.GetJob()) != 0 || l.GetPrefix() != "runs/r/evaluations/e/" {
		t.Fatalf("%v, %v", l, err)
	}
	if j, err := evaluate.Decode(l.GetEvaluation()); err != nil || j != *r.Evaluation {
		t.Errorf("the lease measures %+v, %v", j, err)
	}
	st, err := s.status("e")
	if v := NewView(st); err != nil || v.Job != nil || v.Evaluation == nil || v.Images != 3 || !strings.Contains(v.What(), "7 timesteps") {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestTheFilesAreTheLastTask(t *testing.T) {
	s := newLeader(t, newKeys())
	id := s.add(t, 1, 5, 2)
	for i, want := range []job.Task{{First: 0, Count: 2}, {First: 2, Count: 2}, {First: 4, Count: 1}} {
		l, _, err := s.take(t.Context(), "w")
		if err != nil || int(l.GetFirst()) != want.First || int(l.GetCount()) != want.Count || l.GetFiles() {
			t.Fatalf("task %d is %v, %v", i, l, err)
		}
	}
	if l, _, _ := s.take(t.Context(), "w"); l != nil {
		t.Fatalf("%v is handed out while the others are drawn", l)
	}
	for i := range 3 {
		finish(t, s, id, i)
	}
	l, _, _ := s.take(t.Context(), "w")
	if !l.GetFiles() || l.GetCount() != 0 {
		t.Fatalf("the last task is %v", l)
	}
	finish(t, s, id, 3)
	if r, _ := s.queue.Find(id); r.State != Done {
		t.Errorf("the job is %s", r.State)
	}
}

func finish(t *testing.T, s *Server, id string, task int) {
	t.Helper()
	if _, err := (workers{s: s}).FinishTask(t.Context(), &ddpmv1.FinishTaskRequest{JobId: id, Task: uint32(task)}); err != nil {
		t.Fatal(err)
	}
}

// A worker that says nothing loses its task; one that renews keeps it, also through a
// restart of the coordinator.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys()
		s := newLeader(t, keys)
		s.add(t, 1, 2, 1)
		silent, _, _ := s.take(t.Context(), "silent")
		alive, _, _ := s.take(t.Context(), "alive")
		time.Sleep(DefaultLease / 2)
		if err := keep(t, s, alive); err != nil {
			t.Fatal(err)
		}
		time.Sleep(DefaultLease / 2)
		s.expire(t.Context())
		if err := keep(t, s, silent); status.Code(err) != codes.NotFound {
			t.Errorf("a lease that was not renewed: %v", err)
		}
		s = newLeader(t, keys)
		if err := keep(t, s, alive); err != nil {
			t.Errorf("a lease after a restart: %v", err)
		}
		if l, _, _ := s.take(t.Context(), "another"); l.GetTask() != silent.GetTask() {
			t.Errorf("the next task is %v, want the one that was taken back", l)
		}
	})
}

func keep(t *testing.T, s *Server, l *ddpmv1.Lease) error {
	t.Helper()
	_, err := workers{s: s}.KeepTask(t.Context(), &ddpmv1.KeepTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId()})
	return err
}

func TestATaskThatFailsEndsItsJob(t *testing.T) {
	s := newLeader(t, newKeys())
	id := s.add(t, 1, 1, 1)
	for range maxFailures {
		l, _, err := s.take(t.Context(), "w")
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		if _, err := (workers{s: s}).ReturnTask(t.Context(), &ddpmv1.ReturnTaskRequest{JobId: id, Task: 0, LeaseId: l.GetId(), Reason: "no weights"}); err != nil {
			t.Fatal(err)
		}
	}
	if r, _ := s.queue.Find(id); r.State != Failed || !strings.Contains(r.Reason, "no weights") {
		t.Errorf("the job is %s: %s", r.State, r.Reason)
	}
	if l, _, _ := s.take(t.Context(), "w"); l != nil {
		t.Errorf("a job that failed hands out %v", l)
	}
}

func TestTakeTaskWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		r, err := workers{s: s}.TakeTask(t.Context(), &ddpmv1.TakeTaskRequest{Build: testBuild})
		if err != nil || r.GetLease() != nil {
			t.Fatalf("an empty queue gives %v, %v", r, err)
		}
		time.AfterFunc(time.Second, func() { s.add(t, 1, 1, 1) })
		begin := time.Now()
		r, err = workers{s: s}.TakeTask(t.Context(), &ddpmv1.TakeTaskRequest{Build: testBuild})
		if err != nil || r.GetLease() == nil || time.Since(begin) != time.Second {
			t.Errorf("%v, %v after %v", r, err, time.Since(begin))
		}
		time.AfterFunc(time.Second, s.Close)
		if _, err := (workers{s: s}).TakeTask(t.Context(), &ddpmv1.TakeTaskRequest{Build: testBuild}); status.Code(err) != codes.Unavailable {
			t.Errorf("at the end of the server: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	s := newLeader(t, newKeys())
	if _, err := (workers{s: s}).TakeTask(t.Context(), &ddpmv1.TakeTaskRequest{Build: "other"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a worker of another build: %v", err)
	}
	for request, want := range map[string]codes.Code{
		`{"run":"nosuch","n":1}`:          codes.NotFound,
		`{"run":"../x","n":1}`:            codes.InvalidArgument,
		`{"run":"r","n":0}`:               codes.InvalidArgument,
		`{"run":"r","n":10000000}`:        codes.InvalidArgument,
		`{"run":"r","n":1,"flavour":"x"}`: codes.InvalidArgument,
		`{`:                               codes.InvalidArgument,
		strings.Repeat(" ", maxRequest+1): codes.InvalidArgument,
	} {
		if _, err := (jobs{s: s}).SubmitJob(t.Context(), &ddpmv1.SubmitJobRequest{Request: []byte(request)}); status.Code(err) != want {
			t.Errorf("%.40s: %v, want %v", request, err, want)
		}
	}
	if _, err := (jobs{s: s}).CancelJob(t.Context(), &ddpmv1.CancelJobRequest{Id: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("cancelling a job that is not there: %v", err)
	}
	s.resign()
	if _, err := (jobs{s: s}).ListJobs(t.Context(), &ddpmv1.ListJobsRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a server that does not lead: %v", err)
	}
}

// A job that another build began is not finished by this one.
func TestAnotherBuild(t *testing.T) {
	keys := newKeys()
	s := newLeader(t, keys)
	id := s.add(t, 1, 2, 1)
	other := New(s.config)
	defer other.Close()
	other.config.Build = "newer"
	if err := other.load(context.Background(), keys); err != nil {
		t.Fatal(err)
	}
	if r, _ := other.queue.Find(id); r.State != Failed || !strings.Contains(r.Reason, "build") {
		t.Errorf("the job is %s: %s", r.State, r.Reason)
	}
}

package pool

import "maps"

// Kind is what a job does.
type Kind string

// The kinds of jobs: those that draw images, and those that measure on held-out ones.
const (
	Sampling   Kind = "sampling"
	Evaluation Kind = "evaluation"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Sampling, Evaluation} }

// kind is what the job does.
func (r Record) kind() Kind {
	if r.Evaluation != nil {
		return Evaluation
	}
	return Sampling
}

// Outcome is how the lease of a task ended.
type Outcome string

// The outcomes: the task was done; it was given back for a failure, or without one, by
// a worker that ends; or the worker said nothing for too long. That of a job which was
// cancelled meanwhile has none.
const (
	TaskDone     Outcome = "done"
	TaskFailed   Outcome = "failed"
	TaskReturned Outcome = "returned"
	TaskExpired  Outcome = "expired"
)

// Outcomes are all of them.
func Outcomes() []Outcome { return []Outcome{TaskDone, TaskFailed, TaskReturned, TaskExpired} }

// Backlog is what the queue holds.
type Backlog struct {
	// Jobs counts those of a kind in a state, as View has it ("queued", "running",
	// "done", …); of those that have ended the remembered ones.
	Jobs map[Kind]map[string]int
	// Waiting counts the tasks that a worker could have now that has refused none, Leased
	// those that are out.
	Waiting, Leased int
}

// Work is what workers have done for this coordinator.
type Work struct {
	// Images counts those of tasks that are done.
	Images map[Kind]uint64
	// Steps counts evaluations of the network, a step of one image being one, as
	// workers tell of them while they draw; those of a lease that is lost too.
	Steps map[Kind]float64
	// Leases counts those that ended, by how.
	Leases map[Outcome]uint64
}

func newWork() Work {
	return Work{Images: map[Kind]uint64{}, Steps: map[Kind]float64{}, Leases: map[Outcome]uint64{}}
}

// progressed counts the steps of a part of a task, 0 to 1.
func (w Work) progressed(r Record, number int, part float64) {
	w.Steps[r.kind()] += max(part, 0) * float64(r.drawn(number).Count*r.steps())
}

// worked counts what was done. s.mu is held, or nobody has the server yet.
func (s *Server) worked(count func(Work)) {
	count(s.work)
	w := Work{maps.Clone(s.work.Images), maps.Clone(s.work.Steps), maps.Clone(s.work.Leases)}
	s.shown.work.Store(&w)
}

// Load is what the pool has to do, nil where this coordinator does not lead it, and
// what was done since the coordinator began; not to be written to. It does not wait,
// for etcd may be away when somebody looks.
func (s *Server) Load() (*Backlog, Work) { return s.shown.backlog.Load(), *s.shown.work.Load() }

// Backlog counts jobs and tasks, in a time that grows with the jobs alone; nil of none.
func (q *Queue) Backlog() *Backlog {
	if q == nil {
		return nil
	}
	b := &Backlog{Jobs: map[Kind]map[string]int{Sampling: {}, Evaluation: {}}}
	for _, e := range q.jobs {
		b.Jobs[e.kind()][e.state()]++
		if e.State != Open {
			continue
		}
		b.Leased += e.leased
		ready := len(e.tasks) - 1
		if e.done == ready {
			ready++ // the one that makes the files
		}
		b.Waiting += ready - e.done - e.leased
	}
	return b
}

// state is the job's, in which one that is open waits for its first task or is drawn.
func (e *entry) state() string {
	switch {
	case e.State != Open:
		return string(e.State)
	case e.begun():
		return "running"
	}
	return "queued"
}

// begun says that a task is out or done. One that was out and came back counts for none.
func (e *entry) begun() bool { return e.done > 0 || e.leased > 0 || e.State == Done }

// States are all that Backlog's jobs can be in.
func States() []string {
	return []string{"queued", "running", string(Done), string(Cancelled), string(Failed)}
}

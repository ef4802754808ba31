package pool

import (
	"fmt"
	"slices"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

const (
	// maxFailures is how often a task may fail before its job does, and how many workers
	// that can't do a job are enough to try it.
	maxFailures = 3
	// imagesPerTask bounds a task: enough for a network's batch, and little to lose
	// with a worker. A small job is cut smaller, so that several workers have some.
	imagesPerTask = 8
	tasksAtLeast  = 8
	// termsPerTask bounds a task that measures, in evaluations of the network, but for
	// its first image.
	termsPerTask = 512
	// tasksAtMost bounds the tasks of a job that measures, each of which the queue keeps in
	// memory and in etcd. A worker that is lost loses one image of a task, however many it has.
	tasksAtMost = 1 << 14
)

// Record is what is kept of a job.
type Record struct {
	ID string `json:"id"`
	// Number orders jobs by when they came.
	Number uint64 `json:"number"`
	// Job draws images; Evaluation, where it is not nil, measures on some instead.
	Job        job.Job       `json:"job,omitzero"`
	Choice     job.Choice    `json:"choice,omitzero"`
	Evaluation *evaluate.Job `json:"evaluation,omitempty"`
	// TaskSize is how many images a task has, at most.
	TaskSize int `json:"task_size"`
	// Build is that of the workers that may draw the job: images of another build
	// may differ in a bit.
	Build     string    `json:"build"`
	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Submitted time.Time `json:"submitted"`
	Ended     time.Time `json:"ended,omitzero"`
}

// State is how far a job is.
type State string

// The states of a job: Open, and the three ways to end.
const (
	Open      State = "open"
	Done      State = "done"
	Cancelled State = "cancelled"
	Failed    State = "failed"
)

// TaskSize chooses how many images a task of a job of n has.
func TaskSize(n int) int { return max(1, min(n/tasksAtLeast, imagesPerTask)) }

// evaluationTaskSize chooses how many images a task of an evaluation has.
func evaluationTaskSize(j evaluate.Job) int {
	return max(1, min(TaskSize(j.N), termsPerTask/max(j.Terms, 1)), (j.N+tasksAtMost-1)/tasksAtMost)
}

// images counts what the job draws, or measures on.
func (r Record) images() int {
	if r.Evaluation != nil {
		return r.Evaluation.N
	}
	return r.Job.N
}

// checkSize reports whether the job is one that this build takes, by its size: tasks are
// made of no other.
func (r Record) checkSize() error {
	switch {
	case r.Evaluation != nil:
		return r.Evaluation.CheckSize()
	case r.Job.N < 1 || r.Job.N > job.MaxImages:
		return fmt.Errorf("n %d: must be in 1 … %d images", r.Job.N, job.MaxImages)
	}
	return nil
}

// steps counts the steps of an image: timesteps that are visited or measured.
func (r Record) steps() int {
	if r.Evaluation != nil {
		return r.Evaluation.Terms
	}
	return r.Job.Settings.Steps
}

// prefix is the folder of the job's results in the Store.
func (r Record) prefix() string {
	if r.Evaluation != nil {
		return checkpoint.EvaluationsPrefix(r.Evaluation.Run, r.ID)
	}
	return checkpoint.SamplesPrefix(r.Job.Run, r.ID)
}

// encode gives the job as JSON: the one that draws, or the one that measures.
func (r Record) encode() (drawn, measured []byte, err error) {
	if r.Evaluation != nil {
		measured, err = r.Evaluation.Encode()
		return nil, measured, err
	}
	drawn, err = r.Job.Encode()
	return drawn, nil, err
}

// tasks are the job's tasks that draw; the one that makes the files comes after them.
func (r Record) tasks() int { return (r.images() + r.TaskSize - 1) / r.TaskSize }

// drawn is what a task draws; nothing for the one that makes the files.
func (r Record) drawn(number int) job.Task {
	first := number * r.TaskSize
	return job.Task{First: first, Count: max(0, min(r.TaskSize, r.images()-first))}
}

// Task is what is kept of a task that was handed out.
type Task struct {
	Done bool `json:"done,omitempty"`
	// Lease is that of the worker which has the task, "" for none.
	Lease  string `json:"lease,omitempty"`
	Worker string `json:"worker,omitempty"`
	// Failures counts how often the task was given back for a reason.
	Failures int `json:"failures,omitempty"`
}

// Ref names a task.
type Ref struct {
	Job    string
	Number int
}

// entry is a job in the queue.
type entry struct {
	Record
	// tasks are those that draw, and the one that makes the files; none of a job that had
	// ended when the queue was read.
	tasks []task
	// done counts tasks that are done, leased those that are out.
	done, leased int
	// next: no task before it waits to be handed out.
	next int
	// refusals are by the workers that could not do a task.
	refusals map[string]refusal
	// silent is when a lease last ran out, if none of its tasks was done since.
	silent time.Time
}

type task struct {
	Task
	// until is when the lease is over. It is known to this coordinator alone.
	until time.Time
	// progress is how much of it is drawn, 0 to 1.
	progress float64
}

// waits says that the task may be handed out.
func (t task) waits() bool { return !t.Done && t.Lease == "" }

// Queue is all jobs with their tasks. Its methods that end in a past participle apply
// what has happened, the others only look.
//
// Invariant: the task that makes a job's files is handed out when all others are done.
type Queue struct {
	// jobs are in the order in which they came.
	jobs []*entry
	byID map[string]*entry
	// seen is when each worker last said something.
	seen map[string]time.Time
}

// NewQueue makes an empty queue.
func NewQueue() *Queue { return &Queue{byID: map[string]*entry{}, seen: map[string]time.Time{}} }

// Next is the task to hand out to a worker now: of the oldest job that has one for it,
// the first. Jobs whose workers fell silent come after the others.
func (q *Queue) Next(worker string, now time.Time) (next Ref, ok bool) {
	for _, e := range q.jobs {
		if e.State != Open || ok && e.suspect(now) || !e.offers(worker, now) || !e.ready() {
			continue
		}
		next, ok = Ref{e.ID, e.next}, true
		if !e.suspect(now) {
			break
		}
	}
	return next, ok
}

// ready says that next waits to be handed out, which it finds.
func (e *entry) ready() bool {
	last := len(e.tasks) - 1
	for ; e.next < last && !e.tasks[e.next].waits(); e.next++ {
	}
	return e.next < last || e.done == last && e.tasks[last].waits()
}

// Expired are the leases that are over at a time, in order.
func (q *Queue) Expired(now time.Time) []Ref {
	var over []Ref
	for _, e := range q.jobs {
		if e.State != Open || e.leased == 0 {
			continue
		}
		for i, t := range e.tasks {
			if t.Lease != "" && !now.Before(t.until) {
				over = append(over, Ref{e.ID, i})
			}
		}
	}
	return over
}

// Held is a task that a lease still has, and otherwise why not.
func (q *Queue) Held(r Ref, lease string) (Task, error) {
	e := q.byID[r.Job]
	switch {
	case e == nil:
		return Task{}, fmt.Errorf("there is no job %s", r.Job)
	case e.State != Open:
		return Task{}, fmt.Errorf("job %s is %s", r.Job, e.State)
	case r.Number < 0 || r.Number >= len(e.tasks):
		return Task{}, fmt.Errorf("job %s has no task %d", r.Job, r.Number)
	case lease == "" || e.tasks[r.Number].Lease != lease:
		return Task{}, fmt.Errorf("the lease of task %d of job %s is over", r.Number, r.Job)
	}
	return e.tasks[r.Number].Task, nil
}

// Find gives a job's record.
func (q *Queue) Find(id string) (Record, bool) {
	if e := q.byID[id]; e != nil {
		return e.Record, true
	}
	return Record{}, false
}

// Task gives a task; the zero Task where it was never handed out.
func (q *Queue) Task(r Ref) Task {
	if e := q.byID[r.Job]; e != nil && r.Number >= 0 && r.Number < len(e.tasks) {
		return e.tasks[r.Number].Task
	}
	return Task{}
}

// Submitted adds a job, by its number, or replaces its record.
func (q *Queue) Submitted(r Record) {
	if e := q.byID[r.ID]; e != nil {
		e.Record = r
		return
	}
	e := &entry{Record: r}
	if r.State == Open {
		e.tasks = make([]task, r.tasks()+1)
	}
	q.byID[r.ID] = e
	at, _ := slices.BinarySearchFunc(q.jobs, e, func(a, b *entry) int {
		return int(min(max(int64(a.Number)-int64(b.Number), -1), 1))
	})
	q.jobs = slices.Insert(q.jobs, at, e)
}

// Changed gives a task another state. A lease holds until the time.
func (q *Queue) Changed(r Ref, t Task, until time.Time) {
	e := q.byID[r.Job]
	if e == nil || r.Number < 0 || r.Number >= len(e.tasks) {
		return
	}
	old := &e.tasks[r.Number]
	e.done += count(t.Done) - count(old.Done)
	e.leased += count(t.Lease != "") - count(old.Lease != "")
	if old.Lease != t.Lease {
		old.progress = 0
	}
	if t.Done && !old.Done {
		e.advanced()
	}
	old.Task, old.until = t, until
	if old.waits() {
		e.next = min(e.next, r.Number)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Progressed notes how far a task is and that its lease holds until the time.
func (q *Queue) Progressed(r Ref, part float64, until time.Time) {
	if e := q.byID[r.Job]; e != nil && r.Number >= 0 && r.Number < len(e.tasks) {
		t := &e.tasks[r.Number]
		t.until, t.progress = until, min(max(part, t.progress), 1)
	}
}

// Progress is how much of a task is drawn, 0 to 1, as far as the lease that is out says.
func (q *Queue) Progress(r Ref) float64 {
	if e := q.byID[r.Job]; e != nil && r.Number >= 0 && r.Number < len(e.tasks) {
		return e.tasks[r.Number].progress
	}
	return 0
}

// Complete says that all of a job's tasks are done.
func (q *Queue) Complete(id string) bool {
	e := q.byID[id]
	return e != nil && e.done == len(e.tasks)
}

// Forgotten removes a job from the queue.
func (q *Queue) Forgotten(id string) {
	delete(q.byID, id)
	q.jobs = slices.DeleteFunc(q.jobs, func(e *entry) bool { return e.ID == id })
}

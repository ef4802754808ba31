package pool

import (
	"maps"
	"time"
)

const (
	// refusedFor is how long a worker that could not do a task of a job is given none of
	// it: as long as it waits in one call, so that it asks again just then.
	refusedFor = waitLimit
	// patience is how long a job that no worker can do waits for one that can. Where
	// maxFailures of them have tried, refusedFor is enough for those that are just coming.
	patience = time.Minute
	// thereFor is how long a worker that says nothing counts as there. One that waits for a
	// task says nothing for waitLimit.
	thereFor = waitLimit + DefaultLease
)

// refusal is that a worker could not do tasks of a job, for reasons of its machine's own.
// It is known to this coordinator alone: the next one's workers tell it anew.
type refusal struct {
	// times counts them since a task of the job was done by anybody; first is then the first.
	times int
	first time.Time
	last  time.Time
}

// Seen notes that a worker is there.
func (q *Queue) Seen(worker string, now time.Time) {
	if _, known := q.seen[worker]; !known {
		// A worker that starts again has another name.
		maps.DeleteFunc(q.seen, func(_ string, at time.Time) bool { return now.Sub(at) > thereFor })
	}
	q.seen[worker] = now
}

// Refused notes that a worker could not do a task of a job.
func (q *Queue) Refused(id, worker string, now time.Time) {
	e := q.byID[id]
	if e == nil {
		return
	}
	if e.refusals == nil {
		e.refusals = map[string]refusal{}
	}
	maps.DeleteFunc(e.refusals, func(worker string, _ refusal) bool { return !q.there(worker, now) })
	r := e.refusals[worker]
	if r.times == 0 {
		r.first = now
	}
	r.times, r.last = r.times+1, now
	e.refusals[worker] = r
}

// Hopeless says that of the workers that are there none can do a job, and how many they
// are. Those that are busy with others have yet to try, so that a few bad ones among many
// fail no job, however often they come back to it; those that have a task of it try again,
// if they have not often.
func (q *Queue) Hopeless(id string, now time.Time) (workers int, hopeless bool) {
	e := q.byID[id]
	if e == nil {
		return 0, false
	}
	trying := map[string]bool{}
	for _, t := range e.tasks {
		if t.Lease != "" {
			trying[t.Worker] = true
		}
	}
	since := now
	for worker := range q.seen {
		if !q.there(worker, now) {
			continue
		}
		r := e.refusals[worker]
		if r.times == 0 || trying[worker] && r.times < maxFailures {
			return 0, false
		}
		if r.first.Before(since) {
			since = r.first
		}
		workers++
	}
	wait := patience
	if workers >= maxFailures {
		wait = refusedFor
	}
	return workers, workers > 0 && now.Sub(since) >= wait
}

func (q *Queue) there(worker string, now time.Time) bool {
	at, ok := q.seen[worker]
	return ok && now.Sub(at) <= thereFor
}

// offers says that a worker may have a task of the job.
func (e *entry) offers(worker string, now time.Time) bool {
	r, refused := e.refusals[worker]
	return !refused || now.Sub(r.last) >= refusedFor
}

// advanced notes that a task of the job was done: it can be done here.
func (e *entry) advanced() {
	e.silent = time.Time{}
	for worker, r := range e.refusals {
		e.refusals[worker] = refusal{last: r.last}
	}
}

package pool

import "time"

// suspectFor is how long a job comes after the others once a worker fell silent that had a
// task of it. It may be what ended the worker, as one that needs more memory than there is,
// and each worker that starts again would begin with it.
const suspectFor = 10 * time.Minute

// Silenced notes that a worker fell silent that had a task of the job.
func (q *Queue) Silenced(id string, now time.Time) {
	if e := q.byID[id]; e != nil {
		e.silent = now
	}
}

func (e *entry) suspect(now time.Time) bool {
	return !e.silent.IsZero() && now.Sub(e.silent) < suspectFor
}

package pool

// Status is how far a job is.
type Status struct {
	Record
	// ImagesDone are those that are in the Store.
	ImagesDone int
	// Previews are the first of them, by number.
	Previews []uint32
	// Fraction is the part of all drawing that is done, that under way included.
	Fraction float64
	// Workers counts the leases that are out.
	Workers int
	// Begun says that a task was ever handed out.
	Begun bool
}

// maxPreviews bounds the images of a job that its status names.
const maxPreviews = 16

// preview names the images of a task that is done, while there is place. A job that
// measures draws none.
func (s *Status) preview(first, count int) {
	if s.Evaluation != nil {
		return
	}
	for i := first; i < first+count && len(s.Previews) < maxPreviews; i++ {
		s.Previews = append(s.Previews, uint32(i))
	}
}

// Status says how far a job is.
func (q *Queue) Status(id string) (Status, bool) {
	e := q.byID[id]
	if e == nil {
		return Status{}, false
	}
	s := Status{Record: e.Record, Workers: e.leased, Begun: e.begun()}
	if e.State == Done {
		s.ImagesDone, s.Fraction = e.images(), 1
		s.preview(0, e.Job.N)
		return s, true
	}
	drawn := 0.0
	for i, t := range e.tasks {
		n := e.drawn(i).Count
		if t.Done {
			s.ImagesDone += n
			s.preview(e.drawn(i).First, n)
			drawn += float64(n)
			continue
		}
		drawn += t.progress * float64(n)
	}
	s.Fraction = drawn / float64(e.images())
	if e.State != Open {
		s.Workers = 0
	}
	return s, true
}

// All lists the jobs in the order in which they came.
func (q *Queue) All() []string {
	ids := make([]string, len(q.jobs))
	for i, e := range q.jobs {
		ids[i] = e.ID
	}
	return ids
}

package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func jobKey(id string) string { return "jobs/" + id }

func tasksPrefix(id string) string { return "tasks/" + id + "/" }

func taskKey(r Ref) string { return fmt.Sprintf("%s%06d", tasksPrefix(r.Job), r.Number) }

// parseTask is the inverse of taskKey.
func parseTask(key string) (Ref, bool) {
	id, number, ok := strings.Cut(strings.TrimPrefix(key, "tasks/"), "/")
	n, err := strconv.Atoi(number)
	r := Ref{id, n}
	return r, ok && err == nil && taskKey(r) == key
}

// keepEnded is how many jobs that have ended are remembered, the newest.
const keepEnded = 200

// load takes up the queue that another coordinator left. Leases hold for their whole
// time once more.
func (s *Server) load(ctx context.Context, keys Keys) error {
	q, number := NewQueue(), uint64(0)
	var refused []Record
	err := keys.Each(ctx, "jobs/", func(_ string, text []byte) error {
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
		number = max(number, r.Number)
		// Tasks of a size that no submission takes might not fit in memory, here and at
		// every restart after.
		if err := r.checkSize(); r.State == Open && err != nil {
			r = r.ended(Failed, fmt.Sprintf("this build does not take a job of its size: %v; submit a smaller one", err))
			refused = append(refused, r)
		}
		q.Submitted(r)
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range refused {
		if err := keys.Put(ctx, jobKey(r.ID), r); err != nil {
			return err
		}
		s.tellEnd(r)
	}
	until := time.Now().Add(s.config.Lease)
	stale := map[string]bool{}
	err = keys.Each(ctx, "tasks/", func(key string, text []byte) error {
		r, ok := parseTask(key)
		if record, found := q.Find(r.Job); !ok || !found || record.State != Open {
			stale[r.Job] = true
			return nil
		}
		var t Task
		if err := json.Unmarshal(text, &t); err != nil {
			return err
		}
		q.Changed(r, t, until)
		return nil
	})
	if err != nil {
		return err
	}
	for id := range stale {
		if err := keys.Delete(ctx, tasksPrefix(id)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.keys, s.number, s.rates = q, keys, number, map[string]rate{}
	s.wake()
	if err := s.settle(ctx); err != nil {
		s.queue, s.keys = nil, nil
		return err
	}
	return nil
}

// settle ends the jobs whose end was not written, or that can't go on here, and
// forgets old ones. s.mu is held.
func (s *Server) settle(ctx context.Context) error {
	ended := 0
	for _, id := range s.queue.All() {
		r, _ := s.queue.Find(id)
		var err error
		switch {
		case r.State != Open:
			ended++
		case s.queue.Complete(id):
			err = s.conclude(ctx, id, Done, "")
		case r.Build != s.config.Build:
			err = s.conclude(ctx, id, Failed, "the coordinator is of another build than the one that began the job, and images of two builds may differ in a bit; submit it again")
		}
		if err != nil {
			return err
		}
	}
	return s.forget(ctx, ended-keepEnded)
}

// forget removes so many of the oldest jobs that have ended. s.mu is held.
func (s *Server) forget(ctx context.Context, n int) error {
	for _, id := range s.queue.All() {
		if n <= 0 {
			return nil
		}
		if r, _ := s.queue.Find(id); r.State == Open {
			continue
		}
		if err := s.keys.Delete(ctx, jobKey(id)); err != nil {
			return err
		}
		s.queue.Forgotten(id)
		n--
	}
	return nil
}

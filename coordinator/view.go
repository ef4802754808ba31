package coordinator

import (
	"maps"
	"slices"
	"sync"
	"time"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/metrics"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// view is what others may see of a run; the loop writes it, everybody reads it.
type view struct {
	mu      sync.Mutex
	status  report.Status
	at      map[string]*seen
	history *report.History
	means   means
	metrics *metrics.Metrics
	access  func() *report.Access
}

// seen is a worker, and when it gave a sign of life.
type seen struct {
	report.Worker
	at time.Time
}

// means are of the last steps.
type means struct{ loss, images, seconds, compute, reduce, update mean }

func newView(run string, start, steps uint64, newest *report.Checkpoint, access func() *report.Access) *view {
	unknown := report.Unknown()
	v := &view{
		status: report.Status{
			Run: run, Version: ddpmcluster.Version(), Started: time.Now().UTC(),
			Phase: "waiting", Reason: "waiting for workers", Step: start, Steps: steps, Checkpoint: newest,
			Loss: unknown, LossMean: unknown, GradientNorm: unknown, LearningRate: unknown, ImagesPerSecond: unknown, SecondsPerStep: unknown, SecondsLeft: unknown,
			Stages: report.Stages{Compute: unknown, Reduce: unknown, Update: unknown},
			Gone:   []report.Worker{}, History: []report.Generation{},
		},
		at: map[string]*seen{}, history: report.NewHistory(), access: access,
	}
	v.metrics = metrics.New(v.snapshot)
	return v
}

func (v *view) change(edit func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	edit()
}

func (v *view) joined(id string, p report.Place) {
	v.change(func() { v.at[id] = &seen{report.Worker{ID: id, Place: p}, time.Now()} })
}

// keptGone is how many workers that are gone the status goes on to show.
const keptGone = 20

// gone notes why a worker is not in the run any more.
func (v *view) gone(id, reason string) {
	v.change(func() {
		w := v.at[id]
		if w == nil {
			return
		}
		delete(v.at, id)
		now := time.Now().UTC()
		w.Gone, w.GoneAt, w.SeenSeconds = reason, &now, time.Since(w.at).Seconds()
		v.status.Gone = last(append(v.status.Gone, w.Worker), keptGone)
	})
}

func (v *view) heard(id string, h *ddpmv1.Heartbeat) {
	v.change(func() {
		if w := v.at[id]; w != nil {
			w.Step, w.ShardRate, w.at = h.GetStep(), h.GetShardRate(), time.Now()
		}
	})
}

// progressed notes a completed step.
func (v *view) progressed(line report.Line) {
	v.metrics.Step(line)
	v.change(func() {
		s, m := &v.status, &v.means
		s.Step, s.Loss, s.GradientNorm, s.LearningRate, s.Images = line.Step, line.Loss, line.GradientNorm, report.Number(line.LearningRate), line.Images
		if line.Skipped {
			s.Skipped++
		} else if line.Loss.Finite() {
			m.loss.add(float64(line.Loss))
			s.LossMean = report.Number(m.loss.value)
		}
		v.history.Add(line.Point())
		if !line.Timed() {
			return
		}
		m.images.add(float64(line.Images))
		m.seconds.add(line.Seconds)
		m.compute.add(line.ComputeSeconds)
		m.reduce.add(line.ReduceSeconds)
		m.update.add(line.UpdateSeconds)
		s.ImagesPerSecond, s.SecondsPerStep = report.Number(m.images.value/m.seconds.value), report.Number(m.seconds.value)
		s.Stages = report.Stages{Compute: report.Number(m.compute.value), Reduce: report.Number(m.reduce.value), Update: report.Number(m.update.value)}
	})
}

// before takes in a step of an earlier coordinator.
func (v *view) before(line report.Line) { v.change(func() { v.history.Add(line.Point()) }) }

// keptGenerations is how many generations the status goes on to show.
const keptGenerations = 100

func (v *view) generation(g core.Generation) {
	v.change(func() {
		v.status.Generation = g.Number
		v.status.History = last(append(v.status.History, report.Generation{Number: g.Number, Members: len(g.Members), StartStep: g.StartStep, Reason: g.Reason, At: time.Now().UTC()}), keptGenerations)
		for _, w := range v.at {
			w.Shards = 0
		}
		for _, m := range g.Members {
			if w := v.at[m.Worker]; w != nil {
				w.Shards = m.Shards
			}
		}
	})
}

// last is a copy of a list's last n elements: a snapshot that has the list keeps it.
func last[T any](list []T, n int) []T { return slices.Clone(list[max(0, len(list)-n):]) }

// phase notes where the run is, and why.
func (v *view) phase(generation uint64, name, reason string) {
	v.change(func() { v.status.Generation, v.status.Phase, v.status.Reason = generation, name, reason })
}

func (v *view) checkpoint(c report.Checkpoint) {
	v.metrics.Checkpoint(c)
	v.change(func() { v.status.Checkpoint = &c })
}

func (v *view) gaveUp(reason string) {
	v.metrics.GaveUp()
	v.change(func() {
		v.status.GivenUp++
		v.status.LastGivenUp = reason
	})
}

func (v *view) ended(e core.End) {
	v.change(func() { v.status.Phase, v.status.Reason = "ended", e.Reason })
}

// snapshot is a copy that nobody else writes to.
func (v *view) snapshot() report.Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.status
	s.At, s.Access = time.Now().UTC(), v.access()
	if n := v.means.seconds.n; n > 0 {
		s.SecondsLeft = s.SecondsPerStep * report.Number(s.Steps-min(s.Step, s.Steps))
	}
	s.Workers = make([]report.Worker, 0, len(v.at))
	for _, id := range slices.SortedFunc(maps.Keys(v.at), report.ByNumber) {
		w := *v.at[id]
		w.SeenSeconds = time.Since(w.at).Seconds()
		s.Workers = append(s.Workers, w.Worker)
	}
	return s
}

// curve is the run's, from a step on.
func (v *view) curve(from uint64, points int) *report.Curve {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.history.Curve(from, points)
}

package coordinator

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// view is what others may see of a run; the loop writes it, HTTP reads it.
type view struct {
	mu     sync.Mutex
	status Status
	at     map[string]*WorkerStatus
}

// Status is what /api/status says.
type Status struct {
	Run        string           `json:"run"`
	Phase      string           `json:"phase"`
	Step       uint64           `json:"step"`
	Steps      uint64           `json:"steps"`
	Loss       number           `json:"loss"`
	Skipped    uint64           `json:"skipped"`
	Generation uint64           `json:"generation"`
	Reason     string           `json:"reason"`
	Workers    []WorkerStatus   `json:"workers"`
	Checkpoint *CheckpointState `json:"checkpoint"`
}

// WorkerStatus is one worker's part of it.
type WorkerStatus struct {
	ID string `json:"id"`
	workerRecord
	Step uint64 `json:"step"`
	// SeenSeconds is how long ago the worker gave a sign of life.
	SeenSeconds float64 `json:"seen_seconds"`
	seen        time.Time
}

// CheckpointState is the newest checkpoint.
type CheckpointState struct {
	Step   uint64 `json:"step"`
	Digest string `json:"digest"`
}

func newView(run string, start, steps uint64, newest *CheckpointState) *view {
	return &view{
		status: Status{Run: run, Phase: "waiting", Step: start, Steps: steps, Reason: "waiting for workers", Checkpoint: newest},
		at:     map[string]*WorkerStatus{},
	}
}

func (v *view) change(edit func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	edit()
}

func (v *view) joined(id string, r workerRecord) {
	v.change(func() { v.at[id] = &WorkerStatus{ID: id, workerRecord: r, seen: time.Now()} })
}

func (v *view) left(id string) { v.change(func() { delete(v.at, id) }) }

func (v *view) heard(id string, step uint64) {
	v.change(func() {
		if w := v.at[id]; w != nil {
			w.Step, w.seen = step, time.Now()
		}
	})
}

func (v *view) progressed(p *ddpmv1.Progress) {
	v.change(func() {
		v.status.Step, v.status.Loss = p.GetStep(), number(p.GetLoss())
		if p.GetSkipped() {
			v.status.Skipped++
		}
	})
}

func (v *view) generation(g core.Generation) {
	v.change(func() { v.status.Generation, v.status.Reason, v.status.Phase = g.Number, g.Reason, "forming" })
}

func (v *view) phase(name string) { v.change(func() { v.status.Phase = name }) }

func (v *view) checkpoint(c CheckpointState) {
	v.change(func() { v.status.Checkpoint = &c })
}

func (v *view) ended(e core.End) {
	v.change(func() { v.status.Phase, v.status.Reason = "ended", e.Reason })
}

// snapshot is a copy that nobody else writes to.
func (v *view) snapshot() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.status
	s.Workers = []WorkerStatus{}
	for _, id := range slices.Sorted(maps.Keys(v.at)) {
		w := *v.at[id]
		w.SeenSeconds = time.Since(w.seen).Seconds()
		s.Workers = append(s.Workers, w)
	}
	return s
}

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
	Run        string         `json:"run"`
	Phase      string         `json:"phase"`
	Step       uint64         `json:"step"`
	Steps      uint64         `json:"steps"`
	Loss       number         `json:"loss"`
	Skipped    uint64         `json:"skipped"`
	Generation uint64         `json:"generation"`
	Reason     string         `json:"reason"`
	Workers    []WorkerStatus `json:"workers"`
	// Gone are the last workers that are not in the run any more, with the reason.
	Gone []WorkerStatus `json:"gone"`
	// History are the last generations.
	History    []GenerationStatus `json:"history"`
	Checkpoint *CheckpointState   `json:"checkpoint"`
}

// WorkerStatus is one worker's part of it.
type WorkerStatus struct {
	ID string `json:"id"`
	workerRecord
	Step uint64 `json:"step"`
	// SeenSeconds is how long ago the worker gave a sign of life.
	SeenSeconds float64 `json:"seen_seconds"`
	// ShardRate is how many shards it computes in a second.
	ShardRate float64 `json:"shard_rate"`
	Shards    int     `json:"shards"`
	// Gone is why it is not in the run any more.
	Gone string `json:"gone,omitempty"`
	seen time.Time
}

// GenerationStatus is a generation that the run had.
type GenerationStatus struct {
	Number    uint64    `json:"number"`
	Members   int       `json:"members"`
	StartStep uint64    `json:"start_step"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
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
		w.Gone = reason
		v.status.Gone = append(v.status.Gone, *w)
		v.status.Gone = slices.Clone(v.status.Gone[max(0, len(v.status.Gone)-keptGone):])
	})
}

func (v *view) heard(id string, h *ddpmv1.Heartbeat) {
	v.change(func() {
		if w := v.at[id]; w != nil {
			w.Step, w.ShardRate, w.seen = h.GetStep(), h.GetShardRate(), time.Now()
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

// keptGenerations is how many generations the status goes on to show.
const keptGenerations = 100

func (v *view) generation(g core.Generation) {
	v.change(func() {
		v.status.Generation = g.Number
		h := append(v.status.History, GenerationStatus{g.Number, len(g.Members), g.StartStep, g.Reason, time.Now().UTC()})
		v.status.History = slices.Clone(h[max(0, len(h)-keptGenerations):])
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

// phase notes where the run is, and why.
func (v *view) phase(generation uint64, name, reason string) {
	v.change(func() { v.status.Generation, v.status.Phase, v.status.Reason = generation, name, reason })
}

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
	if s.Gone == nil {
		s.Gone = []WorkerStatus{}
	}
	if s.History == nil {
		s.History = []GenerationStatus{}
	}
	for _, id := range slices.Sorted(maps.Keys(v.at)) {
		w := *v.at[id]
		w.SeenSeconds = time.Since(w.seen).Seconds()
		s.Workers = append(s.Workers, w)
	}
	return s
}

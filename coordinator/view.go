package coordinator

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/metrics"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// view is what others may see of a run; the loop writes it, everybody reads it.
type view struct {
	mu     sync.Mutex
	status report.Status
	at     map[string]*seen
	// members are those of the newest generation, at first an earlier coordinator's.
	members []core.Member
	history *report.History
	means   means
	metrics *metrics.Metrics
	access  func() *report.Access
	// macs are the network's multiply-adds for an image.
	macs int
}

// seen is a worker, and when it gave a sign of life.
type seen struct {
	report.Worker
	at time.Time
}

// means are of the last steps.
type means struct {
	loss, images, seconds                                                 mean
	compute, input, forward, backward, reduce, hidden, update, checkpoint mean
	slices                                                                [report.TimeSlices]mean
}

// add takes in a step's stages.
func (m *means) add(s report.StageSeconds) report.Stages {
	next := func(m *mean, v float64) report.Number {
		m.add(v)
		return report.Number(m.value)
	}
	return report.Stages{
		Compute: next(&m.compute, s.Compute), Input: next(&m.input, s.Input), Forward: next(&m.forward, s.Forward),
		Backward: next(&m.backward, s.Backward), Reduce: next(&m.reduce, s.Reduce), Hidden: next(&m.hidden, s.Hidden),
		Update: next(&m.update, s.Update), Checkpoint: next(&m.checkpoint, s.Checkpoint),
	}
}

// addSlices takes in a step's losses by timestep.
func (m *means) addSlices(s report.Slices) []report.Number {
	out := make([]report.Number, report.TimeSlices)
	for i := range out {
		if s.Examples[i] > 0 {
			m.slices[i].add(s.Loss[i] / s.Examples[i])
		}
		out[i] = report.Unknown()
		if m.slices[i].n > 0 {
			out[i] = report.Number(m.slices[i].value)
		}
	}
	return out
}

// passes is how often the network's multiplications are made for an example: forward,
// and backward by the inputs and by the weights.
const passes = 3

func newView(run string, start, steps uint64, newest *report.Checkpoint, macs int, access func() *report.Access, more ...prometheus.Collector) *view {
	unknown := report.Unknown()
	v := &view{
		status: report.Status{
			Run: run, Version: ddpmcluster.Version(), Started: time.Now().UTC(),
			Phase: "waiting", Reason: "waiting for workers", Step: start, Steps: steps, Checkpoint: newest,
			Loss: unknown, LossMean: unknown, GradientNorm: unknown, LearningRate: unknown, ImagesPerSecond: unknown, SecondsPerStep: unknown, SecondsLeft: unknown,
			Stages:         report.Stages{Compute: unknown, Input: unknown, Forward: unknown, Backward: unknown, Reduce: unknown, Hidden: unknown, Update: unknown, Checkpoint: unknown},
			FlopsPerSecond: unknown, PeakFlopsPerSecond: unknown, PeakShare: unknown, SliceLoss: new(means).addSlices(report.Slices{}),
			Gone: []report.Worker{}, History: []report.Generation{},
		},
		at: map[string]*seen{}, history: report.NewHistory(), access: access, macs: macs,
	}
	v.metrics = metrics.New(v.snapshot, more...)
	return v
}

func (v *view) change(edit func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	edit()
}

func (v *view) joined(id string, p report.Place) {
	v.change(func() {
		w := &seen{report.Worker{ID: id, Place: p, Rank: -1}, time.Now()}
		v.at[id] = w
		// One that comes back may be a member already.
		if rank := slices.IndexFunc(v.members, func(m core.Member) bool { return m.Worker == id }); rank >= 0 {
			w.Shards, w.Rank = v.members[rank].Shards, rank
		}
	})
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
		w.Gone, w.GoneAt, w.SeenSeconds = reason, &now, v.silence(w)
		v.status.Gone = last(append(v.status.Gone, w.Worker), keptGone)
	})
}

func (v *view) heard(id string, h *ddpmv1.Heartbeat) {
	v.change(func() {
		if w := v.at[id]; w != nil {
			w.Step, w.ShardRate, w.at = h.GetStep(), h.GetShardRate(), time.Now()
			w.RingSentBytes, w.RingBytesPerSecond = h.GetRingSentBytes(), h.GetRingBytesPerSecond()
			l := linkOf(h)
			w.LinkLatencySeconds, w.LinkBytesPerSecond = l.Latency, l.Bandwidth
		}
	})
}

// progressed notes a completed step.
func (v *view) progressed(line report.Line) {
	v.metrics.Step(line)
	v.change(func() {
		s, m := &v.status, &v.means
		now := time.Now().UTC()
		s.StepAt = &now
		s.Step, s.Loss, s.GradientNorm, s.LearningRate, s.Images = line.Step, line.Loss, line.GradientNorm, report.Number(line.LearningRate), line.Images
		if line.Skipped {
			s.Skipped++
		} else if line.Loss.Finite() {
			m.loss.add(float64(line.Loss))
			s.LossMean = report.Number(m.loss.value)
			s.SliceLoss = m.addSlices(line.Slices())
		}
		v.history.Add(line.Point())
		if !line.Timed() {
			return
		}
		m.images.add(float64(line.Images))
		m.seconds.add(line.Seconds)
		s.ImagesPerSecond, s.SecondsPerStep = report.Number(m.images.value/m.seconds.value), report.Number(m.seconds.value)
		s.Stages = m.add(line.Stages())
	})
}

// before takes in a step of an earlier coordinator.
func (v *view) before(line report.Line) { v.change(func() { v.history.Add(line.Point()) }) }

// keptGenerations is how many generations the status goes on to show.
const keptGenerations = 100

func (v *view) generation(g core.Generation) {
	v.change(func() {
		v.status.Generation, v.status.HalvingElems, v.status.AllReduce = g.Number, g.HalvingElems, g.AllReduce
		v.status.History = last(append(v.status.History, report.Generation{Number: g.Number, Members: len(g.Members), StartStep: g.StartStep, Reason: g.Reason, At: time.Now().UTC()}), keptGenerations)
		v.members = g.Members
		v.rank()
	})
}

// rank tells workers their places in the newest generation.
func (v *view) rank() {
	for _, w := range v.at {
		w.Shards, w.Rank = 0, -1
	}
	for rank, m := range v.members {
		if w := v.at[m.Worker]; w != nil {
			w.Shards, w.Rank = m.Shards, rank
		}
	}
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
	v.change(func() {
		v.status.Phase, v.status.Reason = "ended", e.Reason
		v.status.Step = max(v.status.Step, e.Step) // the last step's line may come too late
	})
}

// silence is for how many seconds nothing has shown that a worker lives: neither it nor a
// step, which takes all members.
func (v *view) silence(w *seen) float64 {
	at := w.at
	if s := v.status.StepAt; w.Rank >= 0 && s != nil && s.After(at) {
		at = *s
	}
	return time.Since(at).Seconds()
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
		w.SeenSeconds = v.silence(&w)
		s.Workers = append(s.Workers, w.Worker)
	}
	v.speed(&s)
	return s
}

// speed says what the run makes of its machines.
func (v *view) speed(s *report.Status) {
	peak := 0.0
	for _, w := range s.Workers {
		if w.Rank < 0 {
			continue
		}
		if w.CoreFlopsPerSecond == 0 {
			return // of one that does not tell, the whole is not known
		}
		peak += w.CoreFlopsPerSecond * float64(max(w.Threads, 1))
	}
	if peak == 0 {
		return
	}
	s.PeakFlopsPerSecond = report.Number(peak)
	s.FlopsPerSecond = s.ImagesPerSecond * report.Number(2*passes*v.macs)
	s.PeakShare = s.FlopsPerSecond / s.PeakFlopsPerSecond
}

// curve is the run's, from a step on.
func (v *view) curve(from uint64, points int) *report.Curve {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.history.Curve(from, points)
}

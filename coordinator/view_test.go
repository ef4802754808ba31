package coordinator

import (
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// line is a step as a worker tells it.
func line(step uint64) report.Line {
	l := report.Line{
		Step: step, Loss: 0.5, GradientNorm: 1, Images: 128, Seconds: 1, ComputeSeconds: 0.7, InputSeconds: 0.1, ForwardSeconds: 0.2,
		BackwardSeconds: 0.3, ReduceSeconds: 0.1, UpdateSeconds: 0.1, CheckpointSeconds: 0.1,
		SliceLoss: make([]float64, report.TimeSlices), SliceExamples: make([]uint32, report.TimeSlices),
	}
	l.SliceLoss[9], l.SliceExamples[9] = 0.25, 128
	return l
}

// The status says where a step's time goes, how the loss is along the timesteps, and
// what the run makes of its machines.
func TestViewOfAStep(t *testing.T) {
	t.Parallel()
	v := newView("r", 0, 9, nil, 1000, (*security)(nil).counts)
	v.joined("w1", report.Place{Threads: 2, CoreFlopsPerSecond: 1e6})
	v.progressed(line(1))
	s := v.snapshot()
	if s.PeakShare.Finite() || s.Workers[0].Rank != -1 {
		t.Errorf("without members the share of the peak is %v, and the worker's rank %d", s.PeakShare, s.Workers[0].Rank)
	}
	v.change(func() { v.at["w1"].Rank = 0 })
	s = v.snapshot()
	// 128 images a second, 3 passes of 1000 multiply-adds, on two cores.
	if s.FlopsPerSecond != 128*3*2*1000 || s.PeakFlopsPerSecond != 2e6 || s.PeakShare != 0.384 {
		t.Errorf("%v of %v FLOP/s are %v", s.FlopsPerSecond, s.PeakFlopsPerSecond, s.PeakShare)
	}
	if s.Stages.Checkpoint != 0.1 || s.Stages.Backward != 0.3 || s.StepAt == nil || s.SliceLoss[9] != 0.25 || s.SliceLoss[0].Finite() {
		t.Errorf("%+v, %v, %v", s.Stages, s.SliceLoss, s.StepAt)
	}
}

// What the status, the curves and the metrics take of a coordinator for a step.
func BenchmarkViewOfAStep(b *testing.B) {
	v := newView("r", 0, 1<<40, nil, 1000, (*security)(nil).counts)
	for i := 0; b.Loop(); i++ {
		v.progressed(line(uint64(i + 1)))
	}
}

// A completed step shows that all members live, and nothing of those who are none.
func TestStepsShowThatMembersLive(t *testing.T) {
	t.Parallel()
	v := newView("r", 0, 9, nil, 1000, (*security)(nil).counts)
	long := time.Now().Add(-time.Minute)
	for _, id := range []string{"w1", "w2"} {
		v.joined(id, report.Place{})
		v.at[id].at = long
	}
	v.generation(core.Generation{Number: 1, Members: []core.Member{{Worker: "w2", Shards: 1}}})
	v.progressed(line(1))
	s := v.snapshot()
	if s.Workers[0].SeenSeconds < 60 || s.Workers[1].SeenSeconds > 30 || s.Workers[1].Rank != 0 {
		t.Errorf("after a step of w2 the workers are %+v", s.Workers)
	}
	v.joined("w2", report.Place{})
	if w := v.snapshot().Workers[1]; w.Rank != 0 || w.Shards != 1 {
		t.Errorf("a member that has come back is %+v", w)
	}
}

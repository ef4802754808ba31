package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// The law, as far as this package can break it: how many workers there are and how
// the shards are dealt changes nothing.
func TestAnyNumberOfWorkersGivesTheSameBits(t *testing.T) {
	want, wantLoss, wantSlices := "", 0.0, ""
	for _, workers := range []int{1, 2, 3, 9} { // of 9 workers one has no shard
		c := newCluster(t, workers)
		c.every = 1
		f, digest := c.train(t)
		last := f.progress[len(f.progress)-1]
		slices := fmt.Sprint(last.GetSliceLoss(), last.GetSliceExamples())
		if want == "" {
			want, wantLoss, wantSlices = digest, last.GetLoss(), slices
		}
		if examples := last.GetSliceExamples(); slices != wantSlices || sum(examples) != uint32(c.spec.Batch) {
			t.Errorf("%d workers: losses by timestep %s of %d examples, one has %s", workers, slices, c.spec.Batch, wantSlices)
		}
		if digest != want || last.GetLoss() != wantLoss {
			t.Errorf("%d workers: digest %s and loss %v, one has %s and %v", workers, digest, last.GetLoss(), want, wantLoss)
		}
		if len(f.parts) != int(c.steps) || len(f.progress) != int(c.steps) {
			t.Errorf("%d workers: %d checkpoints and %d reports of %d steps", workers, len(f.parts), len(f.progress), c.steps)
		}
	}
}

func sum(all []uint32) (total uint32) {
	for _, n := range all {
		total += n
	}
	return total
}

// The same with the real network, and with threads.
func TestRealDeviceGivesTheSameBits(t *testing.T) {
	want := ""
	for _, k := range []struct{ workers, threads int }{{1, 1}, {2, 2}, {3, 1}} {
		c := newCluster(t, k.workers)
		c.threads, c.steps, c.device = k.threads, 3, newCPU
		_, digest := c.train(t)
		if want == "" {
			want = digest
		}
		if digest != want {
			t.Errorf("%d workers with %d threads: digest %s, want %s", k.workers, k.threads, digest, want)
		}
	}
}

// A run whose gradient is rounded to bfloat16 is another one, and keeps the law.
func TestBF16GivesTheSameBitsForAnyMembers(t *testing.T) {
	sameBitsAndOthers(t, []int{1, 2, 3, 9}, func(s *ddpm.Spec) { s.GatherDtype = ddpm.GatherBF16 })
}

// A run whose sums have fewer bits after the point is another one, and keeps the law.
func TestFractionBitsGiveTheSameBitsForAnyMembers(t *testing.T) {
	sameBitsAndOthers(t, []int{1, 3}, func(s *ddpm.Spec) { s.FractionBits = ddpm.MinFractionBits })
}

// sameBitsAndOthers wants one digest of a changed spec for all numbers of workers, and
// another one than the usual spec's.
func sameBitsAndOthers(t *testing.T, numbers []int, change func(*ddpm.Spec)) {
	t.Helper()
	usual, want := newCluster(t, 1).quiet(t), ""
	for _, workers := range numbers {
		_, digest := newCluster(t, workers, change).train(t)
		if want == "" {
			want = digest
		}
		if digest != want || digest == usual {
			t.Errorf("%d workers: digest %s, want %s, of the usual spec it is %s", workers, digest, want, usual)
		}
	}
}

func TestResumeWithAnotherNumberOfWorkers(t *testing.T) {
	quiet := newCluster(t, 1)
	quiet.steps = 7
	_, want := quiet.train(t)

	c := newCluster(t, 3)
	c.steps = 5
	c.train(t)
	c.workers, c.from, c.steps = 2, 5, 7
	if _, digest := c.train(t); digest != want {
		t.Errorf("resumed at step 5: digest %s, want %s", digest, want)
	}
}

func TestCheckpointHoldsEverything(t *testing.T) {
	c := newCluster(t, 3)
	f, digest := c.train(t)
	st := openTestStore(t, c.storage)
	m, err := checkpoint.At(t.Context(), st, runName, c.steps)
	if err != nil {
		t.Fatal(err)
	}
	state := ddpm.EmptyState(c.spec.Model.ParamCount())
	state.Step = c.steps
	if err := checkpoint.Load(t.Context(), st, m, checkpoint.State{Weights: state.Weights, M: state.M, V: state.V, EMA: state.EMA}); err != nil {
		t.Fatal(err)
	}
	if state.Digest() != digest {
		t.Errorf("the parts make up %s, the workers had %s", state.Digest(), digest)
	}
	ema, err := checkpoint.LoadEMA(t.Context(), st, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.spec.Model.Params() {
		for i, w := range ema[p.Name].Data {
			if math.Float32bits(w) != math.Float32bits(state.EMA[p.Offset+i]) {
				t.Fatalf("%s[%d] is %v for diffusers, %v in the state", p.Name, i, w, state.EMA[p.Offset+i])
			}
		}
	}
	for _, key := range []string{checkpoint.ModelIndexKey, checkpoint.UNetConfigKey, checkpoint.SchedulerConfigKey} {
		if text, err := checkpoint.ReadObject(t.Context(), st, m, key); err != nil || len(text) == 0 {
			t.Errorf("%s has %d bytes: %v", key, len(text), err)
		}
	}
	images := map[uint32]int{}
	for _, p := range f.parts[c.steps] {
		for _, preview := range p.GetPreviews() {
			images[preview.GetIndex()] += len(preview.GetPixels())
		}
	}
	const previews = 16 // of small images
	for i := range uint32(previews) {
		if images[i] != c.spec.Model.ImageLen() {
			t.Errorf("preview %d has %d bytes, want %d", i, images[i], c.spec.Model.ImageLen())
		}
	}
	if len(images) != previews {
		t.Errorf("%d previews, want %d", len(images), previews)
	}
}

func TestOverflowIsSkippedByAllAlike(t *testing.T) {
	for name, spoiled := range map[string]func([]float32) float64{
		"an infinite gradient": func(g []float32) float64 { g[3] = inf; return 1 },
		"NaN in a gradient":    func(g []float32) float64 { g[len(g)-1] = inf - inf; return 1 },
		"NaN as loss":          func([]float32) float64 { return math.NaN() },
	} {
		t.Run(name, func(t *testing.T) {
			train := func(workers int, steps uint64) (*fake, string) {
				c := newCluster(t, workers)
				c.steps = steps
				c.device = spoil(func(shard []ddpm.Example, grad []float32) (float64, error) {
					if shard[0].Step == 1 && shard[0].Slot == 6 {
						return spoiled(grad), nil
					}
					return 1, nil
				})
				return c.train(t)
			}
			_, want := train(1, 3)
			for _, workers := range []int{3, 8} { // 8 have a shard each
				f, digest := train(workers, 3)
				if digest != want {
					t.Errorf("%d workers: digest %s, one has %s", workers, digest, want)
				}
				for _, p := range f.progress {
					if p.GetSkipped() != (p.GetStep() == 2) {
						t.Errorf("%d workers, step %d: skipped is %v", workers, p.GetStep(), p.GetSkipped())
					}
					if finite := !math.IsNaN(p.GetLoss()); finite == (p.GetSkipped() && math.IsNaN(spoiled(make([]float32, 9)))) {
						t.Errorf("%d workers, step %d: the loss is %v", workers, p.GetStep(), p.GetLoss())
					}
				}
			}
		})
	}
}

// One vote, heard by one worker, ends all of them after the same step.
func TestYieldEndsAllAtTheSameStep(t *testing.T) {
	c := newCluster(t, 3)
	c.steps = 1_000_000
	var told atomic.Bool
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() >= 3 && !told.Swap(true) {
			f.stopping = true
			f.peers[1].yield(fakeTerm, fakeGeneration, true)
		}
		return false
	}
	f, errs := c.run(t.Context(), t)
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if len(f.parts) != 1 {
		t.Fatalf("checkpoints of %d steps, want one", len(f.parts))
	}
	for step, parts := range f.parts {
		if len(parts) != 3 || step < 3 || step >= c.steps {
			t.Errorf("%d parts of step %d", len(parts), step)
		}
		for _, p := range parts {
			if p.GetDigest() != parts[0].GetDigest() {
				t.Errorf("a part has another digest: %v", p)
			}
		}
	}
}

func TestInterruptionOfAllEndsTheRunWithACheckpoint(t *testing.T) {
	c := newCluster(t, 2)
	c.steps = 1_000_000
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 2 {
			interrupt()
		}
		return false
	}
	f, errs := c.run(ctx, t)
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if len(f.parts) != 1 {
		t.Errorf("checkpoints of %d steps, want one", len(f.parts))
	}
}

func TestInterruptionBeforeTraining(t *testing.T) {
	c := newCluster(t, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetAvailable() == nil {
			return false
		}
		interrupt()
		return true
	}
	f, errs := c.run(ctx, t)
	if !errors.Is(errs[0], errInterrupted) {
		t.Errorf("got %v", errs[0])
	}
	if len(f.failures) != 1 || !strings.Contains(f.failures[0].GetReason(), "interrupted") {
		t.Errorf("the coordinator heard %v", f.failures)
	}
}

func TestHeartbeatsTellTheStep(t *testing.T) {
	c := newCluster(t, 2)
	c.steps = 1_000_000
	var told atomic.Bool
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetHeartbeat().GetStep() >= 2 && m.GetHeartbeat().GetGeneration() == fakeGeneration && !told.Swap(true) {
			f.stop()
		}
		return false
	}
	f, _ := c.run(t.Context(), t)
	if f.most < 2 {
		t.Errorf("the highest step in a heartbeat is %d", f.most)
	}
}

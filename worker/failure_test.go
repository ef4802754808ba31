package worker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// atStep calls f once, when rank 0 tells that it completed a step.
func atStep(step uint64, act func(*fake)) func(*fake, *peer, *ddpmv1.WorkerMessage) bool {
	return func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress() != nil && m.GetProgress().GetStep() == step {
			act(f)
		}
		return false
	}
}

func wantErrors(t *testing.T, errs []error, texts ...string) {
	t.Helper()
	for i, err := range errs {
		if err == nil {
			t.Errorf("worker %d ends without an error, want one with %q", i, texts)
			continue
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("worker %d: %q does not say %q", i, err, text)
			}
		}
	}
}

func TestLostCoordinator(t *testing.T) {
	c := newCluster(t, 2)
	c.steps = 1_000_000
	c.onMessage = atStep(3, func(f *fake) {
		for _, p := range f.peers {
			close(p.dropped)
		}
	})
	f, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "the coordinator at "+f.address+" is gone", "start it again")
}

// One of three leaves without a word to its neighbours. They notice by the ring,
// tell the coordinator, and end.
func TestLostNeighbour(t *testing.T) {
	c := newCluster(t, 3)
	c.steps = 1_000_000
	c.onMessage = atStep(3, func(f *fake) { f.peers[1].dismiss(false, "a test") })
	f, errs := c.run(t.Context(), t)
	rings := 0
	for _, err := range errs {
		switch {
		case err == nil:
			t.Error("a worker ends as if nothing had happened")
		case strings.Contains(err.Error(), "ended the run: a test"):
		case strings.Contains(err.Error(), "all-reduce") && strings.Contains(err.Error(), "newest checkpoint"):
			rings++
		default:
			t.Errorf("got %v", err)
		}
	}
	if rings != 2 || len(f.failures) != 2 {
		t.Errorf("%d workers lost the ring and told of %d failures, want 2", rings, len(f.failures))
	}
	// A worker may lack one step that the told one has completed.
	for _, failure := range f.failures {
		if failure.GetGeneration() != fakeGeneration || failure.GetStep() < 2 {
			t.Errorf("a failure does not say where: %v", failure)
		}
	}
}

// A coordinator that does not answer a Failure holds nobody for long.
func TestFailureIsNotWaitedOutForever(t *testing.T) {
	c := newCluster(t, 1)
	c.device = spoil(func([]ddpm.Example, []float32) (float64, error) { return 0, errors.New("no such device") })
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		return m.GetFailure() != nil
	}
	c.patience = 50 * time.Millisecond
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "compute step 0: shard 0: no such device")
}

// What concerns another generation or comes from a former leader changes nothing.
func TestStaleDirectivesAreRefused(t *testing.T) {
	quiet := newCluster(t, 2)
	_, want := quiet.train(t)
	c := newCluster(t, 2)
	c.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetReady() != nil {
			p.begin(fakeTerm, fakeGeneration-1)
			p.begin(fakeTerm, fakeGeneration+1)
			stale := f.assignment(p)
			stale.Generation.Number, stale.LastStep = fakeGeneration-1, 1
			p.assign(stale)
			p.assign(f.assignment(p)) // once more
			p.say(fakeTerm-1, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Stop{Stop: &ddpmv1.Stop{}}})
			p.say(fakeTerm-1, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: &ddpmv1.Dismiss{}}})
		}
		return false
	}
	if _, digest := c.train(t); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
}

// A newer generation replaces the one that a worker is in, also in mid-step.
func TestNewerGenerationReplacesTheCurrent(t *testing.T) {
	quiet := newCluster(t, 2)
	_, want := quiet.train(t)
	c := newCluster(t, 2)
	next := func(a *ddpmv1.Assignment, number, steps uint64) *ddpmv1.Assignment {
		a.Generation.Number, a.LastStep = number, steps
		return a
	}
	c.onAssign = func(a *ddpmv1.Assignment) { a.LastStep = 1_000_000 }
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		// Who hears of it later may find its ring broken before, and says so.
		if failure := m.GetFailure(); failure.GetGeneration() == fakeGeneration && failure.GetConsequence() {
			return true
		}
		if p := m.GetProgress(); p.GetGeneration() == fakeGeneration && p.GetStep() == 2 {
			f.ready = 0
			for _, q := range f.peers {
				q.assign(next(f.assignment(q), fakeGeneration+1, c.steps))
			}
		}
		return false
	}
	if _, digest := c.train(t); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
}

// A generation that is not newer does not make a worker with a broken ring wait for
// ever.
func TestStaleGenerationAfterABrokenRing(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.patience = 1_000_000, 100*time.Millisecond
	c.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 3 {
			f.peers[1].dismiss(false, "a test")
		}
		if m.GetFailure() == nil {
			return false
		}
		stale := f.assignment(p)
		stale.Generation.Number = fakeGeneration - 1
		p.assign(stale)
		return true
	}
	_, errs := c.run(t.Context(), t)
	for _, err := range errs { // in no order
		if err != nil && strings.Contains(err.Error(), "all-reduce") && strings.Contains(err.Error(), "newest checkpoint") {
			return
		}
	}
	t.Errorf("nobody ends by the ring: %v", errs)
}

func TestShardsThatAreNotDealtOut(t *testing.T) {
	c := newCluster(t, 2)
	c.onAssign = func(a *ddpmv1.Assignment) { a.Generation.Members[1].Shards-- }
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "computed 7 shards, not 8")
}

func TestAssignmentsThatCannotBe(t *testing.T) {
	for name, k := range map[string]struct {
		bend func(*ddpmv1.Assignment)
		want string
	}{
		"another's rank":       {func(a *ddpmv1.Assignment) { a.Rank++ }, "does not have worker w0 at rank 1"},
		"another's name":       {func(a *ddpmv1.Assignment) { a.Generation.Members[0].WorkerId = "x" }, "does not have worker w0"},
		"nothing to train":     {func(a *ddpmv1.Assignment) { a.LastStep = 0 }, "which is nothing"},
		"no source":            {func(a *ddpmv1.Assignment) { a.Generation.Source = 0 }, "UNSPECIFIED"},
		"initial in mid-run":   {func(a *ddpmv1.Assignment) { a.Generation.StartStep = 2 }, "starts at step 2 from the initial weights"},
		"shards out of range":  {func(a *ddpmv1.Assignment) { a.Generation.Members[0].Shards = 9 }, "shards 0 to 8 of 8"},
		"no such checkpoint":   {func(a *ddpmv1.Assignment) { fromCheckpoint(a, 3) }, "no checkpoint of step 3"},
		"a generation of none": {func(a *ddpmv1.Assignment) { a.Generation.Members = nil }, "does not have worker w0"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.onAssign = k.bend
			f, errs := c.run(t.Context(), t)
			wantErrors(t, errs, k.want)
			if len(f.failures) != 1 || !strings.Contains(f.failures[0].GetReason(), k.want) {
				t.Errorf("the coordinator heard %v", f.failures)
			}
		})
	}
}

func fromCheckpoint(a *ddpmv1.Assignment, step uint64) {
	a.Generation.Source, a.Generation.StartStep = ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT, step
}

func TestUploadThatFails(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.every = 1_000_000, 2
	// A file lies where the checkpoints' folder belongs.
	if err := os.WriteFile(filepath.Join(c.storage, "runs", runName, "checkpoints"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f, errs := c.run(t.Context(), t)
	// The one whose upload failed says so; its neighbour, if it says anything, that
	// it fails by its ring.
	for _, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "checkpoint of step 2") && !strings.Contains(err.Error(), "broke the link") {
			t.Errorf("a worker ends with %v", err)
		}
	}
	uploads := 0
	for _, failure := range f.failures {
		upload := strings.HasPrefix(failure.GetReason(), "checkpoint of step 2")
		if upload {
			uploads++
		}
		if upload == failure.GetConsequence() {
			t.Errorf("a failure is not told as what it is: %v", failure)
		}
	}
	if uploads == 0 {
		t.Errorf("nobody tells that the checkpoint failed: %v, %v", errs, f.failures)
	}
}

// What a machine lacks is told before anything is trained.
func TestMachinesThatDoNotFit(t *testing.T) {
	for name, k := range map[string]struct {
		bend func(*testing.T, *cluster)
		want []string
	}{
		"another storage": {
			func(t *testing.T, c *cluster) { c.storage = t.TempDir() },
			[]string{"does not see the run's storage at", "s3://"},
		},
		"another run of that name": {
			func(t *testing.T, c *cluster) {
				other := c.spec
				other.Seed++
				c.storage = t.TempDir()
				c.createRun(t, other)
			},
			[]string{"is another run", "seed: 2, not 1"},
		},
		"other data": {
			func(t *testing.T, c *cluster) {
				c.storage, c.spec.DatasetDigest = t.TempDir(), "sha256:other"
				c.createRun(t, c.spec)
			},
			[]string{"the dataset at " + "glyphs://", "differs from the run's"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			k.bend(t, c)
			f, errs := c.run(t.Context(), t)
			wantErrors(t, errs, k.want...)
			if len(f.failures) != 1 {
				t.Errorf("the coordinator heard %v", f.failures)
			}
		})
	}
}

func TestRefusedAtTheDoor(t *testing.T) {
	c := newCluster(t, 1)
	c.onHello = func(_ *fake, p *peer) bool {
		p.dismiss(false, "its build differs; use the same on all machines")
		return true
	}
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "refuses this worker: its build differs; use the same on all machines")
}

func TestCoordinatorThatSaysNothing(t *testing.T) {
	c := newCluster(t, 1)
	c.patience = 100 * time.Millisecond
	c.onHello = func(*fake, *peer) bool { return true }
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "does not answer a Hello")
}

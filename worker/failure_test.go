package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// atStep acts when rank 0 tells that it completed a step.
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

// One of three leaves without a word to its neighbours. They notice by the ring,
// say where they stand, and go on without it to the same bits.
func TestLostNeighbour(t *testing.T) {
	f := leaveOne(t, newCluster(t, 3), 1)
	broke := 0
	for _, p := range f.positions {
		if p.GetGeneration() == fakeGeneration && p.GetBroke() != "" && !p.GetTraining() && p.GetHasState() && p.GetStep() >= 2 {
			broke++
		}
	}
	if broke < 2 {
		t.Errorf("%d workers told that their ring broke, want both that stayed: %v", broke, f.positions)
	}
}

// leaveOne trains, and has one member leave without a word to the others, which notice it
// and go on to the same bits.
func leaveOne(t *testing.T, c *cluster, member int) *fake {
	t.Helper()
	c.steps = 12
	want := quietOf(t, c)
	g := newGauge(5)
	c.device = spoil(g.after)
	c.onMessage = atStep(3, func(f *fake) { f.peers[member].dismiss(false, "a test") })
	released := false
	c.onSettled = func(*fake) bool {
		if !released { // they notice while they compute
			released = true
			g.release()
		}
		return false
	}
	f, errs := c.run(t.Context(), t)
	left := 0
	for _, err := range errs {
		if err != nil {
			left++
			wantErrors(t, []error{err}, "ended this worker: a test")
		}
	}
	if left != 1 {
		t.Errorf("%d workers end with an error, want the one that was sent away: %v", left, errs)
	}
	if digest := f.digest(c.steps); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	return f
}

// A coordinator that does not answer a Failure holds nobody for long.
func TestFailureIsNotWaitedOutForever(t *testing.T) {
	c := newCluster(t, 1)
	c.device = spoil(func([]ddpm.Example, []float32) (float64, error) { return 0, errors.New("no such device") })
	told := make(chan struct{})
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetFailure() != nil {
			close(told)
			return true
		}
		return false
	}
	f, stop := serveFake(t, c)
	defer stop()
	l := c.worker(0, f.address)
	l.patience = 2 * time.Second
	wantErrors(t, []error{l.live(t.Context())}, "compute shard 0 of step 0: no such device")
	<-told
}

// What concerns another generation or comes from a former leader changes nothing.
func TestStaleDirectivesAreRefused(t *testing.T) {
	c := newCluster(t, 2)
	want := c.quiet(t)
	c.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetReady() != nil {
			stale := f.assignment(f.generation, 0)
			stale.Generation.Number, stale.Generation.LastStep = fakeGeneration-1, 1
			p.assign(stale)
			p.assign(f.assignment(f.generation, int(f.rank(p)))) // once more
			p.halt(fakeTerm, fakeGeneration-1)
			p.halt(fakeTerm-1, fakeGeneration)
			p.yield(fakeTerm, fakeGeneration-1, true)
			p.yield(fakeTerm, fakeGeneration+1, true)
			p.yield(fakeTerm-1, fakeGeneration, true)
			p.say(fakeTerm-1, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: &ddpmv1.Dismiss{}}})
		}
		return false
	}
	f, digest := c.train(t)
	if digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	if f.generation.GetNumber() != fakeGeneration || len(f.parts) != 1 {
		t.Errorf("%d generations and %d checkpoints, want one of each", f.generation.GetNumber()-fakeGeneration+1, len(f.parts))
	}
}

func (f *fake) rank(p *peer) uint32 {
	for r, m := range f.generation.GetMembers() {
		if m.GetWorkerId() == p.id {
			return uint32(r)
		}
	}
	f.t.Fatalf("%s is no member", p.id)
	return 0
}

func TestShardsThatAreNotDealtOut(t *testing.T) {
	c := newCluster(t, 2)
	// Also to one whose ring broke as the other failed, and that goes on alone.
	c.onAssign = func(a *ddpmv1.Assignment) {
		m := a.Generation.Members[len(a.Generation.Members)-1]
		m.Extra = m.Extra[1:]
	}
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "computed 7 shards, not 8")
}

func TestAssignmentsThatCannotBe(t *testing.T) {
	for name, k := range map[string]struct {
		bend func(*ddpmv1.Assignment)
		want string
	}{
		"another's rank":      {func(a *ddpmv1.Assignment) { a.Rank++ }, "does not have worker w0 at rank 1"},
		"another's name":      {func(a *ddpmv1.Assignment) { a.Generation.Members[0].WorkerId = "x" }, "does not have worker w0"},
		"back in time":        {func(a *ddpmv1.Assignment) { a.Generation.StartStep = 9 }, "trains from step 9 to 4"},
		"no source":           {func(a *ddpmv1.Assignment) { a.Generation.Source = 0 }, "UNSPECIFIED"},
		"initial in mid-run":  {func(a *ddpmv1.Assignment) { a.Generation.StartStep = 2 }, "starts at step 2 from the initial weights"},
		"shards out of range": {func(a *ddpmv1.Assignment) { a.Generation.Members[0].Shards = 9 }, "9 shards from 0, of 8"},
		"extra out of range":  {func(a *ddpmv1.Assignment) { a.Generation.Members[0].Extra[0] = 8 }, "shard 8 of 8"},
		"no such checkpoint":  {func(a *ddpmv1.Assignment) { fromCheckpoint(a, 3) }, "no checkpoint of step 3"},
		"a stranger in between": {func(a *ddpmv1.Assignment) {
			a.Generation.Size, a.Generation.Members = 2, append(a.Generation.Members, &ddpmv1.Member{WorkerId: "x"})
		}, "has member x of 2 at rank 0, out of order"},
		"no neighbours":        {func(a *ddpmv1.Assignment) { a.Generation.Size = 3 }, "does not name the neighbours of rank 0 of 3"},
		"a generation of none": {func(a *ddpmv1.Assignment) { a.Generation.Members = nil }, "does not have worker w0"},
		"a state it has not": {func(a *ddpmv1.Assignment) {
			a.Generation.Source = ddpmv1.StateSource_STATE_SOURCE_MEMBERS
			a.Generation.Members[0].Lack = ddpmv1.Lack_LACK_NOTHING
		}, "generation 3"},
		"a gradient of nothing": {func(a *ddpmv1.Assignment) {
			a.Generation.Source = ddpmv1.StateSource_STATE_SOURCE_MEMBERS
			a.Generation.Members[0].Lack = ddpmv1.Lack_LACK_GRADIENT
		}, "stands at step 0"},
		"a state of nobody": {func(a *ddpmv1.Assignment) {
			a.Generation.Source = ddpmv1.StateSource_STATE_SOURCE_MEMBERS
			a.Generation.Members[0].Lack = ddpmv1.Lack_LACK_STATE
		}, "no member to take the state from"},
		"an unknown lack": {func(a *ddpmv1.Assignment) {
			a.Generation.Source = ddpmv1.StateSource_STATE_SOURCE_MEMBERS
			a.Generation.Members[0].Lack = 9
		}, "lacks 9"},
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
	a.Generation.LastStep = max(a.Generation.LastStep, step)
}

// A store that fails costs a checkpoint, and not the training.
func TestUploadThatFails(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.every = 1_000_000, 2
	// A file lies where the checkpoints' folder belongs.
	folder := filepath.Join(c.storage, "runs", runName, "checkpoints")
	if err := os.WriteFile(folder, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	failed, repaired := 0, false
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetPartFailed() == nil || repaired {
			return false
		}
		if failed++; failed < 4 {
			return false
		}
		repaired = true
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
		f.stop()
		return false
	}
	f, errs := c.run(t.Context(), t)
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	for _, u := range f.unsaved {
		if u.GetGeneration() != fakeGeneration || u.GetStep() == 0 || u.GetReason() == "" {
			t.Errorf("a part that failed does not say what: %v", u)
		}
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
	c.onHello = func(*fake, *peer) bool { return true }
	f, stop := serveFake(t, c)
	defer stop()
	l := c.worker(0, f.address)
	l.patience = 2 * time.Second
	wantErrors(t, []error{l.live(t.Context())}, "does not answer a Hello")
}

// A worker that is told to end, and that nobody lets go, ends all the same.
func TestGraceRunsOut(t *testing.T) {
	c := newCluster(t, 1)
	c.steps, c.grace = 1_000_000, 50*time.Millisecond
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	told := false
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 2 {
			interrupt()
		}
		told = told || m.GetLeaving() != nil
		return m.GetLeaving() != nil
	}
	_, errs := c.run(ctx, t)
	if !errors.Is(errs[0], errGrace) || !told {
		t.Errorf("got %v; said that it leaves: %v", errs[0], told)
	}
}

// One that is told to end does not wait for a coordinator whose name is gone, as after
// `helm uninstall`.
func TestCoordinatorIsGoneForGood(t *testing.T) {
	c := newCluster(t, 1)
	c.steps, c.grace, c.away = 1_000_000, time.Hour, time.Hour
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	f, stop := serveFake(t, c)
	defer stop()
	l := c.worker(0, f.address)
	l.absence = 10 * time.Millisecond
	c.onMessage = atStep(2, func(f *fake) {
		l.config.Join = []string{"no..such:7600"} // which no server needs to be asked for
		f.peers[0].drop()
		interrupt()
	})
	if err := l.live(ctx); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
}

// The same where there is no coordinator, which is being looked for.
func TestGraceRunsOutWithoutACoordinator(t *testing.T) {
	c := newCluster(t, 1)
	c.steps, c.grace = 1_000_000, 50*time.Millisecond
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.onMessage = atStep(2, func(f *fake) { f.peers[0].drop() })
	c.onHello = func(_ *fake, p *peer) bool {
		if p.hello.GetResume() == nil {
			return false
		}
		interrupt() // and this attempt is not answered
		return true
	}
	_, errs := c.run(ctx, t)
	if !errors.Is(errs[0], errGrace) {
		t.Errorf("got %v", errs[0])
	}
}

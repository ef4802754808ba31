package worker

import (
	"context"
	"strings"
	"testing"
	"time"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// lose ends all sessions.
func (f *fake) lose() {
	for _, p := range f.peers {
		p.drop()
	}
}

// Workers whose coordinator is gone train on, also to the last step, and tell the
// next one all that it has not heard: where they stand, their steps, their parts.
func TestTrainsOnWithoutACoordinator(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.every = 8, 2
	want := quietOf(t, c)
	last := newGauge(7)
	last.release()
	c.device = spoil(last.after)
	lost := false
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 3 && !lost {
			lost = true
			f.lose()
		}
		// Nobody hears what is on its way then.
		return lost && len(f.resumes) == 0
	}
	attempts := map[string]int{}
	c.onHello = func(f *fake, p *peer) bool {
		if p.hello.GetResume() == nil {
			return false
		}
		attempts[p.id]++
		select {
		case <-last.entered: // the last step is being computed, or done
			if attempts[p.id] > 2 {
				return false
			}
		default:
		}
		p.drop()
		return true
	}
	f, digest := c.train(t)
	if digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	if len(f.resumes) != 2 {
		t.Fatalf("%d workers came back, want 2", len(f.resumes))
	}
	for _, r := range f.resumes {
		if r.GetRunId() != "id" || r.GetWorkerId() == "" || r.GetPosition().GetGeneration() != fakeGeneration || r.GetPosition().GetStep() < 6 { // one may be a step behind
			t.Errorf("a worker comes back with %v", r)
		}
	}
	for i, p := range f.progress {
		if p.GetStep() != uint64(i)+1 {
			t.Fatalf("report %d is of step %d", i, p.GetStep())
		}
	}
	if len(f.progress) != int(c.steps) {
		t.Errorf("%d reports of %d steps", len(f.progress), c.steps)
	}
	for _, step := range []uint64{4, 6, 8} {
		if !f.complete(step) {
			t.Errorf("of step %d there are %d parts", step, len(f.parts[step]))
		}
	}
}

// A part that the coordinator has heard of is told again to the next one, and it
// does no harm.
func TestPartsAreToldAgain(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.every = 1_000_000, 1
	// The second step is held: later parts would take the place of the first.
	second := newGauge(1)
	c.device = spoil(second.after)
	dropped := false
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if f.complete(1) && !dropped {
			dropped = true
			f.lose()
		}
		if len(f.resumes) == 2 && f.toldAgain >= 2 && !f.stopping {
			second.release()
			f.stop()
		}
		return false
	}
	f, errs := c.run(t.Context(), t)
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if f.toldAgain < 2 {
		t.Errorf("%d parts were told again", f.toldAgain)
	}
}

// A coordinator that leads no more is refused in a new session too.
func TestFormerLeaderIsRefused(t *testing.T) {
	c := newCluster(t, 1)
	c.steps = 1_000_000
	c.onMessage = func(f *fake, p *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 2 {
			p.drop()
		}
		if len(f.resumes) > 0 && !f.stopping {
			f.stop()
		}
		return false
	}
	former := 0
	c.onHello = func(f *fake, p *peer) bool {
		if p.hello.GetResume() == nil || former > 0 {
			return false
		}
		former++
		w := f.welcome(p)
		w.WorkerId = "wrong"
		p.say(fakeTerm-1, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: w}})
		return true
	}
	f, errs := c.run(t.Context(), t)
	if errs[0] != nil {
		t.Error(errs[0])
	}
	if len(f.resumes) != 1 || former != 1 {
		t.Errorf("%d sessions after %d of a former leader", len(f.resumes), former)
	}
}

func TestNobodyIsLookedForForEver(t *testing.T) {
	c := newCluster(t, 1)
	c.steps, c.away = 1_000_000, 100*time.Millisecond
	c.onMessage = atStep(2, func(f *fake) { f.peers[0].drop() })
	c.onHello = func(_ *fake, p *peer) bool {
		if p.hello.GetResume() != nil {
			p.drop()
			return true
		}
		return false
	}
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "no coordinator for 100ms", "resumes from its newest checkpoint")
	if n := strings.Count(errs[0].Error(), "anew"); n != 1 {
		t.Errorf("it says %d times what to do: %v", n, errs[0])
	}
	// While it trains on, its state is the newest: it must not be told to begin anew.
	if !c.log.contains("no coordinator; training goes on") || c.log.contains("anew") {
		t.Error("the log does not say that it looks for a coordinator, or says to start it anew")
	}
}

func TestAnotherRunIsNotJoined(t *testing.T) {
	c := newCluster(t, 1)
	c.steps = 1_000_000
	c.onMessage = atStep(2, func(f *fake) { f.peers[0].drop() })
	c.onHello = func(f *fake, p *peer) bool {
		if p.hello.GetResume() == nil {
			return false
		}
		w := f.welcome(p)
		w.RunId = "another"
		p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: w}})
		return true
	}
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "another run now")
}

// A config that was changed under the run's name, and its id, is not mixed with the former.
func TestAnotherConfigIsNotJoined(t *testing.T) {
	c := newCluster(t, 1)
	c.steps = 1_000_000
	c.onMessage = atStep(2, func(f *fake) { f.peers[0].drop() })
	c.onHello = func(f *fake, p *peer) bool {
		if p.hello.GetResume() == nil {
			return false
		}
		w, spec := f.welcome(p), f.cluster.spec
		spec.Seed++
		w.Spec = encode(f.t, spec)
		p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: w}})
		return true
	}
	_, errs := c.run(t.Context(), t)
	wantErrors(t, errs, "another config now", "seed")
}

// A worker that was given up for lost, and was not, comes back.
func TestDismissedButWelcome(t *testing.T) {
	c := newCluster(t, 2)
	c.steps = 1_000_000
	again := &ddpmv1.Dismiss{Again: true, Reason: "silent for long"}
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetProgress().GetStep() == 2 {
			f.peers[1].say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: again}})
		}
		if len(f.resumes) > 0 && !f.stopping {
			f.stop()
		}
		return false
	}
	f, errs := c.run(t.Context(), t)
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if len(f.resumes) != 1 || f.resumes[0].GetWorkerId() != "w1" || !f.resumes[0].GetPosition().GetTraining() {
		t.Errorf("came back: %v", f.resumes)
	}
	if !c.log.contains("joining again") || c.log.contains("no coordinator;") {
		t.Error("the log says that its coordinator is gone, or not that it joins again")
	}
}

// An interrupted worker leaves at a boundary, and the others go on.
func TestLeavingAtABoundary(t *testing.T) {
	c := newCluster(t, 2)
	c.steps = 1_000_000
	f, stop := serveFake(t, c)
	defer stop()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		switch p := m.GetProgress(); {
		case p.GetStep() == 3:
			interrupt()
		case p != nil && len(f.generation.GetMembers()) == 1 && !f.stopping:
			f.stop()
		}
		return false
	}
	errs := make(chan error, 2)
	go func() { errs <- c.worker(0, f.address).live(ctx) }()
	go func() { errs <- c.worker(1, f.address).live(t.Context()) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	stop()
	last := f.progress[len(f.progress)-1].GetStep()
	digest := f.digest(last)
	if f.sizes[f.generation.GetNumber()] != 1 {
		t.Errorf("the last generation has %v", f.generation.GetMembers())
	}
	c.steps = last
	if want := c.quiet(t); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
}

// Away and interrupted, a worker still says that it leaves when it is found.
func TestLeavingIsToldToTheNextCoordinator(t *testing.T) {
	c := newCluster(t, 1)
	c.steps = 1_000_000
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.onMessage = atStep(2, func(f *fake) { f.peers[0].drop() })
	attempts := 0
	c.onHello = func(_ *fake, p *peer) bool {
		if p.hello.GetResume() == nil {
			return false
		}
		interrupt()
		if attempts++; attempts < 3 {
			p.drop()
			return true
		}
		return false
	}
	f, errs := c.run(ctx, t)
	if errs[0] != nil {
		t.Error(errs[0])
	}
	if !f.peers[0].leaving {
		t.Error("it did not say that it leaves")
	}
}

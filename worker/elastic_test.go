package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// gauge is a device that counts how often each shard is computed, and holds those
// of one step until release is called.
type gauge struct {
	held     uint64
	released chan struct{}
	once     sync.Once
	entered  chan struct{} // closed when a shard of that step is being computed

	mu     sync.Mutex
	counts map[[2]uint64]int // by step and the shard's first slot
}

func newGauge(held uint64) *gauge {
	return &gauge{held: held, released: make(chan struct{}), entered: make(chan struct{}), counts: map[[2]uint64]int{}}
}

func (g *gauge) after(shard []ddpm.Example, _ []float32) (float64, error) {
	g.mu.Lock()
	g.counts[[2]uint64{shard[0].Step, uint64(shard[0].Slot)}]++
	g.mu.Unlock()
	if shard[0].Step == g.held {
		g.once.Do(func() { close(g.entered) })
		<-g.released
	}
	return 1, nil
}

func (g *gauge) release() { close(g.released) }

// whenAllAt acts once, when all workers have told that they have completed a step.
func whenAllAt(step uint64, act func(*fake)) func(*fake, *peer, *ddpmv1.WorkerMessage) bool {
	done := false
	return func(f *fake, _ *peer, _ *ddpmv1.WorkerMessage) bool {
		if !done && !slices.ContainsFunc(f.peers, func(p *peer) bool { return p.step < step }) {
			done = true
			act(f)
		}
		return false
	}
}

// quietOf is the digest of a quiet run of the same loss.
func quietOf(t *testing.T, c *cluster) string {
	t.Helper()
	q := newCluster(t, 1)
	q.steps = c.steps
	q.device = spoil(func([]ddpm.Example, []float32) (float64, error) { return 1, nil })
	_, digest := q.train(t)
	return digest
}

// Halted while they compute, members keep what they have computed and go on with
// it; nothing is computed twice.
func TestHaltKeepsTheShards(t *testing.T) {
	c := newCluster(t, 2)
	want := quietOf(t, c)
	g := newGauge(2)
	c.device = spoil(g.after)
	c.onMessage = whenAllAt(2, func(f *fake) { f.halt() })
	var at [][]uint32
	c.onSettled = func(f *fake) bool {
		if f.generation.GetNumber() == fakeGeneration && len(at) == 0 {
			for _, p := range f.peers {
				at = append(at, p.position.GetShards())
				if p.position.GetStep() != 2 {
					t.Errorf("halted at step 2, and told %v", p.position)
				}
			}
			g.release()
		}
		return false
	}
	_, digest := c.train(t)
	if digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	if fmt.Sprint(at) != "[[0 1 2 3] [4 5 6 7]]" {
		t.Errorf("halted while they compute, members hold the shards %v", at)
	}
	for shard, n := range g.counts {
		if n != 1 {
			t.Errorf("shard at slot %d of step %d was computed %d times", shard[1], shard[0], n)
		}
	}
	if len(g.counts) != int(c.steps)*c.spec.Shards() {
		t.Errorf("%d shards were computed, want those of %d steps", len(g.counts), c.steps)
	}
}

// What a lost member would have computed is dealt to the others besides what they
// hold, in the same step.
func TestExtraShardsAreAdded(t *testing.T) {
	c := newCluster(t, 3)
	want := quietOf(t, c)
	g := newGauge(2)
	c.device = spoil(g.after)
	var first *ddpmv1.Generation
	var next *ddpmv1.Generation
	c.onMessage = whenAllAt(2, func(f *fake) {
		f.peers[1].gone, first = true, f.generation // lost, as far as the coordinator knows
		f.halt()
	})
	c.onSettled = func(f *fake) bool {
		if f.generation == first {
			f.regroup()
			next = f.generation
			f.peers[1].dismiss(false, "a test")
			g.release()
			return true
		}
		return false
	}
	f, _ := c.run(t.Context(), t)
	if digest := f.digest(c.steps); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	var all []uint32
	for r, m := range next.GetMembers() {
		if len(m.GetKept()) == 0 || len(m.GetExtra()) == 0 {
			t.Errorf("rank %d keeps %v and computes %v besides; the test is worth nothing", r, m.GetKept(), m.GetExtra())
		}
		all = append(append(all, m.GetKept()...), m.GetExtra()...)
		for _, s := range m.GetKept() {
			if n := g.counts[[2]uint64{2, uint64(s) * uint64(c.spec.ShardSize)}]; n != 1 {
				t.Errorf("shard %d, which was kept, was computed %d times", s, n)
			}
		}
	}
	slices.Sort(all)
	if len(all) != c.spec.Shards() || len(slices.Compact(all)) != c.spec.Shards() {
		t.Errorf("the step has the shards %v", all)
	}
}

// A member one step behind takes that step's result from another, and drops what
// it has of the step.
func TestCatchesUpByAGradient(t *testing.T) {
	c := newCluster(t, 2)
	c.steps = 6
	want := c.quiet(t)
	c.onAssign = func(a *ddpmv1.Assignment) {
		if a.GetGeneration().GetNumber() == fakeGeneration {
			a.Generation.LastStep = 2
		}
	}
	var ahead uint64 // the step that one member completes alone
	var caught *ddpmv1.Generation
	c.onSettled = func(f *fake) bool {
		step, live := newest(f.idle())
		switch {
		case f.generation.GetNumber() == fakeGeneration:
			ahead = step + 1
			f.peers[1].available = false // for this generation
			f.form(step, live, f.peers[:1], func(g *ddpmv1.Generation) { g.LastStep = ahead })
		case caught == nil:
			f.peers[1].available = true
			f.form(step, live, f.peers, nil)
			caught = f.generation
		default:
			return false
		}
		return true
	}
	f, digest := c.train(t)
	if digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	if m := caught.GetMembers(); m[1].GetLack() != ddpmv1.Lack_LACK_GRADIENT || !m[0].GetHasGradient() || caught.GetStartStep() != ahead {
		t.Errorf("nobody was behind: %v", caught)
	}
	if !c.log.contains("caught up by a step") {
		t.Error("nobody caught up")
	}
	for i, p := range f.progress {
		if p.GetStep() != uint64(i)+1 {
			t.Errorf("report %d is of step %d", i, p.GetStep())
		}
	}
}

// Where the run has come to its last step without all of its members, those who are
// behind catch up and save it with the others. No ring is made for that, and so none
// breaks when the first have done so.
func TestCatchesUpToTheEnd(t *testing.T) {
	for _, behind := range []uint64{1, 2} {
		c := newCluster(t, 3)
		c.steps = 6
		want := c.quiet(t)
		first := true
		c.onAssign = func(a *ddpmv1.Assignment) {
			if a.GetGeneration().GetNumber() == fakeGeneration {
				a.Generation.LastStep = c.steps - behind
			}
		}
		c.onSettled = func(f *fake) bool {
			if !first {
				f.peers[1].available, f.peers[2].available = true, true
				return false
			}
			first = false
			f.peers[1].available, f.peers[2].available = false, false
			step, live := newest(f.idle())
			f.form(step, live, f.peers[:1], nil)
			return true
		}
		// What the one saves that was ahead is lost: the run ends with what all save.
		c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
			p := m.GetPartSaved()
			return p.GetStep() == c.steps && p.GetGeneration() == fakeGeneration+1
		}
		f, digest := c.train(t)
		if parts := f.parts[c.steps]; len(parts) != 3 {
			t.Errorf("%d steps behind: %d saved the last step", behind, len(parts))
		}
		if digest != want {
			t.Errorf("%d steps behind: digest %s, want %s", behind, digest, want)
		}
		lack := ddpmv1.Lack_LACK_GRADIENT
		if behind > 1 {
			lack = ddpmv1.Lack_LACK_STATE
		}
		if m := f.generation.GetMembers(); len(m) != 3 || m[1].GetLack() != lack || f.generation.GetNumber() != fakeGeneration+2 {
			t.Errorf("%d steps behind: the last generation is %v", behind, f.generation)
		}
		for _, p := range f.parts[c.steps] {
			if p.GetLoss() == 0 || p.GetLoss() != f.progress[len(f.progress)-1].GetLoss() {
				t.Errorf("%d steps behind: a part tells the loss %v", behind, p.GetLoss())
			}
		}
		for _, p := range f.positions {
			if p.GetBroke() != "" {
				t.Errorf("%d steps behind: a ring broke: %v", behind, p)
			}
		}
	}
}

// A newcomer takes the state from all that have it.
func TestNewcomerFetchesTheState(t *testing.T) {
	c := newCluster(t, 2)
	c.steps, c.late = 1_000_000, 1
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		p := m.GetProgress()
		switch {
		case p.GetStep() == 2:
			close(c.begin)
		case p != nil && p.GetGeneration() > fakeGeneration && !f.stopping:
			f.stop()
		}
		return false
	}
	f, errs := c.run(t.Context(), t)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	last := f.progress[len(f.progress)-1].GetStep()
	digest := f.digest(last)
	if f.sizes[f.generation.GetNumber()] != 3 || f.generation.GetMembers()[2].GetLack() != ddpmv1.Lack_LACK_STATE {
		t.Errorf("the newcomer took no state: %v", f.generation)
	}
	if !c.log.contains("from=2") {
		t.Error("the state does not come from both members")
	}
	c.steps = last
	if want := c.quiet(t); digest != want {
		t.Errorf("after step %d the digest is %s, want %s", last, digest, want)
	}
}

// A machine with bad memory is found before anything comes of it: nobody updates,
// and the others go on to the right bits.
func TestWeightsThatDiffer(t *testing.T) {
	c := newCluster(t, 3)
	c.compareEvery = 1
	want := c.quiet(t)
	c.devices = func(i int) deviceMaker {
		if i != 0 {
			return newFakeDevice
		}
		return func(s ddpm.Spec, data dataset.Dataset, p *kernel.Pool) ddpm.Device {
			return &forgetful{step: 2}
		}
	}
	var told []*ddpmv1.Position
	c.onSettled = func(f *fake) bool {
		if told != nil {
			return false
		}
		count := map[uint64]int{}
		for _, p := range f.idle() {
			told = append(told, p.position)
			count[p.position.GetWeights()]++
		}
		for _, p := range f.idle() {
			if count[p.position.GetWeights()] == 1 {
				p.dismiss(false, "bad memory")
			}
		}
		return false
	}
	f, errs := c.run(t.Context(), t)
	wantErrors(t, errs[:1], "bad memory")
	if len(told) != 3 {
		t.Errorf("%d members say that the weights differ, want all", len(told))
	}
	for _, p := range told {
		if !p.GetDiffers() || p.GetStep() != 2 || p.GetBroke() == "" {
			t.Errorf("weights differ after step 2, and a member tells %v", p)
		}
	}
	if digest := f.digest(c.steps); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
}

// forgetful is a device on a machine that changes a weight before a step.
type forgetful struct {
	fakeDevice
	step, begun uint64
}

func (d *forgetful) Begin(weights []float32) {
	if d.begun++; d.begun == d.step+1 {
		weights[7]++
	}
	d.fakeDevice.Begin(weights)
}

// A member that was told to leave its ring says of its weights what it finds of them all the
// same: without its word nobody could say who is wrong.
func TestWeightsThatDifferAreToldAfterAHalt(t *testing.T) {
	var told []*ddpmv1.WorkerMessage
	tr := &trainer{run: &run{}, busy: true, send: func(m *ddpmv1.WorkerMessage) { told = append(told, m) }}
	tr.changed = sync.NewCond(&tr.mu)
	g := &generation{number: 3, cancel: func(error) {}}
	tr.generation = g
	if !tr.part(g, departure{cause: context.Canceled, unreachable: -1}) {
		t.Fatal("it has left its ring already")
	}
	tr.differ(g, 7)
	tr.tell(g)
	if len(told) != 1 || !told[0].GetPosition().GetDiffers() || told[0].GetPosition().GetWeights() != 7 || told[0].GetPosition().GetBroke() == "" {
		t.Errorf("told %v, want that the weights differ, and its own", told)
	}
}

package worker

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// The tail's lanes: sums over all shards, or all members, that travel with the
// gradient.
const (
	laneLoss      = iota // fixed point
	laneMisfits          // shards whose loss did not fit, and is not in laneLoss
	laneOverflows        // shards whose gradient or loss did not fit
	laneYields           // members that vote to leave the ring after this step
	laneSaves            // members that vote for a checkpoint after this step
	laneFull             // members that can't hold the checkpoint that is due after this step
	laneShards           // shards that were computed; must be all of them
	laneWeights          // hashes of the members' weights; must all be the same
	// The examples by slices of their timesteps: the sums of their losses, in fixed
	// point, and how many they are.
	laneSliceLoss
	laneSliceExamples = laneSliceLoss + ddpm.TimeSlices
	laneCount         = laneSliceExamples + ddpm.TimeSlices
)

type tail [laneCount]int64

func (t *trainer) fixed() allreduce.Fixed {
	return allreduce.Fixed{FractionBits: t.run.spec.FractionBits}
}

// prepare makes the plan and the tail ready for a shard. The sums are set by the first.
func (t *trainer) prepare() {
	if !t.planned {
		t.planned = true
		t.run.device.Begin(t.state.Weights)
		t.readAhead()
	}
	if len(t.done) == 0 {
		t.tail, t.spent, t.shards, t.alone = tail{}, spent{}, t.shards[:0], false
	}
}

// compute adds a shard's gradient to sum, or keeps it as it is (term.go). For the last one
// of a step in a generation that has its ring, g, what is final goes to the ring meanwhile;
// else g is nil. No member has completed the step before all have ended this: the last
// bucket waits for the votes.
func (t *trainer) compute(ctx context.Context, shard int, g *generation) error {
	if err := ctx.Err(); err != nil {
		return nil
	}
	began := time.Now()
	t.prepare()
	hi, terms, first := len(t.grad), t.run.spec.Shards(), len(t.done) == 0
	switch {
	case first:
		t.alone = g != nil && !g.ring.Shared()
	case t.alone:
		t.addTerm()
	}
	if g != nil {
		t.beginReduction(g)
	}
	var found *misfit
	loss, spent, err := t.gradient(ctx, shard, func(lo int) {
		if !t.take(lo, hi, terms, first) {
			m := t.firstMisfit(t.grad, lo, hi, terms)
			found = &m
		}
		if hi = lo; t.reduction != nil {
			t.reduction.Release(lo)
		}
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // within local steps, and nothing is added yet
	case err != nil:
		return fmt.Errorf("compute shard %d of step %d: %w", shard, t.step, err)
	}
	t.addLoss(shard, loss, found)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.todo, t.done = t.todo[1:], append(t.done, shard)
	took := time.Since(began)
	t.rate.add(took)
	t.traceShard(shard, began, took, spent)
	return nil
}

// gradient computes a shard's gradient, or what its local steps make of the weights,
// into grad. What the device tells of it goes to the tail, and to spent. final is as in
// ddpm.Device.
func (t *trainer) gradient(ctx context.Context, shard int, final func(lo int)) (loss float64, total spent, err error) {
	if t.local != nil {
		loss, err = t.local.Gradient(ctx, t.state.Weights, t.step, shard, t.grad, func(examples []ddpm.Example) {
			total.add(t.account(examples))
		})
		if err == nil {
			final(0)
		}
		return loss, total, err
	}
	examples := ddpm.PlanBatch(t.run.spec, t.step, 0).Shard(shard)
	if loss, err = t.run.device.Gradient(examples, t.grad, final); err == nil {
		total = t.account(examples)
	}
	return loss, total, err
}

// complete brings what the ring does not have yet of the own sums, and completes the
// step with what comes back.
func (t *trainer) complete(g *generation) error {
	g.clock.computed = time.Now()
	votes, hash := t.votes(g)
	if len(t.done) == 0 {
		clear(t.sum) // a member without shards
		t.alone = false
	}
	totals, hidden, err := t.reduce(g, votes)
	if err != nil {
		t.idle()
		t.leave(g, t.broke(g, err))
		t.traceBroken(g, err)
		return nil
	}
	if t.compares() && uint64(totals[laneWeights]) != hash*uint64(g.size) {
		t.differ(g, hash)
		return nil
	}
	if got, want := totals[laneShards], int64(t.run.spec.Shards()); got != want {
		t.idle()
		return fmt.Errorf("step %d: the members of generation %d computed %d shards, not %d; use the same version everywhere", t.step, g.number, got, want)
	}
	ends := totals[laneYields] > 0 || t.step+1 >= g.lastStep()
	// Who has all it needs may close its end of the ring now: that breaks nothing.
	parted := ends && t.part(g, departure{unreachable: -1})
	t.moveOn(g, ends)
	g.clock.reduced, g.clock.hidden = time.Now(), hidden
	t.saver.settle()
	g.clock.settled = time.Now()
	info := t.update(totals)
	g.clock.finished = time.Now()
	t.report(g, totals, info)
	t.traceStep(g, totals)
	g.clock.next()
	if parted {
		t.tell(g) // and then wait for a slow Store, if need be
	}
	t.save(g, totals)
	return nil
}

// differ leaves a generation whose members' weights are not all the same. Where the worker
// was told to leave it meanwhile, it says the same of it: it takes most to find the one.
func (t *trainer) differ(g *generation, weights uint64) {
	// In peace: the others have yet to take the sums, and to see it too.
	d := departure{broke: fmt.Sprintf("the members' weights differ after step %d", t.step), unreachable: -1, differs: true, weights: weights}
	t.mu.Lock()
	if g.left && !g.told {
		g.parted = d
	}
	t.mu.Unlock()
	t.idle()
	t.leave(g, d)
}

// save begins the checkpoint that is due at the boundary, if one is. All members begin
// it or none: a part alone would be stored for nothing.
func (t *trainer) save(g *generation, totals tail) {
	switch last := totals[laneSaves] > 0 || t.state.Step >= g.lastStep(); {
	case !last && !g.savesAt(t.state.Step):
	case !last && totals[laneFull] > 0:
		if g.rank == 0 {
			t.saver.skip(g, t.state.Step, int(totals[laneFull]))
		}
	default:
		t.saver.begin(g, t.state, t.loss(totals), last)
		g.clock.kept()
	}
}

// votes is what the member brings to the ring beside its sums, and the hash of its
// weights.
func (t *trainer) votes(g *generation) (votes tail, hash uint64) {
	votes = t.tail
	if len(t.done) == 0 {
		votes = tail{}
	}
	if t.compares() {
		hash = hashWeights(t.run.pool, t.state.Weights)
		votes[laneWeights] = int64(hash)
	}
	if g.savesAt(t.step+1) && t.saver.full(g.size) {
		votes[laneFull] = 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.yields {
		votes[laneYields] = 1
	}
	if g.saves {
		votes[laneSaves] = 1
	}
	return votes, hash
}

// compares says that the members compare their weights in this step.
func (t *trainer) compares() bool {
	return t.compareEvery > 0 && t.step%t.compareEvery == 0
}

// moveOn sets the position to the step that is complete now, before the state
// follows: from here on it is what the worker stands by.
func (t *trainer) moveOn(g *generation, ends bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.step++
	t.where.Step(t.step)
	t.hasGradient, t.doubted = true, ""
	t.done, t.todo = nil, nil
	if !ends {
		for s := range g.self.GetShards() {
			t.todo = append(t.todo, int(g.self.GetFirstShard()+s))
		}
	}
	t.planned, t.busy = false, false
	t.changed.Broadcast()
}

// update applies a step's result, which is in grad: the same on every member, or
// the same skip. No checkpoint may read the state any more.
func (t *trainer) update(totals tail) (info ddpm.UpdateInfo) {
	t.stateMu.Lock()
	defer t.stateMu.Unlock()
	if t.alone {
		t.spare, t.reduced, t.alone = t.reduced, t.spare, false
	} else {
		t.grad, t.reduced = t.reduced, t.grad
	}
	t.totals, t.totalsOf, t.gradientOf = totals, t.state.Step+1, t.state.Step+1
	if n := totals[laneOverflows]; n > 0 {
		t.log.Warn("skipped an update: the gradient overflowed", "step", t.state.Step+1, "shards", n)
		info = t.state.Skip(t.run.spec)
	} else {
		info = t.state.Update(t.run.spec, t.run.pool, t.reduced)
	}
	close(t.moved)
	t.moved = make(chan struct{})
	return info
}

// loss is a step's: NaN where that of a shard is not finite, or too large.
func (t *trainer) loss(totals tail) float64 {
	if totals[laneMisfits] > 0 {
		return math.NaN()
	}
	return t.fixed().ToFloat64(totals[laneLoss]) / float64(t.run.spec.Shards())
}

// report tells how the step went: the coordinator by rank 0, the log by all. Every
// member keeps it, for a coordinator that has not heard of it.
func (t *trainer) report(g *generation, totals tail, info ddpm.UpdateInfo) {
	c := &g.clock
	p := &ddpmv1.Progress{
		Generation: g.number, Step: t.state.Step,
		Loss: t.loss(totals), GradientNorm: info.GradientNorm, LearningRate: info.LearningRate, Skipped: totals[laneOverflows] > 0,
		Images:  uint32(t.run.spec.Batches()) * uint32(t.run.spec.Batch),
		Seconds: c.total().Seconds(), ComputeSeconds: c.compute().Seconds(), ReduceSeconds: c.reduce().Seconds(), HiddenSeconds: c.hidden.Seconds(),
		UpdateSeconds: c.update().Seconds(), CheckpointSeconds: c.checkpoint().Seconds(),
		InputSeconds: seconds(t.spent.input), ForwardSeconds: seconds(t.spent.forward), BackwardSeconds: seconds(t.spent.backward),
	}
	t.spent = spent{}
	t.slices(p, totals)
	t.log.Debug("step", "step", p.GetStep(), "loss", p.GetLoss(), "seconds", p.GetSeconds(),
		"compute", p.GetComputeSeconds(), "input_wait_total", t.run.inputWait().Seconds(), "reduce", p.GetReduceSeconds(), "hidden", p.GetHiddenSeconds(), "update", p.GetUpdateSeconds())
	var tell func()
	if g.rank == 0 {
		tell = func() { t.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Progress{Progress: p}}) }
	}
	t.backlog.add(p, tell)
}

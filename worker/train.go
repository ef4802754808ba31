package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// The tail's lanes: sums over all shards that travel with the gradient.
const (
	laneLoss      = iota // fixed point
	laneOverflows        // shards whose gradient or loss did not fit
	laneStops            // members that vote to stop after this step
	laneShards           // shards that were computed; must be all of them
	laneCount
)

// trainer is the training loop of one generation, and what it works on.
type trainer struct {
	run        *run
	ring       *allreduce.Ring
	saver      *saver
	send       func(*ddpmv1.WorkerMessage) error
	log        *slog.Logger
	position   *position
	stop       *atomic.Bool
	generation uint64
	rank       int
	// first and shards are the member's range of shards.
	first, shards int
	// lastStep ends the training; a checkpoint is due at multiples of every, if it
	// is not 0.
	lastStep, every uint64

	// sum holds the member's own shards in fixed point, grad a shard's gradient and
	// then the reduced one, tail the lanes.
	sum  []int64
	grad []float32
	tail [laneCount]int64
}

// train does step after step until the last one or until a member votes to stop.
// It returns when this member's part of the last checkpoint is stored and told.
func (t *trainer) train(ctx context.Context) error {
	params := t.run.spec.Model.ParamCount()
	t.sum, t.grad = make([]int64, params), make([]float32, params)
	state := t.run.state
	defer t.reportInput(time.Now())
	for last := false; !last; {
		watch := stopwatch{at: time.Now()}

		// Plan: which examples, timesteps and noise.
		step := state.Step
		plan := ddpm.PlanStep(t.run.spec, step)
		t.readAhead(step)

		// Compute: the gradients of the own shards, into sum and tail.
		if err := t.compute(ctx, plan, state.Weights); err != nil {
			return fmt.Errorf("compute step %d: %w", step, err)
		}
		computed := watch.lap()

		// Reduce: the mean over all shards into grad, the totals into tail.
		if err := t.reduce(ctx, step); err != nil {
			return err
		}
		reduced := watch.lap()

		// Update: the same on every member, or the same skip.
		skipped := t.tail[laneOverflows] > 0
		info := t.update(state, skipped)
		updated := watch.lap()

		// Report.
		t.position.set(t.generation, state.Step)
		loss := t.fixed().ToFloat64(t.tail[laneLoss]) / float64(t.run.spec.Shards())
		err := t.report(&ddpmv1.Progress{
			Generation: t.generation, Step: state.Step,
			Loss: loss, GradientNorm: info.GradientNorm, LearningRate: info.LearningRate, Skipped: skipped,
			Images:  uint32(t.run.spec.Batch),
			Seconds: computed + reduced + updated, ComputeSeconds: computed, ReduceSeconds: reduced, UpdateSeconds: updated,
		})
		if err != nil {
			return err
		}

		// Checkpoint: copied at this boundary, stored behind.
		last = t.tail[laneStops] > 0 || state.Step >= t.lastStep
		if last || t.every > 0 && state.Step%t.every == 0 {
			err = t.saver.begin(ctx, state, loss, last)
		} else {
			err = t.saver.failed()
		}
		if err != nil {
			return err
		}
	}
	return t.saver.wait()
}

func (t *trainer) fixed() allreduce.Fixed {
	return allreduce.Fixed{FractionBits: t.run.spec.FractionBits}
}

// compute sets sum and tail to those of the member's own shards.
func (t *trainer) compute(ctx context.Context, plan ddpm.Plan, weights []float32) error {
	clear(t.sum)
	t.tail = [laneCount]int64{laneShards: int64(t.shards)}
	if t.stop.Load() {
		t.tail[laneStops] = 1
	}
	t.run.device.Begin(weights)
	for v := t.first; v < t.first+t.shards; v++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		loss, err := t.run.device.Gradient(plan.Shard(v), t.grad)
		if err != nil {
			return fmt.Errorf("shard %d: %w", v, err)
		}
		fits := t.accumulate()
		fixed, ok := t.fixed().FromFloat64(loss, t.run.spec.Shards())
		t.tail[laneLoss] += fixed
		if !fits || !ok {
			t.tail[laneOverflows]++
		}
	}
	return nil
}

// accumulateGrain is how many elements a thread adds at least.
const accumulateGrain = 1 << 14

// accumulate adds grad to sum in fixed point. It is false when a value did not fit.
func (t *trainer) accumulate() bool {
	var overflowed atomic.Bool
	fixed, shards := t.fixed(), t.run.spec.Shards()
	t.run.pool.For(len(t.sum), accumulateGrain, func(lo, hi int) {
		if !fixed.Accumulate(t.sum[lo:hi], t.grad[lo:hi], shards) {
			overflowed.Store(true)
		}
	})
	return !overflowed.Load()
}

// ringError is an all-reduce that failed: another member may be to blame.
type ringError struct{ error }

// Unwrap gives what the all-reduce failed of.
func (e ringError) Unwrap() error { return e.error }

// reduce sums over all members. Every one of them gets the same grad and tail.
func (t *trainer) reduce(ctx context.Context, step uint64) error {
	shards := t.run.spec.Shards()
	err := t.ring.AllReduce(ctx, step, allreduce.Vector{
		Sum: t.sum, Tail: t.tail[:], Out: t.grad, Finish: t.fixed().Means(shards),
	})
	if err != nil {
		return ringError{err}
	}
	if got := t.tail[laneShards]; got != int64(shards) {
		return fmt.Errorf("step %d: the members of generation %d computed %d shards, not %d; use the same version everywhere", step, t.generation, got, shards)
	}
	return nil
}

// update completes the step. A checkpoint that still reads the state goes first.
func (t *trainer) update(state *ddpm.State, skip bool) ddpm.UpdateInfo {
	t.saver.settle()
	if skip {
		t.log.Warn("skipped an update: the gradient overflowed", "step", state.Step+1, "shards", t.tail[laneOverflows])
		state.Skip()
		return ddpm.UpdateInfo{}
	}
	return state.Update(t.run.spec, t.run.pool, t.grad)
}

// report tells how the step went: the coordinator by rank 0, the log by all.
func (t *trainer) report(p *ddpmv1.Progress) error {
	t.log.Debug("step", "step", p.GetStep(), "loss", p.GetLoss(), "seconds", p.GetSeconds(),
		"compute", p.GetComputeSeconds(), "input_wait_total", t.run.inputWait().Seconds(), "reduce", p.GetReduceSeconds(), "update", p.GetUpdateSeconds())
	if t.rank != 0 {
		return nil
	}
	return t.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Progress{Progress: p}})
}

// stopwatch times the parts of a step.
type stopwatch struct{ at time.Time }

// lap returns the seconds since the last lap.
func (w *stopwatch) lap() float64 {
	now := time.Now()
	seconds := now.Sub(w.at).Seconds()
	w.at = now
	return seconds
}

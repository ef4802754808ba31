package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// spent is where the time of a step's gradients went, in nanoseconds.
type spent struct{ input, forward, backward int64 }

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// account takes in what the device tells of the shard that it computed last: the
// losses of its examples go to the lanes of their slices.
func (t *trainer) account(examples []ddpm.Example) {
	device, ok := t.run.device.(ddpm.Accountant)
	if !ok {
		return
	}
	a := device.Account()
	t.spent.input += a.Input
	t.spent.forward += a.Forward
	t.spent.backward += a.Backward
	for e, loss := range a.Losses {
		fixed, fits := t.fixed().FromFloat64(loss, t.run.spec.Batch)
		if !fits {
			continue // the shard's loss says so
		}
		slice := t.run.spec.TimeSlice(examples[e].T)
		t.tail[laneSliceLoss+slice] += fixed
		t.tail[laneSliceExamples+slice]++
	}
}

// slices tells a step's loss by slices of the timesteps. It says nothing where no
// member's device does.
func (t *trainer) slices(p *ddpmv1.Progress, totals tail) {
	known := false
	loss, examples := make([]float64, ddpm.TimeSlices), make([]uint32, ddpm.TimeSlices)
	for i := range loss {
		if n := totals[laneSliceExamples+i]; n > 0 {
			known = true
			loss[i], examples[i] = t.fixed().ToFloat64(totals[laneSliceLoss+i])/float64(n), uint32(n)
		}
	}
	if known {
		p.SliceLoss, p.SliceExamples = loss, examples
	}
}

// stepClock times the stages of a step, in seconds. They follow one another: what a
// checkpoint takes of the training is a stage of its own.
type stepClock struct {
	at                            time.Time
	compute, reduce, update, keep float64
	// hidden is how long the all-reduce was under way within compute.
	hidden  float64
	keeping float64 // of the step to come
}

// computed ends a step's gradients, which began where the step before ended.
func (c *stepClock) computed() {
	c.compute = 0
	if !c.at.IsZero() {
		c.compute = time.Since(c.at).Seconds()
	}
}

// reduced ends the rest of an all-reduce, what was not hidden behind backward.
func (c *stepClock) reduced(began time.Time, hidden time.Duration) time.Time {
	c.hidden = hidden.Seconds()
	c.reduce = time.Since(began).Seconds()
	return time.Now()
}

// settled ends the wait for a checkpoint that still reads the state.
func (c *stepClock) settled(began time.Time) time.Time {
	c.keep = c.keeping + time.Since(began).Seconds()
	c.keeping = 0
	return time.Now()
}

func (c *stepClock) updated(began time.Time) {
	c.at = time.Now()
	c.update = c.at.Sub(began).Seconds()
}

// kept ends the beginning of a checkpoint: the next step pays for it.
func (c *stepClock) kept() {
	now := time.Now()
	c.keeping, c.at = now.Sub(c.at).Seconds(), now
}

func (c *stepClock) total() float64 { return c.compute + c.reduce + c.update + c.keep }

// meter counts what goes to the successor in the ring.
type meter struct {
	// sent is in bytes, rate in bytes a second of the last all-reduce.
	sent atomic.Uint64
	rate float64 // under the trainer's mu
}

// metered is a link that a meter counts.
type metered struct {
	allreduce.Link
	meter *meter
}

// Send implements allreduce.Link.
func (m metered) Send(ctx context.Context, s *allreduce.Segment) error {
	n := s.Len() // the segment is gone afterwards
	err := m.Link.Send(ctx, s)
	if err == nil {
		m.meter.sent.Add(uint64(n))
	}
	return err
}

// measured notes an all-reduce that sent so much.
func (t *trainer) measured(bytes uint64, took time.Duration) {
	if took <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter.rate = float64(bytes) / took.Seconds()
}

// corePeak measures what one of this machine's cores makes at most, in floating-point
// operations a second. It takes some 10 ms, and the best of several counts: what else
// the machine does only makes it slower.
func corePeak() float64 {
	const rounds, times = 100_000, 8
	best := 0.0
	for range times {
		began := time.Now()
		flops := kernel.FMAPeak(rounds)
		best = max(best, float64(flops)/time.Since(began).Seconds())
	}
	return best
}

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

func (s *spent) add(a spent) {
	s.input += a.input
	s.forward += a.forward
	s.backward += a.backward
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// account takes in what the device tells of the shard that it computed last: the
// losses of its examples go to the lanes of their slices. It gives where the shard's
// time went.
func (t *trainer) account(examples []ddpm.Example) (a spent) {
	device, ok := t.run.device.(ddpm.Accountant)
	if !ok {
		return a
	}
	account := device.Account()
	a = spent{account.Input, account.Forward, account.Backward}
	t.spent.add(a)
	for e, loss := range account.Losses {
		fixed, fits := t.sliceFixed().FromFloat64(loss, t.run.spec.Batch*int(t.run.spec.Batches()))
		if !fits {
			continue // the shard's loss says so
		}
		slice := t.run.spec.TimeSlice(examples[e].T)
		t.tail[laneSliceLoss+slice] += fixed
		t.tail[laneSliceExamples+slice]++
	}
	return a
}

// sliceFraction is how fine the slices' losses are at most: a slice may have all examples of
// a batch, and of all local steps, where the loss of a shard is one term of few.
const sliceFraction = 24

func (t *trainer) sliceFixed() allreduce.Fixed {
	return allreduce.Fixed{FractionBits: min(t.run.spec.FractionBits, sliceFraction)}
}

// slices tells a step's loss by slices of the timesteps. It says nothing where no
// member's device does.
func (t *trainer) slices(p *ddpmv1.Progress, totals tail) {
	known := false
	loss, examples := make([]float64, ddpm.TimeSlices), make([]uint32, ddpm.TimeSlices)
	for i := range loss {
		if n := totals[laneSliceExamples+i]; n > 0 {
			known = true
			loss[i], examples[i] = t.sliceFixed().ToFloat64(totals[laneSliceLoss+i])/float64(n), uint32(n)
		}
	}
	if known {
		p.SliceLoss, p.SliceExamples = loss, examples
	}
}

// stepClock times the stages of a step. They follow one another: what a checkpoint
// takes of the training is a stage of its own.
type stepClock struct {
	// ended is when the step before ended, zero before a generation's first, and begun
	// when this one's gradients began: between the two a checkpoint began. The others are
	// the ends of this step's stages.
	ended, begun                         time.Time
	computed, reduced, settled, finished time.Time
	// hidden is how long the all-reduce was under way within compute.
	hidden time.Duration
}

// next begins a step where the one before has ended.
func (c *stepClock) next() { c.ended, c.begun = c.finished, c.finished }

// kept ends the beginning of a checkpoint: the step to come pays for it.
func (c *stepClock) kept() { c.begun = time.Now() }

// compute is how long the gradients took, 0 in the first step of a generation, some of
// whose shards may be older.
func (c *stepClock) compute() time.Duration {
	if c.begun.IsZero() {
		return 0
	}
	return c.computed.Sub(c.begun)
}

func (c *stepClock) reduce() time.Duration { return c.reduced.Sub(c.computed) }
func (c *stepClock) update() time.Duration { return c.finished.Sub(c.settled) }

// checkpoint is what it took to begin one, and to wait for one that still read the state.
func (c *stepClock) checkpoint() time.Duration {
	return c.begun.Sub(c.ended) + c.settled.Sub(c.reduced)
}

func (c *stepClock) total() time.Duration {
	return c.compute() + c.reduce() + c.update() + c.checkpoint()
}

// meter counts what goes to other members in all-reduces, and measures the link to the
// successor in the ring, or in the lane.
type meter struct {
	// sent is in bytes, rate in bytes a second of the last all-reduce.
	sent atomic.Uint64
	rate float64 // under the trainer's mu
	// linkSent is what of it went to the successor, in so many nanoseconds of sending.
	linkSent, sending atomic.Uint64
	// latency is the link's, in nanoseconds, bandwidth in bytes a second; 0: not known.
	latency   atomic.Int64
	bandwidth float64 // under the trainer's mu
	// apart says that the worker could not share memory when it was to.
	apart atomic.Bool
	// at is what linkSent and sending were when the bandwidth was last reckoned.
	at [2]uint64
}

// toldApart is how many bytes have to go before the time that it takes says something
// of the link, and not of what its sender may be ahead of it.
const toldApart = 4 << 20

// connected notes how long a connection to the successor took to come about: the way
// there and back.
func (m *meter) connected(roundTrip time.Duration) {
	if roundTrip > 0 {
		m.latency.Store(int64(roundTrip / 2))
	}
}

// metered is a link that a meter counts, and measures if it is one to another host on which
// all bytes of a step go.
type metered struct {
	allreduce.Link
	meter    *meter
	measures bool
}

// Send implements allreduce.Link.
func (m metered) Send(ctx context.Context, s *allreduce.Segment) error {
	n, began := uint64(s.Len()), time.Now() // the segment is gone afterwards
	err := m.Link.Send(ctx, s)
	if err != nil {
		return err
	}
	m.meter.sent.Add(n)
	if m.measures {
		m.meter.linkSent.Add(n)
		m.meter.sending.Add(uint64(time.Since(began)))
	}
	return nil
}

// measured notes an all-reduce that sent so much.
func (t *trainer) measured(bytes uint64, took time.Duration) {
	if took <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.meter
	m.rate = float64(bytes) / took.Seconds()
	sent, sending := m.linkSent.Load(), m.sending.Load()
	if sent-m.at[0] >= toldApart && sending > m.at[1] {
		m.bandwidth = float64(sent-m.at[0]) / time.Duration(sending-m.at[1]).Seconds()
	}
	m.at = [2]uint64{sent, sending}
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

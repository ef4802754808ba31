package report

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// Point is a completed step.
type Point struct {
	Step                     uint64
	Loss, GradientNorm, Rate float64 // Rate is the learning rate
	Skipped                  bool
	// Seconds are 0 where the step's time is not known, and so are Images and Stages
	// then.
	Images, Seconds float64
	Stages          StageSeconds
	// Slices are the batch by timestep.
	Slices Slices
}

// StageSeconds is where a step's time goes, in seconds. Input, Forward and Backward are
// parts of Compute, and so is Hidden, when the all-reduce was under way already; the
// others follow one another and make the whole.
type StageSeconds struct {
	Compute, Input, Forward, Backward, Reduce, Hidden, Update, Checkpoint float64
}

func (s StageSeconds) plus(o StageSeconds) StageSeconds {
	return StageSeconds{
		s.Compute + o.Compute, s.Input + o.Input, s.Forward + o.Forward, s.Backward + o.Backward,
		s.Reduce + o.Reduce, s.Hidden + o.Hidden, s.Update + o.Update, s.Checkpoint + o.Checkpoint,
	}
}

// TimeSlices is in how many equal slices of [0, T) the loss is told apart.
const TimeSlices = ddpm.TimeSlices

// Slices are examples by their timesteps: the sum of their losses in a slice, and how
// many they are.
type Slices struct{ Loss, Examples [TimeSlices]float64 }

// bins is how many a history has at most. It is even, so that pairs can be merged.
const bins = 1 << 14

// MaxPoints is the most that a curve is asked for.
const MaxPoints = bins

// bin is some steps in a row. Means are sums until somebody asks.
type bin struct {
	last              uint64 // the newest step
	steps, skipped    int
	finite, timed     int
	loss, least, most float64 // of the finite losses
	norm, rate        float64
	images, seconds   float64
	stages            StageSeconds
	slices            Slices
}

// History is a run's steps in bounded memory, however long the run: bins of equal
// width, which doubles when there are too many. Minima and maxima are kept exactly.
// It is not for concurrent use.
type History struct {
	width  uint64 // steps of a bin
	bins   []bin
	newest uint64 // step
	// changes counts the points, olds those that came after a newer step.
	changes, olds uint64
}

// NewHistory is an empty one.
func NewHistory() *History { return &History{width: 1} }

// Add takes in a step, in any order of steps.
func (h *History) Add(p Point) {
	if p.Step == 0 {
		return // no step is complete
	}
	for (p.Step-1)/h.width >= bins {
		h.halve()
	}
	i := int((p.Step - 1) / h.width)
	for len(h.bins) <= i {
		h.bins = append(h.bins, bin{})
	}
	h.changes++
	if p.Step <= h.newest {
		h.olds++
	}
	h.newest = max(h.newest, p.Step)
	one := bin{last: p.Step, steps: 1, norm: p.GradientNorm, rate: p.Rate, images: p.Images, seconds: p.Seconds, stages: p.Stages}
	if p.Seconds > 0 {
		one.timed = 1
	}
	if p.Skipped {
		one.skipped, one.norm = 1, 0
	}
	if !p.Skipped && Number(p.Loss).Finite() {
		one.finite, one.loss, one.least, one.most, one.slices = 1, p.Loss, p.Loss, p.Loss, p.Slices
	}
	h.bins[i] = h.bins[i].with(one)
}

// with is two bins as one.
func (b bin) with(c bin) bin {
	switch {
	case c.steps == 0:
		return b
	case b.steps == 0:
		return c
	case b.finite == 0:
		b.least, b.most = c.least, c.most
	case c.finite > 0:
		b.least, b.most = min(b.least, c.least), max(b.most, c.most)
	}
	b.last = max(b.last, c.last)
	b.steps += c.steps
	b.skipped += c.skipped
	b.finite += c.finite
	b.timed += c.timed
	b.loss += c.loss
	b.norm += c.norm
	b.rate += c.rate
	b.images += c.images
	b.seconds += c.seconds
	b.stages = b.stages.plus(c.stages)
	for i := range TimeSlices {
		b.slices.Loss[i] += c.slices.Loss[i]
		b.slices.Examples[i] += c.slices.Examples[i]
	}
	return b
}

// halve doubles the width.
func (h *History) halve() {
	h.bins = merged(h.bins, 2)
	h.width *= 2
}

// merged joins each n bins in a row to one.
func merged(all []bin, n int) []bin {
	out := make([]bin, (len(all)+n-1)/n)
	for i, b := range all {
		out[i/n] = out[i/n].with(b)
	}
	return out
}

// Curve is a run's steps as columns of equal length, one value a bin of Width steps;
// bins without a step are left out.
type Curve struct {
	Width uint64 `json:"width"`
	// Step is the newest of each bin.
	Step []uint64 `json:"step"`
	// Loss is the mean of the bin's steps, between LossLow and LossHigh.
	Loss     Column `json:"loss"`
	LossLow  Column `json:"loss_min"`
	LossHigh Column `json:"loss_max"`
	// GradientNorm, LearningRate and the times of a step are means.
	GradientNorm    Column `json:"gradient_norm"`
	LearningRate    Column `json:"learning_rate"`
	ImagesPerSecond Column `json:"images_per_second"`
	Compute         Column `json:"compute_seconds"`
	Input           Column `json:"input_seconds"`
	Forward         Column `json:"forward_seconds"`
	Backward        Column `json:"backward_seconds"`
	Reduce          Column `json:"reduce_seconds"`
	Hidden          Column `json:"hidden_seconds"`
	Update          Column `json:"update_seconds"`
	Checkpoint      Column `json:"checkpoint_seconds"`
	// SliceLoss is the mean loss of the bin's examples whose timestep is in a slice of
	// [0, T), a column for each of TimeSlices.
	SliceLoss [TimeSlices]Column `json:"slice_loss"`
	// Skipped is how many steps of the bin changed nothing.
	Skipped []int `json:"skipped"`
	// Changes differs where the curve does, Olds where it does in what is not new.
	Changes, Olds uint64 `json:"-"`
}

// Curve gives the steps from on in at most points bins, the widths the same
// whatever from is.
func (h *History) Curve(from uint64, points int) *Curve {
	merge := 1
	for points > 0 && len(h.bins) > merge*points {
		merge *= 2
	}
	c := &Curve{Width: h.width * uint64(merge), Step: []uint64{}, Skipped: []int{}, Changes: h.changes, Olds: h.olds}
	first := 0 // whole bins of the curve alone
	if from > 0 {
		first = min(int((from-1)/c.Width)*merge, len(h.bins))
	}
	for _, b := range merged(h.bins[first:], merge) {
		if b.steps > 0 {
			c.add(b)
		}
	}
	return c
}

func (c *Curve) add(b bin) {
	loss, low, high := b.loss/float64(b.finite), b.least, b.most
	if b.finite == 0 {
		loss, low, high = math.NaN(), math.NaN(), math.NaN()
	}
	timed := float64(b.timed) // of none, what is not known
	c.Step = append(c.Step, b.last)
	c.Loss, c.LossLow, c.LossHigh = append(c.Loss, loss), append(c.LossLow, low), append(c.LossHigh, high)
	c.GradientNorm = append(c.GradientNorm, b.norm/float64(b.steps-b.skipped))
	c.LearningRate = append(c.LearningRate, b.rate/float64(b.steps))
	c.ImagesPerSecond = append(c.ImagesPerSecond, b.images/b.seconds)
	st := b.stages
	for _, v := range []struct {
		column *Column
		sum    float64
	}{
		{&c.Compute, st.Compute}, {&c.Input, st.Input}, {&c.Forward, st.Forward}, {&c.Backward, st.Backward},
		{&c.Reduce, st.Reduce}, {&c.Hidden, st.Hidden}, {&c.Update, st.Update}, {&c.Checkpoint, st.Checkpoint},
	} {
		*v.column = append(*v.column, v.sum/timed)
	}
	for i := range c.SliceLoss {
		c.SliceLoss[i] = append(c.SliceLoss[i], b.slices.Loss[i]/b.slices.Examples[i])
	}
	c.Skipped = append(c.Skipped, b.skipped)
}

package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Line is a line of metrics.jsonl: one completed step.
type Line struct {
	Step           uint64  `json:"step"`
	Loss           Number  `json:"loss"`
	GradientNorm   Number  `json:"gradient_norm"`
	LearningRate   float64 `json:"learning_rate"`
	Skipped        bool    `json:"skipped,omitempty"`
	Images         uint32  `json:"images"`
	Seconds        float64 `json:"seconds"`
	ComputeSeconds float64 `json:"compute_seconds"`
	ReduceSeconds  float64 `json:"reduce_seconds"`
	UpdateSeconds  float64 `json:"update_seconds"`
	// Input, forward and backward are parts of compute, of rank 0's. Absent is 0: lines
	// of earlier versions have none of what follows.
	InputSeconds      float64 `json:"input_seconds,omitempty"`
	ForwardSeconds    float64 `json:"forward_seconds,omitempty"`
	BackwardSeconds   float64 `json:"backward_seconds,omitempty"`
	CheckpointSeconds float64 `json:"checkpoint_seconds,omitempty"`
	// HiddenSeconds is how long the all-reduce was under way within compute.
	HiddenSeconds float64 `json:"hidden_seconds,omitempty"`
	// SliceLoss is the mean loss of the examples whose timestep is in a slice of
	// [0, T), 0 of none; SliceExamples is how many they are.
	SliceLoss     []float64 `json:"slice_loss,omitempty"`
	SliceExamples []uint32  `json:"slice_examples,omitempty"`
}

// Timed says that the step's time is known: a generation's first step has no
// beginning, and so no time of computing.
func (l Line) Timed() bool {
	return l.ComputeSeconds > 0 || l.Seconds > 0 && l.ReduceSeconds+l.UpdateSeconds == 0
}

// Point is the line as a history takes it.
func (l Line) Point() Point {
	p := Point{Step: l.Step, Loss: float64(l.Loss), GradientNorm: float64(l.GradientNorm), Rate: l.LearningRate, Skipped: l.Skipped}
	if l.Timed() {
		p.Images, p.Seconds, p.Stages = float64(l.Images), l.Seconds, l.Stages()
	}
	p.Slices = l.Slices()
	return p
}

// Stages is where the step's time went.
func (l Line) Stages() StageSeconds {
	return StageSeconds{
		Compute: l.ComputeSeconds, Input: l.InputSeconds, Forward: l.ForwardSeconds, Backward: l.BackwardSeconds,
		Reduce: l.ReduceSeconds, Hidden: l.HiddenSeconds, Update: l.UpdateSeconds, Checkpoint: l.CheckpointSeconds,
	}
}

// Slices are the step's examples by timestep; those of a line that another version
// wrote, in other slices, are not told.
func (l Line) Slices() (s Slices) {
	if len(l.SliceLoss) != TimeSlices || len(l.SliceExamples) != TimeSlices {
		return s
	}
	for i, n := range l.SliceExamples {
		s.Loss[i], s.Examples[i] = l.SliceLoss[i]*float64(n), float64(n)
	}
	return s
}

// maxLine bounds a line of metrics.jsonl, in bytes.
const maxLine = 1 << 16

// ReadLines gives the lines of a metrics.jsonl up to a step, until add says no.
func ReadLines(r io.Reader, last uint64, add func(Line) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("a line of the metrics: %w", err)
		}
		if l.Step > last || !add(l) {
			return nil
		}
	}
	return lines.Err()
}

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
		p.Images, p.Seconds, p.Stages = float64(l.Images), l.Seconds, [3]float64{l.ComputeSeconds, l.ReduceSeconds, l.UpdateSeconds}
	}
	return p
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

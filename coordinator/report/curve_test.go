package report

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A long run's history has few bins, which hold every step once, and the least and
// the greatest loss exactly, wherever they were.
func TestHistoryKeepsExtremes(t *testing.T) {
	t.Parallel()
	const steps = 5*bins + 7
	h := NewHistory()
	loss := func(step uint64) float64 { return 1 + math.Sin(float64(step)) }
	for s := uint64(1); s <= steps; s++ {
		l := loss(s)
		switch s {
		case 12345:
			l = 99
		case 54321:
			l = -99
		}
		h.Add(Point{Step: s, Loss: l, GradientNorm: 2, Rate: 0.5, Images: 8, Seconds: 0.25, Stages: StageSeconds{Compute: 0.125, Reduce: 0.0625, Update: 0.0625}})
	}
	if len(h.bins) > bins {
		t.Fatalf("%d bins", len(h.bins))
	}
	for _, points := range []int{1, 2, 100, 1000, bins} {
		c := h.Curve(0, points)
		if n := len(c.Step); n > points || n < min(points, len(h.bins))/2 {
			t.Errorf("of %d points there are %d", points, n)
		}
		if last := c.Step[len(c.Step)-1]; last != steps || !slices.IsSorted(c.Step) {
			t.Errorf("%d points: the last step is %d", points, last)
		}
		if slices.Max(c.LossHigh) != 99 || slices.Min(c.LossLow) != -99 {
			t.Errorf("%d points: losses from %g to %g", points, slices.Min(c.LossLow), slices.Max(c.LossHigh))
		}
		for i := range c.Step {
			if c.Loss[i] < c.LossLow[i] || c.Loss[i] > c.LossHigh[i] || c.ImagesPerSecond[i] != 32 || c.GradientNorm[i] != 2 || c.Compute[i] != 0.125 || c.Reduce[i] != 0.0625 {
				t.Fatalf("%d points, bin %d: %g in %g … %g, %g images/s", points, i, c.Loss[i], c.LossLow[i], c.LossHigh[i], c.ImagesPerSecond[i])
			}
		}
	}
}

// The order in which steps come does not matter: those of earlier starts are read
// while new ones arrive.
func TestHistoryInAnyOrder(t *testing.T) {
	t.Parallel()
	const steps = 40000
	inOrder, mixed := NewHistory(), NewHistory()
	point := func(i int) Point {
		return Point{Step: uint64(i + 1), Loss: float64(i % 7), Images: 1, Seconds: 1, Skipped: i%11 == 0}
	}
	for i := range steps {
		inOrder.Add(point(i))
	}
	for _, i := range rand.Perm(steps) {
		mixed.Add(point(i))
	}
	a, b := inOrder.Curve(0, 500), mixed.Curve(0, 500)
	if b.Olds == 0 || a.Olds != 0 {
		t.Errorf("steps that came late: %d and %d", a.Olds, b.Olds)
	}
	a.Olds, b.Olds = 0, 0
	if x, y := text(t, a), text(t, b); x != y {
		t.Errorf("in order %.200s\nmixed    %.200s", x, y)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A part of a curve begins with the bin that its first step is in, in the same width.
func TestCurveFrom(t *testing.T) {
	t.Parallel()
	h := NewHistory()
	for s := range uint64(1000) {
		h.Add(Point{Step: s + 1, Loss: 1, Seconds: 1})
	}
	whole := h.Curve(0, 100)
	part := h.Curve(500, 100)
	if part.Width != whole.Width || part.Step[0] < 500 || part.Step[0]-part.Width >= 500 || part.Step[len(part.Step)-1] != 1000 {
		t.Errorf("width %d of %d, from %d", part.Width, whole.Width, part.Step[0])
	}
}

// What is skipped or no number is counted, and draws no line.
func TestSkippedSteps(t *testing.T) {
	t.Parallel()
	h := NewHistory()
	h.Add(Point{})
	h.Add(Point{Step: 1, Loss: math.NaN(), Skipped: true, GradientNorm: math.Inf(1), Seconds: 1})
	h.Add(Point{Step: 2, Loss: 3, GradientNorm: 4, Seconds: 1})
	h.Add(Point{Step: 4, Loss: math.Inf(1)})
	got := text(t, h.Curve(0, 0))
	for _, want := range []string{`"width":1`, `"step":[1,2,4]`, `"loss":[null,3,null]`, `"loss_min":[null,3,null]`, `"gradient_norm":[null,4,0]`, `"compute_seconds":[0,0,null]`, `"skipped":[1,0,0]`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	var back Curve
	if err := json.Unmarshal([]byte(got), &back); err != nil || text(t, back) != got {
		t.Errorf("read back: %v, %+v", err, back)
	}
}

// metrics.jsonl gives the steps up to the one that the run resumes from.
func TestReadLines(t *testing.T) {
	t.Parallel()
	const lines = `{"step":1,"loss":2,"images":4,"seconds":0.5}
{"step":2,"loss":null,"skipped":true,"images":4,"seconds":0.5}
{"step":3,"loss":1,"images":4,"seconds":0.5}
`
	var got []Line
	err := ReadLines(strings.NewReader(lines), 2, func(l Line) bool { got = append(got, l); return true })
	if err != nil || len(got) != 2 || got[0].Loss != 2 || got[1].Loss.Finite() || !got[1].Skipped {
		t.Errorf("%+v, %v", got, err)
	}
	if err := ReadLines(strings.NewReader(lines+"{"), 9, func(Line) bool { return true }); err == nil {
		t.Error("a line that is cut off is taken")
	}
}

func TestByNumber(t *testing.T) {
	t.Parallel()
	names := []string{"w10", "w2", "w1", "w-b", "w-a"}
	slices.SortFunc(names, ByNumber)
	if got := strings.Join(names, " "); got != "w1 w2 w10 w-a w-b" {
		t.Error(got)
	}
}

// Losses by timestep are means over examples, not over steps: a step with more of a
// slice counts for more. Of a slice without examples nothing is known.
func TestSlices(t *testing.T) {
	t.Parallel()
	h := NewHistory()
	line := func(step uint64, loss float64, examples uint32) Line {
		l := Line{Step: step, Loss: 1, SliceLoss: make([]float64, TimeSlices), SliceExamples: make([]uint32, TimeSlices)}
		l.SliceLoss[3], l.SliceExamples[3] = loss, examples
		return l
	}
	for _, l := range []Line{line(1, 1, 3), line(2, 5, 1), {Step: 3, Loss: 1, SliceLoss: []float64{9}, SliceExamples: []uint32{9}}, {Step: 4, Loss: 1}} {
		h.Add(l.Point())
	}
	if got := text(t, h.Curve(0, 0).SliceLoss[3]); got != "[1,5,null,null]" {
		t.Errorf("step by step %s", got)
	}
	if got := text(t, h.Curve(0, 1).SliceLoss); !strings.HasPrefix(got, "[[null],[null],[null],[2],[null]") {
		t.Errorf("as one %s", got)
	}
}

package sampler

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
)

// classNoise predicts class + 1 everywhere, and -1 without a class.
type classNoise struct{ asked [][]int }

func (p *classNoise) Predict(x []float32, t, classes []int) []float32 {
	p.asked = append(p.asked, slices.Clone(classes))
	eps := make([]float32, len(x))
	n := len(x) / len(t)
	for i := range eps {
		eps[i] = -1
		if classes != nil {
			eps[i] = float32(classes[i/n] + 1)
		}
	}
	return eps
}

func TestGuidanceLeadsAwayFromTheFreePrediction(t *testing.T) {
	for scale, want := range map[float64][]float32{0: {-1, -1}, 1: {3, 1}, 2.5: {9, 4}} {
		d := drawing{m: Model{Predictor: &classNoise{}, Classes: 4}, c: Config{Guidance: scale, Classes: []int{0, 2}}}
		p := d.prediction([]uint32{3, 4})
		if got := p.eps(make([]float32, 2), 7); math.Abs(float64(got[0]-want[0])) > 1e-6 || math.Abs(float64(got[1]-want[1])) > 1e-6 {
			t.Errorf("guidance %v predicts %v, want %v", scale, got, want)
		}
	}
}

func TestImagesHaveTheClassesInTurn(t *testing.T) {
	p := &classNoise{}
	m := Model{Predictor: p, Tables: diffusion.NewTables(diffusion.Linear(diffusion.FixedLarge)), ImageLen: 4, Classes: 3}
	c := Defaults(DDIM, m.Tables.Config)
	c.Steps, c.Batch = 2, 3
	if _, err := Draw(context.Background(), m, c, []uint32{4, 5, 6, 7}, Watch{}); err != nil {
		t.Fatal(err)
	}
	if want := [][]int{{1, 2, 0}, {1, 2, 0}, {1}, {1}}; !slices.EqualFunc(p.asked, want, slices.Equal) {
		t.Errorf("asked for classes %v, want %v", p.asked, want)
	}
	c.Guidance = 2
	if _, err := Draw(context.Background(), m, c, []uint32{0}, Watch{}); err == nil || !strings.Contains(err.Error(), "label dropout") {
		t.Errorf("guidance of a model that needs a class: %v", err)
	}
}

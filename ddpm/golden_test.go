package ddpm

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// goldenUpdates is testdata/update.json, which testdata/make_fixtures.py writes.
type goldenUpdates struct {
	Seed      uint64       `json:"seed"`
	N         int          `json:"n"`
	Tiny      float32      `json:"tiny"`
	Optimizer Optimizer    `json:"optimizer"`
	Steps     []goldenStep `json:"steps"`
}

type goldenStep struct {
	Amplitude    float64   `json:"amplitude"`
	GradientNorm float64   `json:"gradient_norm"`
	LearningRate float64   `json:"learning_rate"`
	Weights      []float64 `json:"weights"`
	M            []float64 `json:"m"`
	V            []float64 `json:"v"`
	EMA          []float64 `json:"ema"`
}

// gradient has no element 0, and so little of element 1 that epsilon decides its
// update.
func (g goldenUpdates) gradient(step int) []float32 {
	grad := make([]float32, g.N)
	rng.Uniforms(grad, g.Steps[step].Amplitude, g.Seed, rng.Noise, uint64(step), 0)
	grad[0] = 0
	grad[1] *= g.Tiny
	return grad
}

// The update is PyTorch's: warm-up, clip_grad_norm_, Adam, then the average.
func TestGoldenUpdate(t *testing.T) {
	text, err := os.ReadFile("testdata/update.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenUpdates
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	pool := kernel.NewPool(1)
	defer pool.Close()
	s := EmptyState(g.N)
	rng.Uniforms(s.Weights, 1, g.Seed, rng.Init, 0, 0)
	copy(s.EMA, s.Weights)
	for k, want := range g.Steps {
		info := s.Update(Spec{Optimizer: g.Optimizer}, pool, g.gradient(k))
		checkElements(t, k, "gradient norm", []float32{float32(info.GradientNorm)}, []float64{want.GradientNorm}, 1e-6, 0)
		checkElements(t, k, "learning rate", []float32{float32(info.LearningRate)}, []float64{want.LearningRate}, 1e-6, 0)
		// The weights are within ±1, an update is about 1e-2.
		checkElements(t, k, "weights", s.Weights, want.Weights, 0, 2e-7)
		checkElements(t, k, "average", s.EMA, want.EMA, 0, 2e-7)
		// PyTorch clips by max/(norm + 1e-6), which is 3e-7 below max/norm here.
		checkElements(t, k, "m", s.M, want.M, 2e-6, 1e-8)
		checkElements(t, k, "v", s.V, want.V, 2e-6, 0)
		checkElements(t, k, "m of the tiny element", s.M[1:2], want.M[1:2], 2e-6, 0)
	}
	if s.Step != uint64(len(g.Steps)) {
		t.Errorf("step %d after %d updates", s.Step, len(g.Steps))
	}
}

// checkElements bounds |got - want| by relative·|want| + absolute.
func checkElements(t *testing.T, step int, what string, got []float32, want []float64, relative, absolute float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("step %d: %s has %d elements, want %d", step, what, len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= relative*math.Abs(w)+absolute) {
			t.Errorf("step %d: %s: element %d is %.9g, want %.9g, off by %.1e", step, what, i, got[i], w, d)
		}
	}
}

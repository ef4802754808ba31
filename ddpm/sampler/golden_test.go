package sampler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

// goldenTolerance bounds the absolute error of an element; the elements are
// around [-1, 1], and the product rounds x_t and eps to float32 at each of up to
// 1000 steps while the reference is float64.
const goldenTolerance = 1e-5

// golden is testdata/sampler.json, which testdata/make_fixtures.py writes.
type golden struct {
	Seed      uint64       `json:"seed"`
	Images    []uint32     `json:"images"`
	Means     []float64    `json:"means"`
	Deviation float64      `json:"deviation"`
	Cases     []goldenCase `json:"cases"`
}

type goldenCase struct {
	Method   string  `json:"method"`
	Variance string  `json:"variance"`
	Steps    int     `json:"steps"`
	Eta      float64 `json:"eta"`
	Spacing  string  `json:"spacing"`
	Clip     bool    `json:"clip"`
	// Evaluations counts those of the network.
	Evaluations int `json:"evaluations"`
	// Timesteps and Inputs are those of the network's last evaluations.
	Timesteps []int       `json:"timesteps"`
	Inputs    [][]float64 `json:"inputs"`
	Result    []float64   `json:"result"`
}

// normalData is the exact network for data whose element i is N(means[i],
// deviation²), on its own. It keeps what it was asked.
type normalData struct {
	tables    *diffusion.Tables
	means     []float64
	deviation float64
	timesteps []int
	inputs    [][]float32
}

func (n *normalData) Predict(x []float32, t, _ []int) []float32 {
	n.timesteps = append(n.timesteps, t[0])
	n.inputs = append(n.inputs, slices.Clone(x))
	eps := make([]float32, len(x))
	for i, v := range x {
		bar := n.tables.AlphaBar[t[i/len(n.means)]]
		centred := float64(v) - math.Sqrt(bar)*n.means[i%len(n.means)]
		eps[i] = float32(centred * math.Sqrt(1-bar) / (bar*n.deviation*n.deviation + 1 - bar))
	}
	return eps
}

func TestGoldenTrajectories(t *testing.T) {
	text, err := os.ReadFile("testdata/sampler.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Cases {
		t.Run(fmt.Sprintf("%s %s %d steps %s eta %g clip %v", c.Method, c.Variance, c.Steps, c.Spacing, c.Eta, c.Clip), func(t *testing.T) {
			tables := diffusion.NewTables(diffusion.Linear(diffusion.FixedLarge))
			net := &normalData{tables: tables, means: g.Means, deviation: g.Deviation}
			config := sampler.Config{
				Method: c.Method, Steps: c.Steps, Eta: c.Eta, Spacing: c.Spacing, Clip: c.Clip,
				Variance: c.Variance, Guidance: 1, Seed: g.Seed,
			}
			model := sampler.Model{Predictor: net, Tables: tables, ImageLen: len(g.Means)}
			xs, err := sampler.Draw(context.Background(), model, config, g.Images, sampler.Watch{})
			if err != nil {
				t.Fatal(err)
			}
			if len(net.timesteps) != c.Evaluations {
				t.Fatalf("the network ran %d times, want %d", len(net.timesteps), c.Evaluations)
			}
			skip := c.Evaluations - len(c.Timesteps)
			if got := net.timesteps[skip:]; !slices.Equal(got, c.Timesteps) {
				t.Fatalf("the last timesteps are %v, want %v", got, c.Timesteps)
			}
			for k, want := range c.Inputs {
				checkNear(t, fmt.Sprintf("x at t = %d", c.Timesteps[k]), net.inputs[skip+k], want)
			}
			checkNear(t, "the result", slices.Concat(xs...), c.Result)
		})
	}
}

func checkNear(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	worst := 0.0
	for i, w := range want {
		worst = math.Max(worst, math.Abs(float64(got[i])-w))
	}
	if !(worst <= goldenTolerance) {
		t.Errorf("%s is off by %.1e, want at most %.0e", what, worst, goldenTolerance)
	}
}

package diffusion

import (
	"math"
	"strings"
	"testing"
)

func near(t *testing.T, name string, got, want, rel float64) {
	t.Helper()
	if math.Abs(got-want) > rel*math.Abs(want) {
		t.Errorf("%s = %.10g, want %.10g", name, got, want)
	}
}

// Published values of the paper's schedule, to the digits that are printed.
func TestLinearScheduleGolden(t *testing.T) {
	s := NewTables(Linear(FixedSmall))
	near(t, "beta_0", s.Beta[0], 1e-4, 1e-12)
	near(t, "beta_1", s.Beta[1], 1.1991992e-4, 1e-7)
	near(t, "beta_499", s.Beta[499], 1.004004e-2, 1e-6)
	near(t, "beta_999", s.Beta[999], 0.02, 1e-12)
	for step, want := range map[int]float64{
		0: 0.9999, 1: 0.999780092, 249: 0.524085374, 499: 0.0785872429, 749: 3.35055044e-3, 999: 4.03582977e-5,
	} {
		near(t, "alphaBar", s.AlphaBar[step], want, 2e-9)
	}
	near(t, "betaTilde_1", s.PosteriorVariance[1], 5.45318766e-5, 1e-8)
	near(t, "betaTilde_999", s.PosteriorVariance[999], 0.0199999835, 1e-8)
	p := s.Posterior(999, 998)
	near(t, "posterior x0 coefficient", p.X0, 1.28351e-4, 1e-5)
	near(t, "posterior xt coefficient", p.Xt, 0.98994868, 1e-8)
	near(t, "posterior variance", p.Small, s.PosteriorVariance[999], 1e-9)
}

func TestPosteriorVariances(t *testing.T) {
	large := NewTables(Linear(FixedLarge))
	for _, step := range []int{0, 1, 500, 999} {
		near(t, "fixed_large", large.Posterior(step, step-1).Variance(FixedLarge), large.Beta[step], 1e-9)
	}
	small := NewTables(Linear(FixedSmall))
	if v := small.Posterior(0, -1).Variance(FixedSmall); v != 0 {
		t.Errorf("fixed_small at t = 0 is %g, want 0", v)
	}
	// The last jump lands on x_0 alone.
	if p := small.Posterior(0, -1); math.Abs(p.X0-1) > 1e-12 || p.Xt != 0 {
		t.Errorf("the jump from t = 0 is %+v, want x_0", p)
	}
}

func TestQSample(t *testing.T) {
	s := NewTables(Linear(FixedLarge))
	x0, eps, xt := []float32{1, -1, 0}, []float32{0, 1, 2}, make([]float32, 3)
	s.QSample(xt, x0, eps, 499)
	a, b := math.Sqrt(0.0785872429), math.Sqrt(1-0.0785872429)
	for i := range xt {
		want := a*float64(x0[i]) + b*float64(eps[i])
		if math.Abs(float64(xt[i])-want) > 1e-6 {
			t.Errorf("xt[%d] = %v, want %v", i, xt[i], want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Linear(FixedLarge)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"no steps":  func(c *Config) { c.Steps = 0 },
		"zero beta": func(c *Config) { c.BetaStart = 0 },
		"nan beta":  func(c *Config) { c.BetaStart = math.NaN() },
		"falling":   func(c *Config) { c.BetaEnd = c.BetaStart / 2 },
		"curve":     func(c *Config) { c.Schedule = "wavy" },
		"variance":  func(c *Config) { c.Variance = "learned" },
		"no noise":  func(c *Config) { c.BetaStart = 1e-17 },
	} {
		c := good
		edit(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A process that leaves nothing of an image is refused, and what is taken is finite
// throughout.
func TestValidateLooksAtTheEnd(t *testing.T) {
	for steps, ok := range map[int]bool{1: true, 1000: true, 4000: true, 13_000: true, 14_000: false, 100_000: false, 1 << 20: false} {
		c := Linear(FixedSmall)
		c.Steps = steps
		err := c.Validate()
		if !ok {
			if err == nil || !strings.Contains(err.Error(), "give fewer steps or smaller betas") {
				t.Errorf("%d steps: %v", steps, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d steps: %v", steps, err)
		}
		s := NewTables(c)
		for i := range steps {
			p := s.Posterior(i, i-1)
			if v := p.X0 + p.Xt + p.Large + p.Small + s.PosteriorVariance[i]; math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%d steps: at t = %d the posterior is %+v", steps, i, p)
			}
		}
	}
	c := Config{Steps: 1 << 20, BetaStart: 1e-6, BetaEnd: 1e-5, Schedule: "linear", Variance: FixedLarge}
	if err := c.Validate(); err != nil {
		t.Errorf("many small steps: %v", err)
	}
}

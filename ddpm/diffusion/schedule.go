package diffusion

import (
	"fmt"
	"math"
)

// Config is the diffusion process of a run.
type Config struct {
	// Steps is T, the number of timesteps.
	Steps int `json:"steps"`
	// BetaStart and BetaEnd are the ends of the schedule, both included.
	BetaStart float64 `json:"beta_start"`
	BetaEnd   float64 `json:"beta_end"`
	// Schedule names the curve between them: "linear".
	Schedule string `json:"schedule"`
	// Variance names sigma² of the reverse process: "fixed_large" (beta) or
	// "fixed_small" (the posterior's variance).
	Variance string `json:"variance"`
	// NoClip says that images are drawn without clipping what a step predicts, unless
	// whoever draws them says otherwise. It is of a scheduler that was taken over, and
	// no step of training depends on it.
	NoClip bool `json:"no_clip,omitempty"`
}

// The reverse process' variances.
const (
	FixedLarge = "fixed_large"
	FixedSmall = "fixed_small"
)

// Linear is the paper's schedule: T = 1000, beta from 1e-4 to 0.02.
func Linear(variance string) Config {
	return Config{Steps: 1000, BetaStart: 1e-4, BetaEnd: 0.02, Schedule: "linear", Variance: variance}
}

// Validate reports what is wrong with the process.
func (c Config) Validate() error {
	switch {
	case c.Steps < 1 || c.Steps > 1<<20:
		return fmt.Errorf("diffusion steps %d: must be in 1 … %d", c.Steps, 1<<20)
	case !(c.BetaStart > 0 && c.BetaStart <= c.BetaEnd && c.BetaEnd < 1):
		return fmt.Errorf("beta_start %g and beta_end %g: need 0 < beta_start <= beta_end < 1", c.BetaStart, c.BetaEnd)
	case c.Schedule != "linear":
		return fmt.Errorf("schedule %q: must be \"linear\"", c.Schedule)
	case c.Variance != FixedLarge && c.Variance != FixedSmall:
		return fmt.Errorf("variance %q: must be %q or %q", c.Variance, FixedLarge, FixedSmall)
	case 1-c.BetaStart == 1:
		return fmt.Errorf("beta_start %g: next to 1 it is rounded away, so the first step would add no noise; give a larger one", c.BetaStart)
	}
	bar := 1.0
	for i := 0; i < c.Steps && bar >= minAlphaBar; i++ {
		bar = float64(bar * (1 - c.beta(i)))
	}
	if bar < minAlphaBar {
		return fmt.Errorf("diffusion steps %d with beta_start %g and beta_end %g: of an image less than alphaBar = %g is left at the end, which float32 can't undo; give fewer steps or smaller betas",
			c.Steps, c.BetaStart, c.BetaEnd, minAlphaBar)
	}
	return nil
}

// minAlphaBar bounds alphaBar at the end. x_0 is found by dividing by its root, and the
// quotients must be numbers of float32 with room to spare.
const minAlphaBar = 1e-60

// beta is beta_t.
func (c Config) beta(t int) float64 {
	beta := c.BetaStart
	if c.Steps > 1 {
		beta += float64((c.BetaEnd - c.BetaStart) * (float64(t) / float64(c.Steps-1)))
	}
	return beta
}

// Tables holds the schedule's quantities for t = 0 … T-1, in float64.
type Tables struct {
	Config Config
	// Beta is beta_t, AlphaBar the product of 1 - beta up to t.
	Beta, AlphaBar []float64
	// PosteriorVariance is betaTilde_t (equation 7); 0 at t = 0.
	PosteriorVariance []float64
}

// NewTables computes the tables of a valid config.
func NewTables(c Config) *Tables {
	t := &Tables{
		Config:            c,
		Beta:              make([]float64, c.Steps),
		AlphaBar:          make([]float64, c.Steps),
		PosteriorVariance: make([]float64, c.Steps),
	}
	prev := 1.0
	for i := range c.Steps {
		beta := c.beta(i)
		bar := float64(prev * (1 - beta))
		t.Beta[i], t.AlphaBar[i] = beta, bar
		t.PosteriorVariance[i] = beta * (1 - prev) / (1 - bar)
		prev = bar
	}
	return t
}

// AlphaBarBefore is alphaBar of a timestep, 1 for t = -1.
func (t *Tables) AlphaBarBefore(step int) float64 {
	if step < 0 {
		return 1
	}
	return t.AlphaBar[step]
}

// QSample writes x_t ~ q(x_t | x_0) = N(sqrt(alphaBar) x_0, (1 - alphaBar) I) for
// the noise eps into xt (equation 4). All slices have one length; xt may be x0.
func (t *Tables) QSample(xt, x0, eps []float32, step int) {
	a := float32(math.Sqrt(t.AlphaBar[step]))
	b := float32(math.Sqrt(1 - t.AlphaBar[step]))
	for i, x := range x0 {
		xt[i] = float32(a*x) + float32(b*eps[i])
	}
}

// Posterior holds the coefficients of q(x_p | x_t, x_0) for a jump from t to an
// earlier p (equations 6 and 7; p = t-1 is the paper's, other p respace the
// process): mean = X0·x_0 + Xt·x_t.
type Posterior struct {
	X0, Xt float64
	// Large and Small are the variances of fixed_large, beta of the jump, and of
	// fixed_small, the posterior's own.
	Large, Small float64
}

// Variance is the one that a config's Variance names.
func (p Posterior) Variance(name string) float64 {
	if name == FixedSmall {
		return p.Small
	}
	return p.Large
}

// Posterior returns the coefficients for the jump from step to prev < step; prev
// is -1 for the jump to x_0.
func (t *Tables) Posterior(step, prev int) Posterior {
	bar, barPrev := t.AlphaBar[step], t.AlphaBarBefore(prev)
	alpha := bar / barPrev
	beta := 1 - alpha
	return Posterior{
		X0:    math.Sqrt(barPrev) * beta / (1 - bar),
		Xt:    math.Sqrt(alpha) * (1 - barPrev) / (1 - bar),
		Large: beta,
		Small: beta * (1 - barPrev) / (1 - bar),
	}
}

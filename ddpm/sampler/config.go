package sampler

import "fmt"

// The methods.
const (
	Ancestral = "ancestral"
	DDIM      = "ddim"
)

// Config is how images are drawn.
type Config struct {
	// Method is Ancestral or DDIM.
	Method string
	// Steps is how many times the network is evaluated for an image. Fewer than
	// the process has are spaced evenly, t = 0 included.
	Steps int
	// Eta scales the noise that DDIM adds: 0 adds none, 1 is an ancestral sampler
	// with the posterior's variance.
	Eta  float64
	Seed uint64
	// Batch is how many images go through the network at once; 0 chooses.
	Batch int
}

const defaultBatch = 16

// Validate reports what is wrong for a process of T timesteps.
func (c Config) Validate(T int) error {
	switch {
	case c.Method != Ancestral && c.Method != DDIM:
		return fmt.Errorf("sampler %q: must be %q or %q", c.Method, Ancestral, DDIM)
	case c.Steps < 1 || c.Steps > T:
		return fmt.Errorf("sampling steps %d: must be in 1 … %d, the timesteps of the model", c.Steps, T)
	case !(c.Eta >= 0 && c.Eta <= 1):
		return fmt.Errorf("eta %g: must be in [0, 1]", c.Eta)
	case c.Batch < 0:
		return fmt.Errorf("batch %d: must not be negative", c.Batch)
	}
	return nil
}

// timesteps lists t from the noisiest to 0: multiples of T/steps, which
// diffusers calls "leading" spacing.
func timesteps(T, steps int) []int {
	ratio := T / steps
	ts := make([]int, steps)
	for i := range ts {
		ts[i] = (steps - 1 - i) * ratio
	}
	return ts
}

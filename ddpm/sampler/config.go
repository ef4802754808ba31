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
	// the process has, T, are spaced by T/Steps rounded down, from t = 0 on, so that
	// a number that does not divide T leaves out the noisiest timesteps.
	Steps int
	// Eta scales the noise that DDIM adds: 0 adds none, 1 is an ancestral sampler
	// with the posterior's variance.
	Eta  float64
	Seed uint64
	// Batch is how many images go through the network at once; 0 chooses.
	Batch int
}

// A batch has maxBatch images at most, and fewer where they are larger than those
// of the paper's small models: a pass keeps its activations, some 2 GiB for an
// image of 256x256.
const (
	maxBatch   = 16
	batchElems = maxBatch * 32 * 32 * 3
)

// batch is how many images of a length go through the network at once.
func (c Config) batch(imageLen int) int {
	if c.Batch > 0 {
		return c.Batch
	}
	return min(max(batchElems/imageLen, 1), maxBatch)
}

// Validate reports what is wrong for a process of T timesteps.
func (c Config) Validate(T int) error {
	switch {
	case c.Method != Ancestral && c.Method != DDIM:
		return fmt.Errorf("sampler %q: must be %q or %q", c.Method, Ancestral, DDIM)
	case c.Steps < 1 || c.Steps > T:
		return fmt.Errorf("sampling steps %d: must be in 1 … %d, the timesteps of the model", c.Steps, T)
	case !(c.Eta >= 0 && c.Eta <= 1):
		return fmt.Errorf("eta %g: must be in [0, 1]", c.Eta)
	case c.Eta != 0 && c.Method != DDIM:
		return fmt.Errorf("eta %g: only the sampler %q has one", c.Eta, DDIM)
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

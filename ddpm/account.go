package ddpm

// Account is what a device tells of the shard that it computed last, for people: no
// weight depends on it.
type Account struct {
	// Losses are the examples' own: the mean of (eps - eps_theta)² over an example's
	// elements. Their mean is the shard's loss, but for rounding. It is the device's
	// until the next shard.
	Losses []float64
	// Input, Forward and Backward are how long it took to load the batch, to predict
	// the noise, and to come back with the gradient, in nanoseconds; 0 without a clock.
	Input, Forward, Backward int64
}

// Accountant is a Device that gives an account.
type Accountant interface {
	Device
	Account() Account
}

// TimeSlices is in how many equal slices of [0, T) a run's loss is told apart: the loss
// differs by orders of magnitude along t, and its mean hides where a model is weak.
const TimeSlices = 10

// TimeSlice is the slice that a timestep is in, 0 … TimeSlices-1.
func (s Spec) TimeSlice(t int) int { return t * TimeSlices / s.Diffusion.Steps }

// Account implements Accountant.
func (c *CPU) Account() Account { return c.account }

// now reads the clock, if there is one.
func (c *CPU) now() int64 {
	if c.Clock == nil {
		return 0
	}
	return c.Clock()
}

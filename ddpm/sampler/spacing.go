package sampler

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Spacings of the visited timesteps over 0 … T-1, by diffusers' names.
const (
	// Leading are the multiples of T/Steps rounded down, from 0 on: it leaves out
	// the noisiest timesteps.
	Leading = "leading"
	// Trailing counts from T-1 down in steps of T/Steps.
	Trailing = "trailing"
	// Linspace has both ends, 0 and T-1.
	Linspace = "linspace"
	// Quadratic are the squares of evenly spaced numbers up to sqrt(0.8·T), denser
	// where there is little noise (Song et al. 2021, appendix D.2).
	Quadratic = "quadratic"
)

// Spacings lists the spacings.
func Spacings() []string { return []string{Leading, Trailing, Linspace, Quadratic} }

// timesteps lists the visited timesteps of a process of T, the noisiest first.
//
// A multistep solver ends at x_0 by a step of its own, so where a spacing includes
// t = 0 it takes one timestep more and visits all but that, as diffusers does.
func (c Config) timesteps(T int) ([]int, error) {
	points := c.Steps
	ends := c.Spacing == Leading || c.Spacing == Linspace
	multistep := ends && (c.Method == DPMPP2M || c.Method == UniPC)
	if multistep {
		points++
	}
	most := T - (points - c.Steps)
	switch {
	case !slices.Contains(Spacings(), c.Spacing):
		return nil, fmt.Errorf("spacing %q: must be one of %s", c.Spacing, strings.Join(Spacings(), ", "))
	case most < 1:
		return nil, fmt.Errorf("sampler %s with %s spacing: needs a process of at least 2 timesteps, and the model has %d; use another sampler or %s spacing",
			c.Method, c.Spacing, T, Trailing)
	case c.Steps < 1 || c.Steps > most:
		return nil, fmt.Errorf("steps %d: must be in 1 … %d for the sampler %s with %s spacing, since the model has %d timesteps",
			c.Steps, most, c.Method, c.Spacing, T)
	case points == 1 && T > 1 && c.Spacing != Trailing:
		return nil, fmt.Errorf("steps 1: %s spacing would visit t = 0 alone, where an image has next to no noise; use %s spacing", c.Spacing, Trailing)
	}
	ts := make([]int, points) // ascending
	for i := range ts {
		ts[i] = spaced(c.Spacing, i, points, T)
	}
	ts = slices.Compact(ts)
	if multistep {
		ts = ts[1:]
	}
	slices.Reverse(ts)
	return ts, nil
}

// spaced is the i-th of n timesteps, ascending.
func spaced(spacing string, i, n, T int) int {
	switch spacing {
	case Trailing:
		return roundDiv(T*(i+1), n) - 1
	case Linspace:
		if n == 1 {
			return 0
		}
		return roundDiv(i*(T-1), n-1)
	case Quadratic:
		if n == 1 {
			return 0
		}
		root := math.Sqrt(0.8*float64(T)) * (float64(i) / float64(n-1))
		return int(math.Floor(float64(root*root) + 1e-9)) // a whole number stays one
	}
	return i * (T / n)
}

// roundDiv is a/b rounded to the nearest integer, a half to the even one.
func roundDiv(a, b int) int {
	q, r := a/b, a%b
	if 2*r > b || 2*r == b && q%2 == 1 {
		q++
	}
	return q
}

// Package diffusion is the mathematics of the process, apart from any network:
// the noise schedule and its tables (float64), q_sample, L_simple's weights and
// the posterior q(x_{t-1} | x_t, x_0) (Ho et al. 2020, section 2 and 3).
//
// Timesteps are 0 … T-1 as in the released code: t = 0 means "diffused once",
// and alphaBar of t = -1 is 1.
package diffusion

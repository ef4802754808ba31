// Package ddpm is what a run computes, apart from who computes it: the law
//
//	weights after step s = f(Spec, s)
//
// Spec is the run's config. PlanStep says which examples, timesteps and noise
// step s uses and cuts them into shards. A Device turns (weights, shard) into a
// gradient. State holds the weights, Adam's moments and the moving average, and
// Update applies a reduced gradient to it. Every one of these is a pure function
// of its arguments; none knows a network, a clock, or how many workers there
// are.
package ddpm

// Package stepsim reckons how long a training step takes on a cluster that is not
// there: a discrete simulation of compute and of the ring all-reduce, message by
// message, on the schedule of package allreduce.
//
// A rank has, as in package allreduce, a receiver, which takes messages in the order
// in which they come, adds, and queues what goes on, and a sender, which sends what is
// queued. Each takes its host's processors for as long as a message costs; a host may
// have several ranks and fewer processors, and messages then wait their turn. A
// message leaves when the link has sent those before it, at the link's bandwidth, and
// arrives a latency later. At most InFlight of a rank's own segments are under way.
//
// The gradient may come in buckets: the ring of one begins when backward has made it,
// while the next is being made. A rank can't add to what it has not computed, so that
// a straggler holds the ring up.
//
// What is left out: lost packets, switches that are shared, and what the ring takes of
// the processors from compute.
//
// Package stepsim also has the cost of other algorithms in closed form (Cost), to tell
// where they would win. It is no part of what decides the bits of a run.
package stepsim

// Package core decides for a run: who is in it, in which generation, who computes
// what, when a checkpoint is one, and when and how the run ends.
//
// It is a pure state machine: Step(now, event) → effects. It has no clock, no
// socket and no goroutine; package coordinator feeds it and does what it says.
// The same events give the same effects, so a life of a run is a text file
// (testdata).
//
// # A run's life
//
//	waiting   workers join until there are enough of them
//	adopting  a new leader waits for the members of the generation in etcd
//	forming   a generation is persisted, then assigned; members catch up and link
//	training  members train; they need nobody for a step
//	changing  members leave their ring and say where they stand
//	saving    members are idle at a step whose checkpoint is on its way
//	paused    there are fewer workers than the run goes on with, or it is stopping and
//	          waits for those to come back who may have the newest state
//	ended     nothing happens any more
//
// A generation is persisted before anyone hears of it: Persist, and only after
// the event Persisted an Assign to each member. A member trains as soon as it has
// the state and its links; a ring completes no step before all of it does.
//
// # A change
//
// Membership changes in two ways. Halt breaks the ring at once: for a member that
// is lost, or a ring that broke. Yield ends it at a step boundary that the members
// agree on: for workers that join or leave, for a better deal, and for the end.
// Members whose weights differ leave by themselves, each with its word, and most of the
// generation say who is right; whoever is away is waited for first (differing).
// In each way a member answers with its Position, and regroup makes the next
// generation of them:
//
//   - It starts at the newest step that a member has the state of. States of one
//     step are the same bits, whoever computed them and when, so it does not
//     matter who was in which generation.
//   - A member one step behind takes that step's reduced gradient from another, a
//     newcomer the whole state. Nobody goes back.
//   - Shards of the current step that somebody holds already are kept; the others
//     are dealt out and computed, and the step is completed. In a run with groups
//     (Config.Groups) nobody keeps any, and the step is begun anew.
//   - Where nobody has a state, the newest checkpoint is where it starts.
//
// # What the caller owes
//
// Effects are done in the order given. Persist is answered by Persisted, Publish by
// Published or PublishFailed. Tick comes several times within Config.Silence.Min:
// where it stays out longer, the coordinator itself stood still, and nobody is
// blamed for that time.
package core

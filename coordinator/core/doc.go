// Package core decides for a run: who is in it, in which generation, when a
// checkpoint is one, and when and how the run ends.
//
// It is a pure state machine: Step(now, event) → effects. It has no clock, no
// socket and no goroutine; package coordinator feeds it and does what it says.
// The same events give the same effects, so a life of a run is a text file
// (testdata).
//
// # A run's life
//
//	waiting   workers join until there are enough of them
//	forming   a generation is persisted, then assigned; members get ready
//	training  members train; they need nobody for a step
//	ended     nothing happens any more
//
// A generation is persisted before anyone hears of it: Persist, and only after
// the event Persisted an Assign to each member. When all members are ready they
// Begin. Each member reports its part of each checkpoint with the digest of the
// whole state; when the parts of a step are complete and their digests agree the
// checkpoint is published. The last one ends the run.
//
// A member that is lost ends the run too, with the reason: its next start resumes
// from the newest checkpoint. Only when all parts of the last checkpoint are stored
// the members are needed no more.
//
// # What the caller owes
//
// Effects are done in the order given. Persist and Publish are answered by events.
// Tick comes several times within Config.Silence: where it stays out longer, the
// coordinator itself stood still, and nobody is blamed for that time.
package core

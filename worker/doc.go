// Package worker is one member of a training cluster, and this is its life.
//
// It dials the coordinator, trying for a while if nobody answers, and opens a
// server for the ring on the address from which it reached the coordinator (or on
// --advertise). Over one stream, the session, it says Hello with its build's
// fingerprint, and is welcomed with the run's config or sent away with a reason.
// From then on a goroutine of its own says every now and then that the worker
// lives, however busy the rest is.
//
// It opens what the config names: the dataset, whose digest must be the run's, and
// the Store, which must hold this very run. Then it waits for an Assignment: a
// generation with its members in ring order, the worker's rank, its shards, and
// where the state of the first step comes from. It loads the state, links up with
// its neighbours, says Ready, and on Begin it trains.
//
// A step needs no coordinator:
//
//	plan      which examples, timesteps and noise: a function of (config, step)
//	compute   the gradient of each own shard, summed in fixed point
//	reduce    the sum over all shards, through the ring; loss, overflows and
//	          votes to stop travel with it
//	update    clip, Adam, moving average: the same on every member
//	report    rank 0 tells the coordinator how the step went
//	checkpoint  when due: copy the own part, train on, upload behind
//
// Whether a step overflowed, and whether the run stops after it, are read from the
// reduced vector, so that all members decide alike without a word. After the last
// step a member uploads its last part and waits to be dismissed.
//
// The end is one of these. Dismissed as it should be: no error. Interrupted while
// it trains: the worker votes to stop, and all members end with a checkpoint after
// the same step. Anything else is an error that says what to do: the coordinator
// is gone, its ring broke, the state doesn't load, an upload fails. The worker
// tells the coordinator the reason where it can (before it breaks the ring, so that
// its neighbours are not blamed), waits a bounded time to be dismissed, or after a
// broken ring to be assigned a newer generation, and ends.
//
// Duties of the caller: a worker's goroutines all end before Run returns.
// Directives with a lower leader term than one seen before are ignored, and so is
// whatever concerns another generation than the worker's.
package worker

// Package worker is one member of a training cluster, and this is its life.
//
// It dials the coordinator, trying for a while if nobody answers or takes it in, at each
// address that it has, and opens a server for the ring and for other members on the address from which it reached
// the coordinator (or on --advertise). Over one stream, the session, it says Hello
// with its build's fingerprint, and is welcomed with the run's config or sent away
// with a reason. From then on a goroutine of its own says every now and then that
// the worker lives, however busy the rest is.
//
// It opens what the config names: the dataset, whose digest must be the run's, and
// the Store, which must hold this very run. Then it is Available, and a member
// whenever it is assigned a generation.
//
// # Two goroutines
//
// One serves: it obeys the coordinator (life.go, obey.go) and looks for another
// one when it is gone (search.go). One trains (trainer.go): it is the same loop for
// the worker's whole life, which generations come to and leave again. It does the
// first of these that there is to do:
//
//	enter     bring the state to the start of a new generation
//	compute   the gradient of the next shard that it was dealt, or in a run with local
//	          steps by how much they move the shard's copy of the weights, ring or no ring,
//	          summed in fixed point; where groups of shards take local steps, those of the
//	          next group, once the ring of those who compute its shards is there (group.go)
//	complete  take the sums round the ring, and the state to the next step
//	abandon   wait for the end of an all-reduce whose generation is over
//
// # A generation
//
// It begins with an Assignment: the members in ring order, the worker's rank and
// shards, and what it lacks of the state. It takes that from the initial weights,
// from a checkpoint, or from other members, whole or as the last step's gradient
// (enter.go, fetch.go); meanwhile it links up with its neighbours (generation.go).
// With both it says Ready, and trains: a ring completes no step before all members
// bring their sums, so that nobody has to begin them.
//
// The all-reduce does not wait for the last gradient (reduction.go). While the last
// shard's backward goes on, what it is done with is added to the sums, and these go
// round the ring bucket by bucket, on goroutines of the ring's; the loop only releases
// them. What cannot be hidden that way is the last bucket, which complete brings with
// the votes, and waiting for slower members. The results come to where that shard's
// gradient was. A step is complete for nobody before all have ended their backward, so
// that the position stands still until then, and a worker that is halted tells it
// without waiting for its backward: that goes on to its end, for the next generation.
//
// A step (step.go) needs no coordinator. Loss, overflows, hashes of the weights, and
// votes to leave and to save travel through the ring with the gradient; all members
// read the same sums there, and decide alike without a word. Rank 0 tells the
// coordinator how the step went. A checkpoint that is due is copied and stored
// behind the training (checkpoint.go); a Store that fails costs that checkpoint.
//
// A worker leaves a generation when
//
//   - it is halted: at once, keeping the shards that it has computed or been dealt,
//     which it goes on computing, unless they are in groups: then it stops, and keeps none;
//   - a member votes for it, having been told to Yield: all leave at the same
//     boundary;
//   - the last step is complete;
//   - the ring breaks, or that of its group, other members do not give what it lacks, or the members'
//     weights differ. What it brought to the ring is still its own.
//
// Then it tells the coordinator its Position, exactly once and when it can't move
// any more: an all-reduce that is under way is waited for first. A step is either
// complete for a member or its sums are untouched.
//
// # Without a coordinator
//
// A session that breaks changes nothing in the ring. The worker trains on and tries
// all addresses in turn, --away at most. Its next Hello has a Resume: its name, and
// where it stands. To the new coordinator it tells again what became of the newest
// checkpoints, that it leaves if so, as rank 0 the steps that were not heard of, and
// its Position if it has left its ring since the Hello. Directives of a lower leader
// term than one seen before are refused, over all sessions.
//
// # The end
//
// Dismissed as it should be: no error. Told to end: it asks to leave, and the
// coordinator lets it go at a boundary, --grace at most. Anything else is an error
// that says what to do: this machine can't compute or load the state, an
// Assignment can't be, no coordinator comes back. The worker tells the coordinator
// the reason where it can, before it breaks the ring, so that its neighbours are not
// blamed, and waits a bounded time to be dismissed.
//
// All goroutines of a worker end before Run returns.
package worker

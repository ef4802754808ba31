package core

import "github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"

// Event is what can happen to a run.
type Event interface{ event() }

// Joined says that a worker asks to be admitted.
type Joined struct {
	Worker string
	// Address is where its ring server listens.
	Address string
	// Version and Build say what it runs.
	Version, Build string
	// Resume is where it stands, if it was in this run before.
	Resume *Position
}

// Available says that a worker has opened the run and can be a member.
type Available struct{ Worker string }

// Heard says that a worker gave a sign of life.
type Heard struct {
	Worker string
	// Rate is how many shards it computes in a second, 0 where it does not say.
	Rate float64
	// Link is what it has measured of its link to its successor.
	Link choice.Link
	// Apart says that it shares no memory with others of its host.
	Apart bool
}

// Left says that a worker's session broke.
type Left struct {
	Worker, Reason string
}

// Persisted says that a generation is in etcd.
type Persisted struct{ Generation uint64 }

// Ready says that a member has its state and its ring links.
type Ready struct {
	Worker     string
	Generation uint64
}

// Position is where a worker stands.
type Position struct {
	// Generation is the newest that it was assigned, 0 for none.
	Generation uint64
	// Training says that it is in that generation's ring, or on its way there.
	Training bool
	// HasState says that it has the state after Step steps, HasGradient that it
	// also has the reduced gradient that made it.
	HasState    bool
	Step        uint64
	HasGradient bool
	// Shards of the current step are those that it has computed or is computing.
	Shards []int
	// Broke is why it left the ring unasked, Unreachable the rank of the neighbour
	// that it did not reach, or -1.
	Broke       string
	Unreachable int
	// Differs says that the members' weights differ; Weights is a hash of its own.
	Differs bool
	Weights uint64
}

// Positioned says where a worker stands that has left its ring.
type Positioned struct {
	Worker   string
	Position Position
}

// Progressed says that the members completed a step.
type Progressed struct {
	Step    uint64
	Skipped bool
}

// Overflowed says, as part of a sentence, what did not fit in a shard's gradient.
type Overflowed struct {
	Worker, What string
}

// Saved says that a member's part of a checkpoint is stored.
type Saved struct {
	Worker           string
	Generation, Step uint64
	// Digest names the whole state, which each member holds.
	Digest string
	Loss   float64
	// Part is the caller's account of it, which Publish hands back.
	Part any
}

// SaveFailed says that a member could not store its part.
type SaveFailed struct {
	Worker           string
	Generation, Step uint64
	Reason           string
}

// Leaving says that a worker asks to leave at the next step boundary.
type Leaving struct {
	Worker, Reason string
}

// Failed says that a worker can't go on.
type Failed struct {
	Worker, Reason string
}

// Published says that the checkpoint that a generation saved has its manifest.
type Published struct{ Generation, Step uint64 }

// PublishFailed says that a checkpoint could not be completed.
type PublishFailed struct {
	Generation, Step uint64
	Reason           string
}

// Unreadable says that the checkpoint of a step is damaged or gone.
type Unreadable struct {
	Step   uint64
	Reason string
}

// Broken says that the coordinator itself can't go on.
type Broken struct{ Reason string }

// StopRequested asks for a checkpoint and the end.
type StopRequested struct{ Reason string }

// Tick lets time pass.
type Tick struct{}

func (Joined) event()        {}
func (Available) event()     {}
func (Heard) event()         {}
func (Left) event()          {}
func (Persisted) event()     {}
func (Ready) event()         {}
func (Positioned) event()    {}
func (Progressed) event()    {}
func (Overflowed) event()    {}
func (Saved) event()         {}
func (SaveFailed) event()    {}
func (Leaving) event()       {}
func (Failed) event()        {}
func (Published) event()     {}
func (PublishFailed) event() {}
func (Unreadable) event()    {}
func (Broken) event()        {}
func (StopRequested) event() {}
func (Tick) event()          {}

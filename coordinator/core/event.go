package core

// Event is what can happen to a run.
type Event interface{ event() }

// Joined says that a worker asks to be admitted.
type Joined struct {
	Worker string
	// Address is where its ring server listens.
	Address string
	// Version and Build say what it runs.
	Version, Build string
}

// Heard says that a worker gave a sign of life.
type Heard struct{ Worker string }

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

// Saved says that a member's part of a checkpoint is stored.
type Saved struct {
	Worker           string
	Generation, Step uint64
	// Digest names the whole state, which each member holds.
	Digest string
	// Last says that the member trains no further.
	Last bool
	Loss float64
}

// Failed says that a worker can't go on.
type Failed struct {
	Worker, Reason string
	// Consequence says that its ring failed, for which another may be to blame.
	Consequence bool
}

// Published says that a checkpoint has its manifest.
type Published struct{ Step uint64 }

// Broken says that the coordinator itself can't go on: etcd or the Store failed.
type Broken struct{ Reason string }

// StopRequested asks for a checkpoint and the end.
type StopRequested struct{ Reason string }

// Tick lets time pass.
type Tick struct{}

func (Joined) event()        {}
func (Heard) event()         {}
func (Left) event()          {}
func (Persisted) event()     {}
func (Ready) event()         {}
func (Saved) event()         {}
func (Failed) event()        {}
func (Published) event()     {}
func (Broken) event()        {}
func (StopRequested) event() {}
func (Tick) event()          {}

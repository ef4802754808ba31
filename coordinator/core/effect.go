package core

// Effect is what the shell has to do, in the order given.
type Effect interface{ effect() }

// Admit welcomes a worker.
type Admit struct{ Worker string }

// Refuse sends a worker away.
type Refuse struct{ Worker, Reason string }

// Persist stores a generation; Persisted or Broken follows.
type Persist struct{ Generation Generation }

// Assign tells a member its generation.
type Assign struct {
	Worker     string
	Rank       int
	Generation Generation
}

// Begin lets a member train.
type Begin struct {
	Worker     string
	Generation uint64
}

// Stop asks a member to vote for the end.
type Stop struct{ Worker, Reason string }

// Publish makes a checkpoint one; Published or Broken follows.
type Publish struct {
	Step    uint64
	Digest  string
	Members []string
	Loss    float64
}

// Dismiss ends a worker's session.
type Dismiss struct {
	Worker string
	OK     bool
	Reason string
}

// End is the last effect.
type End struct {
	// OK says that the run's last step is published.
	OK     bool
	Reason string
	// Step is the newest that was published here, or the start.
	Step   uint64
	Digest string
	Loss   float64
}

func (Admit) effect()   {}
func (Refuse) effect()  {}
func (Persist) effect() {}
func (Assign) effect()  {}
func (Begin) effect()   {}
func (Stop) effect()    {}
func (Publish) effect() {}
func (Dismiss) effect() {}
func (End) effect()     {}

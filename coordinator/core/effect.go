package core

import "time"

// Effect is what the shell has to do, in the order given.
type Effect interface{ effect() }

// Admit welcomes a worker, which is to give a sign of life so often, and is asked for one
// at least so often; 0: it is not.
type Admit struct {
	Worker         string
	Heartbeat, Ask time.Duration
}

// Ask asks a worker for a sign of life.
type Ask struct{ Worker string }

// Refuse sends a worker away.
type Refuse struct{ Worker, Reason string }

// Persist stores a generation; Persisted follows.
type Persist struct{ Generation Generation }

// Assign tells a member its generation.
type Assign struct {
	Worker     string
	Rank       int
	Generation Generation
}

// Halt asks a member to leave its ring at once and to say where it stands.
type Halt struct {
	Worker     string
	Generation uint64
	Reason     string
}

// Yield asks a member to vote for leaving the ring at a step boundary, where it
// says where it stands. Save asks for a checkpoint there.
type Yield struct {
	Worker     string
	Generation uint64
	Reason     string
	Save       bool
}

// Publish makes a checkpoint one; Published or PublishFailed follows.
type Publish struct {
	// Generation is the one whose members saved it, in ring order.
	Generation uint64
	Step       uint64
	Digest     string
	Members    []string
	// Parts are the Saved events' own, by member.
	Parts []any
	Loss  float64
}

// GiveUp says that a checkpoint won't be one.
type GiveUp struct {
	Generation, Step uint64
	Reason           string
}

// Dismiss ends a worker's session.
type Dismiss struct {
	Worker string
	OK     bool
	Reason string
	// Again says that it may come back: it was given up for lost, and perhaps is not.
	Again bool
}

// Note says something that people want to know.
type Note struct{ Text string }

// End is the last effect.
type End struct {
	// OK says that the run's last step is published.
	OK bool
	// Stopped says that the run was asked to end, and had nothing yet to save.
	Stopped bool
	Reason  string
	// Step is the newest that was published here, or the start.
	Step   uint64
	Digest string
	Loss   float64
}

func (Admit) effect()   {}
func (Ask) effect()     {}
func (Refuse) effect()  {}
func (Persist) effect() {}
func (Assign) effect()  {}
func (Halt) effect()    {}
func (Yield) effect()   {}
func (Publish) effect() {}
func (GiveUp) effect()  {}
func (Dismiss) effect() {}
func (Note) effect()    {}
func (End) effect()     {}

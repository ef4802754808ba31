package health

import (
	"fmt"
	"sync/atomic"
	"time"
)

// limit is how long a loop may not turn before it counts as stuck. It is far above the
// longest wait between two turns, a minute, and machines may be slow.
const limit = 3 * time.Minute

// Pulse is that of a loop. It is for one that beats and many that look; on nil, nobody does.
type Pulse struct {
	what string
	// last is the time of the last beat, nil while the loop does not turn and need not. It
	// has the monotonic clock: the other one may be set.
	last atomic.Pointer[time.Time]
}

// NewPulse is the pulse of a loop that has yet to begin: with its first beat.
func NewPulse(what string) *Pulse { return &Pulse{what: what} }

// Beat says that the loop has turned.
func (p *Pulse) Beat() {
	if p == nil {
		return
	}
	now := time.Now()
	p.last.Store(&now)
}

// Rest says that the loop has ended as it should: what comes after has its own bounds.
func (p *Pulse) Rest() {
	if p != nil {
		p.last.Store(nil)
	}
}

// Check says whether the loop has stopped.
func (p *Pulse) Check() error {
	last := p.last.Load()
	if last == nil {
		return nil
	}
	if since := time.Since(*last); since > limit {
		return fmt.Errorf("%s has not turned for %v", p.what, since.Round(time.Second))
	}
	return nil
}

package coordinator

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrInterrupted says that the user ended the coordinator at once, or before there
// was a run to stop.
var ErrInterrupted = errors.New("interrupted")

var (
	// errInterruptedEarly ends a start. The run may be under way: a member trains on while its
	// coordinator is started again.
	errInterruptedEarly = fmt.Errorf("%w before this coordinator led the run", ErrInterrupted)
	// errHandedOver ends a coordinator, and lets its workers train on.
	errHandedOver = fmt.Errorf("%w: the workers train on, and join the coordinator that comes next", ErrInterrupted)
	// errInterrupted ends a run at the second Ctrl-C.
	errInterrupted = fmt.Errorf("%w twice: ended at once, without a checkpoint", ErrInterrupted)
)

// stoppedError is the end of a run that was interrupted before it had anything to save.
type stoppedError struct{ reason string }

// Error implements error.
func (e stoppedError) Error() string { return e.reason }

// Unwrap says what has ended it.
func (stoppedError) Unwrap() error { return ErrInterrupted }

// onInterrupt calls do at the next interrupt, unless the returned function is
// called before. Whoever else reads the channel waits for that function.
func onInterrupt(interrupts <-chan os.Signal, do func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-interrupts:
			do()
		case <-quit:
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

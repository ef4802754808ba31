package coordinator

import (
	"errors"
	"os"
	"sync"
)

var (
	// errInterruptedEarly ends a start.
	errInterruptedEarly = errors.New("interrupted before the run began; nothing was trained")
	// errInterrupted ends a run at the second Ctrl-C.
	errInterrupted = errors.New("interrupted twice: ended at once, without a checkpoint")
)

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

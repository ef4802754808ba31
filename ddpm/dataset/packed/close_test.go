package packed_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// Close ends a reader that others use: what they wait for fails, and nothing goes on behind
// it. The race detector sees to the rest.
func TestCloseWhileOthersRead(t *testing.T) {
	defer goleak.VerifyNone(t)
	shape := packed.Shape{Height: 28, Width: 28, Channels: 1}
	st, _ := local(t)
	write(t, st, shape, noise(500*shape.Bytes()))
	for range 200 {
		far := &distant{Store: st, gate: make(chan struct{})}
		r := open(t, far, packed.Options{})
		var others sync.WaitGroup
		others.Go(func() { r.Ahead([]int{1, 200, 400}) })
		others.Go(func() {
			if err := r.Example(200, make([]byte, shape.Bytes())); !errors.Is(err, context.Canceled) {
				t.Errorf("reading from afar says %v", err)
			}
		})
		_ = r.Close()
		others.Wait()
	}
}

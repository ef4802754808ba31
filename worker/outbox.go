package worker

import (
	"sync"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// outboxLimit bounds what waits for a coordinator that does not read: a backlog told
// at once, and as much again.
const outboxLimit = 2 * 2 * backlogLimit

// outbox keeps what is said to a coordinator until the stream takes it. A stream takes
// only some 100 KiB more than the other end has read, so that whoever spoke on it
// directly would wait for a coordinator that hangs.
type outbox struct {
	mu       sync.Mutex
	messages []*ddpmv1.WorkerMessage // the first of them may be on its way
	// filled is ready when messages is not empty any more.
	filled chan struct{}
}

func newOutbox() outbox { return outbox{filled: make(chan struct{}, 1)} }

// put adds a message. It is false when there are too many already.
func (o *outbox) put(m *ddpmv1.WorkerMessage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) >= outboxLimit {
		return false
	}
	o.messages = append(o.messages, m)
	select {
	case o.filled <- struct{}{}:
	default:
	}
	return true
}

// first is the message that has waited longest, nil where there is none. It stays
// until next.
func (o *outbox) first() *ddpmv1.WorkerMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) == 0 {
		return nil
	}
	return o.messages[0]
}

// next drops the first message, which was sent, and gives the one after it.
func (o *outbox) next() *ddpmv1.WorkerMessage {
	o.mu.Lock()
	o.messages[0] = nil
	o.messages = o.messages[1:]
	o.mu.Unlock()
	return o.first()
}

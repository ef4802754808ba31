package worker

import (
	"sync"

	"google.golang.org/protobuf/proto"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// backlogLimit bounds how many steps a worker can tell of later.
const backlogLimit = 1 << 14

// backlog is what the last steps were like. Every member keeps it, so that whoever
// is rank 0 can tell a coordinator what it has missed.
type backlog struct {
	mu    sync.Mutex
	steps []*ddpmv1.Progress // in order
}

// add keeps what a step was like, and calls tell, if it is not nil. What is added by
// then has been told, or is told by catchUp first.
func (b *backlog) add(p *ddpmv1.Progress, tell func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := len(b.steps); n > 0 && b.steps[n-1].GetStep() >= p.GetStep(); n-- {
		b.steps = b.steps[:n-1] // the run went back to a checkpoint
	}
	if len(b.steps) >= 2*backlogLimit {
		b.steps = append(b.steps[:0], b.steps[backlogLimit:]...)
	}
	b.steps = append(b.steps, p)
	if tell != nil {
		tell()
	}
}

// catchUp calls turn, after which add tells another coordinator, and tells that one, as
// of a generation, what is known of the steps after one. They come before any step that
// is complete meanwhile: a coordinator takes no step that is older than one it knows.
func (b *backlog) catchUp(turn func(), step, generation uint64, tell func(*ddpmv1.Progress)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	turn()
	for _, p := range b.steps {
		if p.GetStep() > step {
			told := proto.CloneOf(p)
			told.Generation = generation
			tell(told)
		}
	}
}

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

func (b *backlog) add(p *ddpmv1.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := len(b.steps); n > 0 && b.steps[n-1].GetStep() >= p.GetStep(); n-- {
		b.steps = b.steps[:n-1] // the run went back to a checkpoint
	}
	if len(b.steps) >= 2*backlogLimit {
		b.steps = append(b.steps[:0], b.steps[backlogLimit:]...)
	}
	b.steps = append(b.steps, p)
}

// after lists what is known of the steps after one, as told in a generation.
func (b *backlog) after(step, generation uint64) []*ddpmv1.Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*ddpmv1.Progress
	for _, p := range b.steps {
		if p.GetStep() > step {
			told := proto.CloneOf(p)
			told.Generation = generation
			out = append(out, told)
		}
	}
	return out
}

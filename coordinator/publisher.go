package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// publisher makes checkpoints of what the members saved, beside the loop: in the
// order of their steps, one at a time.
type publisher struct {
	keeper *keeper
	// outcomes holds the one that is there at most, so that nobody waits to tell.
	outcomes chan outcome
	// queue begins with the checkpoint that is under way.
	queue []publication
	work  sync.WaitGroup
	// retained is closed when the last look at old checkpoints is over, nil before the
	// first; due says that a checkpoint was published since it began.
	retained chan struct{}
	due      bool
}

// publication is a checkpoint with its parts by rank.
type publication struct {
	checkpoint core.Publish
	parts      []*ddpmv1.PartSaved
}

// outcome is how publishing a checkpoint went.
type outcome struct {
	checkpoint core.Publish
	began      time.Time
	took       time.Duration
	err        error
}

func newPublisher(k *keeper) *publisher {
	return &publisher{keeper: k, outcomes: make(chan outcome, 1)}
}

// add publishes a checkpoint when those before it are done. The end of ctx gives
// it up.
func (p *publisher) add(ctx context.Context, e core.Publish, parts []*ddpmv1.PartSaved) {
	p.queue = append(p.queue, publication{e, parts})
	if len(p.queue) == 1 {
		p.start(ctx)
	}
}

func (p *publisher) start(ctx context.Context) {
	next, before := p.queue[0], p.retained
	p.work.Go(func() {
		if before != nil {
			<-before // which ends with ctx
		}
		began := time.Now()
		err := p.keeper.publish(ctx, next.checkpoint, next.parts)
		p.outcomes <- outcome{next.checkpoint, began, time.Since(began), err}
	})
}

// took goes on with the next checkpoint; whoever took an outcome calls it. When none
// waits it deletes what the run does not keep, once for all that were published: for that
// the newest one is read, which may take longer than publishing does.
func (p *publisher) took(ctx context.Context, o outcome) {
	p.queue = p.queue[1:]
	p.due = p.due || o.err == nil
	switch {
	case len(p.queue) > 0:
		p.start(ctx)
	case p.due:
		done := make(chan struct{})
		p.retained, p.due = done, false
		p.work.Go(func() {
			defer close(done)
			p.keeper.retain(ctx)
		})
	}
}

// wait waits for old checkpoints to be deleted.
func (p *publisher) wait() { p.work.Wait() }

// busy says that an outcome is to come.
func (p *publisher) busy() bool { return len(p.queue) > 0 }

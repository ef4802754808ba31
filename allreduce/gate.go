package allreduce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errServerClosed is why a closed server's streams end.
var errServerClosed = errors.New("the ring server was closed")

// gate lets in the one stream that a worker expects in the generation that it is in, from
// its predecessor or, a gate each, from its partners. It refuses what is late or misplaced and holds what is
// early: a neighbour may hear of a new generation first.
type gate struct {
	// hold is how long an early stream is kept waiting.
	hold time.Duration
	// done is closed when the gate is.
	done      chan struct{}
	closeOnce sync.Once

	mu sync.Mutex
	// want is what the worker expects, or has expected last; nil at first.
	want *wanted
	// changed is closed and replaced when want is set.
	changed chan struct{}
}

// wanted is the stream that a member expects.
type wanted struct {
	member Member // who expects it
	from   Member // whom
	came   chan *inbound
	// over says that it came, or that nobody waits for it any more.
	over bool
	// replaced is closed when the worker is told of another generation.
	replaced chan struct{}
}

func newGate(hold time.Duration) *gate {
	return &gate{hold: hold, done: make(chan struct{}), changed: make(chan struct{})}
}

func (g *gate) close() { g.closeOnce.Do(func() { close(g.done) }) }

// accept announces that this worker is m and waits for its predecessor's stream.
func (g *gate) accept(ctx context.Context, m Member) (*inbound, error) {
	return g.acceptFrom(ctx, m, m.Predecessor())
}

// acceptFrom waits for the stream of from.
func (g *gate) acceptFrom(ctx context.Context, m, from Member) (*inbound, error) {
	w, err := g.announceFrom(m, from)
	if err != nil {
		return nil, err
	}
	select {
	case in := <-w.came:
		return in, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-w.replaced:
		err = fmt.Errorf("%w: another generation has begun", ErrFenced)
	case <-g.done:
		err = errServerClosed
	}
	g.mu.Lock()
	w.over = true
	g.mu.Unlock()
	select {
	case in := <-w.came: // it came in the same moment
		in.close(err)
	default:
	}
	return nil, err
}

// announce expects the predecessor.
func (g *gate) announce(m Member) (*wanted, error) { return g.announceFrom(m, m.Predecessor()) }

// announceFrom sets what the worker expects and wakes those who are held.
func (g *gate) announceFrom(m, from Member) (*wanted, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old := g.want; old != nil {
		if old.member.Run == m.Run && old.member.Generation >= m.Generation {
			return nil, fmt.Errorf("%w: generation %d is not newer than %d, which this worker was told of", ErrFenced, m.Generation, old.member.Generation)
		}
		close(old.replaced)
	}
	g.want = &wanted{member: m, from: from, came: make(chan *inbound, 1), replaced: make(chan struct{})}
	close(g.changed)
	g.changed = make(chan struct{})
	return g.want, nil
}

// admit waits until the worker takes in, the stream of from, and is nil then. Its
// error says why the stream is refused.
func (g *gate) admit(ctx context.Context, from Member, in *inbound) error {
	timer := time.NewTimer(g.hold)
	defer timer.Stop()
	for {
		early, changed, err := g.try(from, in)
		if early == nil {
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("%w, also %v later", early, g.hold)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.done:
			return errServerClosed
		}
	}
}

// try hands in to the worker if it is the stream that it expects. A stream that
// may be expected yet is early, and changed is closed when that may have changed.
func (g *gate) try(from Member, in *inbound) (early error, changed <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.want
	switch {
	case w == nil:
		return fmt.Errorf("%w: this worker is in no generation yet", ErrFenced), g.changed, nil
	case from.Run != w.member.Run:
		return nil, nil, fmt.Errorf("%w: a link of run %s to a worker of run %s", ErrFenced, from.Run, w.member.Run)
	case from.Generation > w.member.Generation:
		return fmt.Errorf("%w: a link of generation %d to a worker in generation %d", ErrFenced, from.Generation, w.member.Generation), g.changed, nil
	case from.Generation < w.member.Generation:
		return nil, nil, fmt.Errorf("%w: a link of generation %d to a worker in generation %d", ErrFenced, from.Generation, w.member.Generation)
	case from != w.from:
		return nil, nil, fmt.Errorf("%w: a link from rank %d of %d to rank %d of %d, which waits for rank %d",
			ErrFenced, from.Rank, from.World, w.member.Rank, w.member.World, w.from.Rank)
	case w.over:
		return nil, nil, fmt.Errorf("%w: rank %d already has, or no longer waits for, its link of generation %d", ErrFenced, w.member.Rank, from.Generation)
	}
	w.over = true
	in.to = w.member
	w.came <- in
	return nil, nil, nil
}

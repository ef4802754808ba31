package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// generation is the worker's part in one generation: a goroutine from the
// Assignment to the last checkpoint. Its methods are the serving goroutine's to
// call; those that say so may be called on nil, before the first Assignment.
type generation struct {
	life       *life
	assignment *ddpmv1.Assignment
	number     uint64
	rank, size int
	self       *ddpmv1.Member

	begin  chan struct{} // closed by start
	begun  bool
	result chan error // of the goroutine, when it has not been ended
	cancel func()
	group  sync.WaitGroup
	// failure is what the coordinator was told that the generation failed of, if
	// it did. Invariant: written by the goroutine, read after end.
	failure error
}

// errLeaves is what the neighbours of a generation that is given up hear.
var errLeaves = errors.New("the worker leaves")

// newGeneration checks an assignment: that it is this worker's, and complete.
func newGeneration(l *life, a *ddpmv1.Assignment) (*generation, error) {
	number, members, rank := a.GetGeneration().GetNumber(), a.GetGeneration().GetMembers(), int(a.GetRank())
	if rank >= len(members) || members[rank].GetWorkerId() != l.id {
		return nil, fmt.Errorf("generation %d does not have worker %s at rank %d; use the same version on both sides", number, l.id, rank)
	}
	if a.GetLastStep() <= a.GetGeneration().GetStartStep() {
		return nil, fmt.Errorf("generation %d trains from step %d to step %d, which is nothing; ask for more --steps", number, a.GetGeneration().GetStartStep(), a.GetLastStep())
	}
	return &generation{
		life: l, assignment: a, number: number, rank: rank, size: len(members), self: members[rank],
		begin: make(chan struct{}), result: make(chan error, 1),
	}, nil
}

// run starts the goroutine. It is ended by end.
func (g *generation) run(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	g.cancel = func() { cancel(errLeaves) }
	g.group.Go(func() { g.result <- g.live(ctx) })
}

// start lets the generation train, when it is the one of that number. nil is none.
func (g *generation) start(number uint64) bool {
	if g == nil || g.number != number || g.begun {
		return false
	}
	g.begun = true
	close(g.begin)
	return true
}

// training says that the members have begun. nil has not.
func (g *generation) training() bool { return g != nil && g.begun }

// ended gives the generation's result, once. nil never ends.
func (g *generation) ended() <-chan error {
	if g == nil {
		return nil
	}
	return g.result
}

// end gives the generation up, if it is not over, and waits for its goroutine.
func (g *generation) end() {
	g.cancel()
	g.group.Wait()
}

// live is the generation from its state and its links to its last checkpoint.
func (g *generation) live(ctx context.Context) error {
	ring, err := g.prepare(ctx)
	if err == nil {
		err = g.train(ctx, ring)
	}
	if err != nil && ctx.Err() == nil {
		// Before the neighbours can fail by it, so that they are not blamed.
		g.failure = err
		g.life.tell(err)
	}
	if ring != nil {
		// When all is well every member has what it needs of the others by now: the
		// last all-reduce is behind them.
		_ = ring.Close(err)
	}
	return err
}

// train waits for the others and trains to the last checkpoint.
func (g *generation) train(ctx context.Context, ring *allreduce.Ring) error {
	l := g.life
	l.position.set(g.number, l.run.state.Step)
	if err := l.session.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: g.number}}}); err != nil {
		return err
	}
	t := g.trainer(ring)
	t.readAhead(l.run.state.Step)
	select {
	case <-g.begin:
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	err := t.train(ctx)
	// What is left of an upload must not outlive a failed training.
	cancel()
	_ = t.saver.wait() // what it failed of is in err
	return err
}

// prepare loads the state while the links to the neighbours are made: one that is
// slow to load is already known to its neighbours then.
func (g *generation) prepare(ctx context.Context) (*allreduce.Ring, error) {
	var link allreduce.Link
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		link, err = g.connect(gctx)
		return err
	})
	group.Go(func() error {
		select {
		case <-g.life.opened:
			return g.load(gctx)
		case <-gctx.Done():
			return gctx.Err()
		}
	})
	if err := group.Wait(); err != nil {
		if link != nil {
			_ = link.Close(err) // the cause is what the neighbours have to know
		}
		return nil, err
	}
	return allreduce.NewRing(allreduce.Config{Member: g.member()}, link)
}

// load brings the run to the generation's start.
func (g *generation) load(ctx context.Context) error {
	first, shards, all := int(g.self.GetFirstShard()), int(g.self.GetShards()), g.life.run.spec.Shards()
	if first+shards > all {
		return fmt.Errorf("generation %d gives this worker shards %d to %d of %d; use the same version on both sides", g.number, first, first+shards-1, all)
	}
	return g.life.run.load(ctx, g.assignment.GetGeneration())
}

func (g *generation) member() allreduce.Member {
	return allreduce.Member{Run: g.life.tag, Generation: g.number, Rank: g.rank, World: g.size}
}

// connect links up with both neighbours.
func (g *generation) connect(ctx context.Context) (allreduce.Link, error) {
	patience := 2 * g.life.patience
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not linked up within %v", patience))
	defer cancel()
	next := g.assignment.GetGeneration().GetMembers()[(g.rank+1)%g.size]
	link, err := allreduce.Connect(ctx, g.life.ring.links, g.member(), next.GetRingAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("%w; see that the workers reach each other at the addresses that they advertise (--advertise)", err)
	}
	return link, nil
}

func (g *generation) trainer(ring *allreduce.Ring) *trainer {
	l := g.life
	return &trainer{
		run: l.run, ring: ring, log: l.log, send: l.session.send,
		position: &l.position, stop: &l.stop,
		generation: g.number, rank: g.rank,
		first: int(g.self.GetFirstShard()), shards: int(g.self.GetShards()),
		lastStep: g.assignment.GetLastStep(), every: g.assignment.GetCheckpointEvery(),
		saver: &saver{
			run: l.run, generation: g.number, rank: g.rank, size: g.size,
			log: l.log, send: l.session.send,
		},
	}
}

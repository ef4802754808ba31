package allreduce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reduction is one all-reduce of one rank, under way while its vector is still being
// made: what of Sum is final is released, from the end on, and travels. It belongs to
// one goroutine, which ends it by Complete or by Abandon.
type Reduction struct {
	ring   *Ring
	number uint64
	vector Vector
	// step is nil in a ring of one, and where the all-reduce could not begin. Of one, results
	// are there from element made on.
	step reducer
	made int
	// tell, where set, is called with -1 just before the end.
	tell func(from int)
	// done is closed when the all-reduce has ended, for the reason err.
	done chan struct{}
	err  error
}

// reducer is one all-reduce under way on one rank, by one way of doing it.
type reducer interface {
	// run does it, and sets the Vector's Tail at the end of it.
	run(ctx context.Context) error
	// release says that Sum is final from element lo on, releaseAll that all of it is and
	// Tail too. Neither waits.
	release(lo int)
	releaseAll()
	// behind is for how long it was under way before releaseAll.
	behind() time.Duration
}

// AllReduce sums v over all ranks: Out becomes Finish of the sums, Tail the sums
// themselves. Every rank calls it with the same step and gets the same bits.
//
// When it fails, or ctx ends before it is done, the ring is broken for good: all
// neighbours fail too, at once, and every further call returns the same error.
// The caller forms the next generation and brings the same Sum and Tail there.
// Calls must not overlap.
func (r *Ring) AllReduce(ctx context.Context, step uint64, v Vector) error {
	return r.Begin(ctx, step, v).Complete()
}

// Begin begins an all-reduce of which nothing is final yet. It waits for nothing, and
// an error is told by Complete. All that AllReduce says holds of the two together.
func (r *Ring) Begin(ctx context.Context, step uint64, v Vector) *Reduction {
	return r.beginTold(ctx, step, v, nil)
}

// beginTold does as Begin, and calls tell, if it is there, on another goroutine: with the
// element from which on results are final, and with -1 just before the end. It calls it no
// more when the reduction has ended, and not where it could not begin.
func (r *Ring) beginTold(ctx context.Context, step uint64, v Vector, tell func(from int)) *Reduction {
	a := &Reduction{ring: r, number: step, vector: v, made: len(v.Out), done: make(chan struct{})}
	if err := r.begin(); err != nil {
		a.err = fmt.Errorf("all-reduce of step %d: %w", step, err)
		close(a.done)
		return a
	}
	err := v.validate()
	if err == nil && v.Term != nil && r.Shared() {
		err = errors.New("vector with a term, for a ring that reduces through memory: bring its sum")
	}
	if err != nil {
		a.end(err)
		return a
	}
	if r.cfg.World > 1 {
		if h := r.borrow(); h != nil {
			a.step = newDirect(r, h, step, v)
		} else {
			s := newStep(r, step, v)
			s.tell, a.tell = tell, tell
			a.step = s
		}
		go func() { a.end(a.step.run(ctx)) }() // until Complete or Abandon, which wait for it
	}
	return a
}

// end is where the all-reduce ends. The ring breaks here, not when somebody asks.
func (a *Reduction) end(err error) {
	if err != nil {
		err = fmt.Errorf("all-reduce of step %d, %v: %w", a.number, a.ring.cfg.Member, err)
	}
	a.err = a.ring.end(err)
	if a.tell != nil {
		a.tell(-1)
	}
	close(a.done)
}

// Release says that Sum is final from element lo on, and that the caller does not
// touch Out there any more. It waits for no other rank. The first elements wait for
// Complete, with the tail.
func (a *Reduction) Release(lo int) {
	switch {
	case a.step != nil:
		a.step.release(lo)
	case a.err == nil && lo < a.made:
		a.vector.ownResults(lo, a.made) // what has just been made is still in the cache
		a.made = lo
	}
}

// Complete says that all of Sum is final, and Tail too, and waits for the end.
func (a *Reduction) Complete() error {
	switch {
	case a.step != nil:
		a.step.releaseAll()
	case a.err == nil:
		a.vector.ownResults(0, a.made)
		a.end(nil)
	}
	return a.wait()
}

// Abandon breaks the ring, if it is not broken yet, for a vector that will not be
// complete, and waits for the end. Sum and Tail are as they were.
func (a *Reduction) Abandon(cause error) {
	_ = a.ring.Close(cause) // the cause is what the neighbours have to know
	if a.step == nil && a.err == nil {
		a.end(cause)
	}
	_ = a.wait() // it failed of the cause, or was complete
}

func (a *Reduction) wait() error {
	<-a.done
	if a.step != nil {
		a.ring.giveBack()
	}
	return a.err
}

// Hidden is for how long buckets were on their way before Complete was called: what
// the caller did meanwhile cost no time. It is known when Complete has returned.
func (a *Reduction) Hidden() time.Duration {
	if a.step == nil {
		return 0
	}
	return a.step.behind()
}

// Laid is how many bytes this rank has given to the others through shared memory: none
// where the ring goes by messages.
func (a *Reduction) Laid() int {
	if d, ok := a.step.(*direct); ok {
		return d.bytes
	}
	return 0
}

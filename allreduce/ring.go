package allreduce

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Link is the two ends of a ring that one rank holds in one generation: one to its
// successor, one from its predecessor.
//
// One goroutine may send while another receives. Messages arrive whole, once, in
// the order sent, or not at all; after an error none arrives any more, and every
// further call fails.
type Link interface {
	// Send hands s to the successor. It may return before s arrives, and waits
	// while too much is under way. It owns s from here on, also when it fails.
	Send(ctx context.Context, s *Segment) error
	// Recv waits for the predecessor's next segment. The caller owns it.
	Recv(ctx context.Context) (*Segment, error)
	// Close ends the link. Without a cause, what was sent before is first given a
	// bounded time to arrive; it must not run beside Send or Recv. With a cause,
	// the link breaks: every wait on it ends at once, here and at both
	// neighbours. Only the first call has an effect.
	Close(cause error) error
	// Broken is closed when an end has broken: this rank need not wait until it
	// sends or receives to know.
	Broken() <-chan struct{}
	// Cause is why, once Broken is closed; nil where that is not known, or the link
	// was closed in peace.
	Cause() error
}

// The sizes that a Config may leave out.
const (
	DefaultSegmentElems = 1 << 15
	DefaultInFlight     = 4
)

// Bounds of what a message may carry.
const (
	MaxSegmentElems = 1 << 20
	MaxTailLanes    = 1 << 12
)

// Config is what a Ring is made of. All members of a ring have the same, the rank
// aside.
type Config struct {
	Member
	// SegmentElems is how many elements one message carries, 1 … MaxSegmentElems;
	// 0 means DefaultSegmentElems.
	SegmentElems int
	// InFlight is how many of its own segments a rank has on their first way round
	// the ring at once; 0 means DefaultInFlight. It bounds memory: see doc.go.
	InFlight int
}

// withDefaults fills in what is left out and refuses what can't be.
func (c Config) withDefaults() (Config, error) {
	if c.SegmentElems == 0 {
		c.SegmentElems = DefaultSegmentElems
	}
	if c.InFlight == 0 {
		c.InFlight = DefaultInFlight
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	if c.SegmentElems < 1 || c.SegmentElems > MaxSegmentElems {
		return c, fmt.Errorf("segments of %d elements: must be in 1 … %d", c.SegmentElems, MaxSegmentElems)
	}
	if c.InFlight < 1 {
		return c, fmt.Errorf("%d segments in flight: must be at least 1", c.InFlight)
	}
	return c, nil
}

// Vector is what one rank brings to an all-reduce and takes from it. Lengths are
// the same on every rank.
type Vector struct {
	// Sum is this rank's sum of its own shards, element by element. It is only
	// read: when the ring fails, nothing is lost.
	Sum []int64
	// Tail is a few more sums, such as the loss and the number of overflows, at
	// most MaxTailLanes. When AllReduce succeeds every rank has the sums over all
	// ranks here; when it fails its own are untouched. Additions wrap round.
	Tail []int64
	// Out becomes the result, as long as Sum. When AllReduce fails its contents
	// are undefined.
	Out []float32
	// Finish turns complete sums into results. It is called in pieces, by the rank
	// that owns those elements and perhaps by others, so it must treat each element
	// alone, and alike on every rank.
	Finish func(dst []float32, sum []int64)
}

func (v Vector) validate() error {
	if len(v.Out) != len(v.Sum) {
		return fmt.Errorf("vector of %d sums and %d results: must be the same length", len(v.Sum), len(v.Out))
	}
	if len(v.Tail) > MaxTailLanes {
		return fmt.Errorf("vector with a tail of %d lanes: at most %d", len(v.Tail), MaxTailLanes)
	}
	if v.Finish == nil {
		return errors.New("vector without a Finish function")
	}
	return nil
}

// Ring is one rank's part in all-reduces over one generation.
type Ring struct {
	cfg  Config
	link Link
	pool bufferPool
	// sums is room for one segment's complete sums.
	sums []int64

	mu     sync.Mutex
	busy   bool
	broken error
}

// ErrClosed is why a ring that was closed reduces no more.
var ErrClosed = errors.New("the ring was closed")

// NewRing makes a rank's ring over link, which it owns from here on, also when it
// refuses the config. A ring of one member needs no link.
func NewRing(cfg Config, link Link) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err == nil && link == nil && cfg.World > 1 {
		err = fmt.Errorf("%v has no link", cfg.Member)
	}
	if err != nil {
		err = fmt.Errorf("make a ring: %w", err)
		if link != nil {
			err = errors.Join(err, link.Close(err))
		}
		return nil, err
	}
	return &Ring{cfg: cfg, link: link}, nil
}

// Broken is closed when a neighbour has broken the ring, or this rank has closed
// it. A ring of one member never breaks.
func (r *Ring) Broken() <-chan struct{} {
	if r.link == nil {
		return nil
	}
	return r.link.Broken()
}

// Cause is why Broken is closed: ErrLost marks a successor whose connection failed.
func (r *Ring) Cause() error {
	if r.link == nil {
		return nil
	}
	return r.link.Cause()
}

// AllReduce sums v over all ranks: Out becomes Finish of the sums, Tail the sums
// themselves. Every rank calls it with the same step and gets the same bits.
//
// When it fails, or ctx ends before it is done, the ring is broken for good: all
// neighbours fail too, at once, and every further call returns the same error.
// The caller forms the next generation and brings the same Sum and Tail there.
// Calls must not overlap.
func (r *Ring) AllReduce(ctx context.Context, step uint64, v Vector) error {
	if err := r.begin(); err != nil {
		return fmt.Errorf("all-reduce of step %d: %w", step, err)
	}
	err := r.reduce(ctx, step, v)
	if err != nil {
		err = fmt.Errorf("all-reduce of step %d, %v: %w", step, r.cfg.Member, err)
	}
	return r.end(err)
}

func (r *Ring) reduce(ctx context.Context, step uint64, v Vector) error {
	if err := v.validate(); err != nil {
		return err
	}
	if r.cfg.World == 1 {
		v.Finish(v.Out, v.Sum)
		return nil
	}
	return newStep(r, step, v).run(ctx)
}

// begin marks the ring busy, unless it is broken.
func (r *Ring) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		panic("allreduce: AllReduce called while another one runs")
	}
	if r.broken != nil {
		return r.broken
	}
	r.busy = true
	return nil
}

// end marks the ring idle, and breaks it when err is not nil.
func (r *Ring) end(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	if err != nil {
		r.broken = err
		if r.link != nil {
			_ = r.link.Close(err) // the cause is what the caller has to know
		}
	}
	return err
}

// Close gives up the link. An all-reduce that is running fails at once. A rank
// closes its ring without a cause when all of its ranks have completed what they
// need it for; with one, that is what the neighbours fail of.
func (r *Ring) Close(cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy && cause == nil {
		cause = ErrClosed
	}
	if r.broken == nil {
		r.broken = ErrClosed
	}
	if r.link == nil {
		return nil
	}
	return r.link.Close(cause)
}

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

// The sizes that a Config may leave out. A segment is 127 blocks, so that its results
// and what goes before them just fit into 8 frames of HTTP/2, or 4 as bfloat16: grpc
// does not read a short last frame to where the others are (see framePool).
const (
	DefaultSegmentElems = 127 * blockLen
	DefaultInFlight     = 4
	// MaxBucketElems and minBucketElems bound DefaultBucketElems.
	MaxBucketElems = 1 << 20
	minBucketElems = 1 << 16
)

// DefaultBucketElems is the size of a bucket where a Config leaves it out: a twelfth of
// the vector, within bounds. What backward ends with, the last bucket, can't be hidden
// behind it, so a small vector has small buckets; each costs messages.
func DefaultBucketElems(elems int) int {
	return min(max(elems/12, minBucketElems), MaxBucketElems)
}

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
	// BucketElems is how many elements are released, and reduced, together; 0 means
	// DefaultBucketElems of the vector. No result depends on it.
	BucketElems int
	// HalvingElems is up to how many elements a bucket goes by recursive halving and
	// doubling between Partners, and not round the ring; 0: none does. No result depends
	// on it.
	HalvingElems int
	// Hosts are the machines of the ring's members; nil: all are on one. Share uses them.
	Hosts Hosts
	// Sums is where the vectors' sums lie; nil: anywhere. Where all members are on one host
	// they read it after Share, and what lies elsewhere is copied.
	Sums *Sums
	// Private keeps this rank's memory to itself: Share ends in ErrApart, for all ranks.
	Private bool
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
	if c.BucketElems < 0 {
		return c, fmt.Errorf("buckets of %d elements: must be at least 1, or 0 for the default", c.BucketElems)
	}
	if c.HalvingElems < 0 {
		return c, fmt.Errorf("halving up to %d elements: must be at least 0", c.HalvingElems)
	}
	if c.World == 1 {
		c.HalvingElems = 0
	}
	if len(c.Hosts) == 0 {
		c.Hosts = Hosts{c.World}
	}
	if err := c.Hosts.Validate(c.World); err != nil {
		return c, err
	}
	return c, nil
}

// Ring is one rank's part in all-reduces over one generation.
type Ring struct {
	cfg  Config
	link Link
	pool bufferPool
	// sums is room for one segment's complete sums.
	sums []int64
	// partners have a link each where buckets go by halving, and lane is the link between
	// hosts, nil where there is none; with either, mesh is all links.
	partners []Link
	lane     Link
	mesh     *mesh
	spare    spares

	mu     sync.Mutex
	busy   bool
	broken error
	// host is the memory that the members share, nil if they don't; borrowed says that
	// an all-reduce uses it.
	host     *host
	borrowed bool
}

// ErrClosed is why a ring that was closed reduces no more.
var ErrClosed = errors.New("the ring was closed")

// NewRing makes a rank's ring over link, which it owns from here on, also when it
// refuses the config. A ring of one member needs no link. It also owns the others: with
// HalvingElems those of the rank's Partners, in their order, and then, where the rank is in
// a lane between Hosts, the lane's.
func NewRing(cfg Config, link Link, others ...Link) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	var ranks []int
	if err == nil {
		ranks = cfg.others()
	}
	switch {
	case err != nil:
	case link == nil && cfg.World > 1:
		err = fmt.Errorf("%v has no link", cfg.Member)
	case len(others) != len(ranks):
		err = fmt.Errorf("%v has %d links beside the ring's, it takes %d", cfg.Member, len(others), len(ranks))
	}
	links := append([]Link{link}, others...)
	if err != nil {
		err = fmt.Errorf("make a ring: %w", err)
		return nil, errors.Join(err, closeAll(links, err))
	}
	r := &Ring{cfg: cfg, link: link, partners: others}
	if _, _, ok := cfg.Hosts.LaneNeighbours(cfg.Rank); ok {
		last := len(others) - 1
		r.partners, r.lane = others[:last], others[last]
	}
	if len(others) > 0 {
		r.mesh = newMesh(links, append([]int{cfg.Predecessor().Rank}, ranks...))
	}
	return r, nil
}

// others are the ranks to which this one has links beside the ring's.
func (c Config) others() []int {
	var ranks []int
	if c.HalvingElems > 0 {
		ranks = append(ranks, Partners(c.World, c.Rank)...)
	}
	if _, next, ok := c.Hosts.LaneNeighbours(c.Rank); ok {
		ranks = append(ranks, next)
	}
	return ranks
}

// Broken is closed when a neighbour has broken the ring, or this rank has closed
// it. A ring of one member never breaks.
func (r *Ring) Broken() <-chan struct{} {
	switch {
	case r.mesh != nil:
		return r.mesh.broken
	case r.link == nil:
		return nil
	}
	return r.link.Broken()
}

// Cause is why Broken is closed: ErrLost marks a successor whose connection failed, or
// with PartnerError a partner.
func (r *Ring) Cause() error {
	switch {
	case r.mesh != nil:
		return r.mesh.why()
	case r.link == nil:
		return nil
	}
	return r.link.Cause()
}

// closeLinks closes all that there are.
func (r *Ring) closeLinks(cause error) error {
	switch {
	case r.mesh != nil:
		return r.mesh.close(cause)
	case r.link == nil:
		return nil
	}
	return r.link.Close(cause)
}

// begin marks the ring busy, unless it is broken.
func (r *Ring) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		panic("allreduce: an all-reduce begins while another one runs")
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
		_ = r.closeLinks(err) // the cause is what the caller has to know
	}
	r.moveOut()
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
	r.moveOut()
	return r.closeLinks(cause)
}

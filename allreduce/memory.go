package allreduce

import (
	"context"
	"fmt"
	"sync"
)

// NewMemoryRing returns the links of a ring within one process, one a rank, for
// tests. It holds no segment in between: Send waits until the successor receives.
func NewMemoryRing(world int) []Link {
	edges := make([]*memoryEdge, world)
	for i := range edges {
		edges[i] = &memoryEdge{segments: make(chan *Segment), done: make(chan struct{})}
	}
	links := make([]Link, world)
	for rank := range links {
		links[rank] = &memoryLink{rank: rank, in: edges[(rank+world-1)%world], out: edges[rank]}
	}
	return links
}

// NewMemoryPartners returns the links of a ring's Partners, those of each rank in their
// order, as NewMemoryRing does those of the ring.
func NewMemoryPartners(world int) [][]Link {
	edges := map[[2]int]*memoryEdge{}
	edge := func(from, to int) *memoryEdge {
		e := edges[[2]int{from, to}]
		if e == nil {
			e = &memoryEdge{segments: make(chan *Segment), done: make(chan struct{})}
			edges[[2]int{from, to}] = e
		}
		return e
	}
	links := make([][]Link, world)
	for rank := range links {
		for _, partner := range Partners(world, rank) {
			links[rank] = append(links[rank], &memoryLink{rank: rank, in: edge(partner, rank), out: edge(rank, partner)})
		}
	}
	return links
}

// memoryEdge goes from one rank to the next.
type memoryEdge struct {
	segments chan *Segment
	once     sync.Once
	done     chan struct{} // closed when the edge is
	cause    error         // set before done is closed
}

func (e *memoryEdge) close(cause error) {
	e.once.Do(func() {
		e.cause = cause
		close(e.done)
	})
}

type memoryLink struct {
	rank    int
	in, out *memoryEdge
}

func (l *memoryLink) Send(ctx context.Context, s *Segment) error {
	select {
	case l.out.segments <- s:
		return nil
	case <-l.out.done:
		return l.broken(l.out.cause)
	case <-ctx.Done():
		return l.broken(context.Cause(ctx))
	}
}

func (l *memoryLink) Recv(ctx context.Context) (*Segment, error) {
	select {
	case s := <-l.in.segments:
		return s, nil
	case <-l.in.done:
		return nil, l.broken(l.in.cause)
	case <-ctx.Done():
		return nil, l.broken(context.Cause(ctx))
	}
}

func (l *memoryLink) Broken() <-chan struct{} { return l.in.done }

func (l *memoryLink) Cause() error {
	select {
	case <-l.in.done:
		return l.in.cause
	default:
		return nil
	}
}

// broken closes the link for cause, and returns it.
func (l *memoryLink) broken(cause error) error {
	_ = l.Close(cause)
	return cause
}

// Close breaks both edges at once: nothing is ever on its way.
func (l *memoryLink) Close(cause error) error {
	reason := fmt.Errorf("rank %d closed the link", l.rank)
	if cause != nil {
		// As over gRPC, the other side learns the text, not the error.
		reason = fmt.Errorf("rank %d broke the link: %s", l.rank, cause.Error())
	}
	l.in.close(reason)
	l.out.close(reason)
	return nil
}

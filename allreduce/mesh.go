package allreduce

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// PartnerError is what befell the link to a partner: see Partners.
type PartnerError struct {
	Rank int
	err  error
}

func partnerError(rank int, err error) error { return &PartnerError{rank, err} }

func (e *PartnerError) Error() string { return e.err.Error() }

// Unwrap gives what it is.
func (e *PartnerError) Unwrap() error { return e.err }

// ConnectPartners makes m's links to its Partners, in their order, as Connect makes that
// of the ring and beside it. dial says where a rank listens and how it is dialed.
func ConnectPartners(ctx context.Context, server *Server, m Member, dial func(rank int) (addr string, opts []grpc.DialOption)) ([]Link, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("connect %v: %w", m, err)
	}
	if m.World == 1 {
		return nil, nil
	}
	partners := Partners(m.World, m.Rank)
	links := make([]Link, len(partners))
	g, gctx := errgroup.WithContext(ctx)
	for i, rank := range partners {
		g.Go(func() error {
			partner := m
			partner.Rank = rank
			addr, opts := dial(rank)
			l, err := connect(gctx, server.partner(rank), call{from: m, to: partner, method: partnerMethod}, partner, addr, opts)
			if err != nil {
				return partnerError(rank, err)
			}
			links[i] = l
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("connect %v: %w", m, err), closeAll(links, err))
	}
	return links, nil
}

// closeAll closes links side by side: each may wait for its other end.
func closeAll(links []Link, cause error) error {
	errs := make([]error, len(links))
	var group sync.WaitGroup
	for i, l := range links {
		if l != nil {
			group.Go(func() { errs[i] = l.Close(cause) })
		}
	}
	group.Wait()
	return errors.Join(errs...)
}

// mesh makes the links of a rank one: when one breaks, all do.
type mesh struct {
	links []Link // the ring's, and those of partners
	// broken is closed when the first has broken, or all are closed; cause is why.
	broken chan struct{}
	group  sync.WaitGroup // watch

	mu    sync.Mutex
	over  bool
	cause error
}

func newMesh(links []Link, ranks []int) *mesh {
	m := &mesh{links: links, broken: make(chan struct{})}
	for i, l := range links {
		m.group.Go(func() { // until close, which waits for it
			<-l.Broken()
			cause := l.Cause()
			if cause == nil {
				cause = fmt.Errorf("the link with rank %d broke", ranks[i])
			}
			if i > 0 {
				cause = partnerError(ranks[i], cause)
			}
			if m.end(cause) {
				_ = closeAll(m.links, cause) // the cause is what the neighbours have to know
			}
		})
	}
	return m
}

// end is true once.
func (m *mesh) end(cause error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return false
	}
	m.over, m.cause = true, cause
	close(m.broken)
	return true
}

// why is why the mesh is broken.
func (m *mesh) why() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

func (m *mesh) close(cause error) error {
	m.end(cause)
	err := closeAll(m.links, cause)
	m.group.Wait()
	return err
}

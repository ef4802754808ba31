package worker

import (
	"context"
	"net"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
)

// links are what a member has to others in a generation: the ring's, nil in a ring of one,
// those of its partners, and the lane's and the group's, nil where it is in none.
type links struct {
	ring     allreduce.Link
	partners []allreduce.Link
	lane     allreduce.Link
	group    allreduce.Link
}

// links makes them, side by side.
func (g *generation) links(ctx context.Context, server *allreduce.Server, member allreduce.Member) (l links, err error) {
	dial := func(rank int) (string, []grpc.DialOption) {
		return g.others[rank].GetRingAddress(), []grpc.DialOption{g.credentials(g.others[rank])}
	}
	all, gctx := errgroup.WithContext(ctx)
	all.Go(func() (err error) {
		l.ring, err = allreduce.Connect(gctx, server, member, g.next.GetRingAddress(), g.credentials(g.next))
		return err
	})
	if g.halvingElems > 0 {
		all.Go(func() (err error) {
			l.partners, err = allreduce.ConnectPartners(gctx, server, member, dial)
			return err
		})
	}
	if _, next, ok := g.hosts.LaneNeighbours(g.rank); ok {
		all.Go(func() (err error) {
			addr, opts := dial(next)
			l.lane, err = allreduce.ConnectLane(gctx, server, member, g.hosts, addr, opts...)
			return err
		})
	}
	if seat := g.self.GetSeat(); seat != nil {
		all.Go(func() (err error) {
			addr, opts := dial(int(seat.GetNext()))
			if l.group, err = allreduce.ConnectGroup(gctx, server, g.groupMember(member), addr, opts...); err != nil {
				err = g.inGroup(err)
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		for _, link := range append(l.partners, l.lane, l.group, l.ring) {
			if link != nil {
				_ = link.Close(err) // the cause is what the others have to know
			}
		}
		return links{}, err
	}
	return l, nil
}

// nextIsNear says that the next member is at this one's host: what the way there takes says
// nothing of the network.
func (g *generation) nextIsNear() bool {
	host := func(address string) string {
		h, _, err := net.SplitHostPort(address)
		if err != nil {
			return ""
		}
		return h
	}
	own := host(g.self.GetRingAddress())
	return own != "" && own == host(g.next.GetRingAddress())
}

// meteredRing is the ring's link with a meter, which measures it unless the other end is
// near.
func (l links) meteredRing(m *meter, near bool) allreduce.Link {
	if l.ring == nil {
		return nil
	}
	if !near {
		m.connected(allreduce.RoundTrip(l.ring))
	}
	return metered{l.ring, m, !near}
}

// meteredOthers are the other links with a meter, in the order in which a ring takes them.
// That of a lane goes to another host, and is measured.
func (l links) meteredOthers(m *meter) []allreduce.Link {
	var others []allreduce.Link
	for _, p := range l.partners {
		others = append(others, metered{p, m, false})
	}
	if l.lane != nil {
		m.connected(allreduce.RoundTrip(l.lane))
		others = append(others, metered{l.lane, m, true})
	}
	return others
}

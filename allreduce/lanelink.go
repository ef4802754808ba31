package allreduce

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// ConnectLane makes m's link between hosts, as Connect makes that of the ring and beside
// it: to the next member of its lane, which listens at addr, and from the one before. It is
// nil for a member that is in no lane.
func ConnectLane(ctx context.Context, server *Server, m Member, hosts Hosts, addr string, opts ...grpc.DialOption) (Link, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("connect %v: %w", m, err)
	}
	if err := hosts.Validate(m.World); err != nil {
		return nil, fmt.Errorf("connect %v: %w", m, err)
	}
	before, next, ok := hosts.LaneNeighbours(m.Rank)
	if !ok {
		return nil, nil
	}
	from, to := m, m
	from.Rank, to.Rank = before, next
	l, err := connect(ctx, server.lane, call{from: m, to: to, method: laneMethod}, from, addr, opts)
	if err != nil {
		return nil, fmt.Errorf("connect %v: %w", m, partnerError(next, err))
	}
	return l, nil
}

package allreduce

import (
	"context"

	"google.golang.org/grpc"
)

// ConnectGroup makes the link of a ring within a group of a generation's members, as Connect
// makes that of the generation's ring and beside it. m's Rank and World are those in the
// group. A member is in one group of a generation at most.
func ConnectGroup(ctx context.Context, server *Server, m Member, addr string, opts ...grpc.DialOption) (Link, error) {
	return connectNext(ctx, server.group, m, groupMethod, addr, opts)
}

// Blame is an error of a ring within a group, whose successor has this rank in the
// generation: that rank is whom a PartnerError names.
func Blame(rank int, err error) error { return partnerError(rank, err) }

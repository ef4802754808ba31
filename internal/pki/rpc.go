package pki

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// PeerFrom gives the identity at the other end of a gRPC call's connection, which
// was verified when it was made.
func PeerFrom(ctx context.Context) (Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, errNoPeer
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Identity{}, errNoPeer
	}
	return PeerOf(info.State)
}

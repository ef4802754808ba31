package access

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// counts are what happened at the door.
type counts struct{ joined, renewed, refused, limited atomic.Uint64 }

// Counts is what has happened at the door since it opened.
type Counts struct {
	// Joined and Renewed are certificates given.
	Joined  uint64 `json:"joined"`
	Renewed uint64 `json:"renewed"`
	// Refused are handshakes, tokens, requests and calls that were not good, Limited
	// those that came too often.
	Refused uint64 `json:"refused"`
	Limited uint64 `json:"limited"`
}

// Counts gives the counters.
func (d *Door) Counts() Counts {
	return Counts{d.count.joined.Load(), d.count.renewed.Load(), d.count.refused.Load(), d.count.limited.Load()}
}

// may says whether a role may call a method, /package.Service/Method.
func may(role pki.Role, method string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case healthv1.Health_ServiceDesc.ServiceName, ddpmv1.Renewal_ServiceDesc.ServiceName:
		return true
	case ddpmv1.Coordinator_ServiceDesc.ServiceName, ddpmv1.Pool_ServiceDesc.ServiceName:
		return role == pki.Worker
	}
	return role == pki.Admin
}

// authorize refuses a call that the caller's role does not allow.
func (d *Door) authorize(ctx context.Context, method string) error {
	id, err := pki.PeerFrom(ctx)
	if err != nil {
		d.count.refused.Add(1)
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if !may(id.Role, method) {
		d.count.refused.Add(1)
		d.complain("refused a call", "from", id.String(), "method", method)
		return status.Errorf(codes.PermissionDenied, "%s is not for a %s", method, id.Role)
	}
	return nil
}

// tokenLimit bounds the look at a worker's token.
const tokenLimit = 2 * time.Second

// admitting are the calls by which a worker comes to work, or brings what it made: its token
// is looked at anew.
func admitting(method string) bool {
	switch method {
	case ddpmv1.Coordinator_Session_FullMethodName, ddpmv1.Pool_TakeTask_FullMethodName, ddpmv1.Pool_FinishTask_FullMethodName:
		return true
	}
	return false
}

// admissible refuses a worker whose token was revoked since it got its certificate. While the tokens can't be read the certificate alone counts: a worker
// that lost its session comes back also when etcd is away.
func (d *Door) admissible(ctx context.Context, method string) error {
	if !admitting(method) {
		return nil
	}
	id, err := pki.PeerFrom(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, tokenLimit)
	defer cancel()
	if err := d.standing(ctx, id); status.Code(err) == codes.PermissionDenied {
		return err
	}
	return nil
}

func (d *Door) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := d.authorize(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	if err := d.admissible(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, request)
}

func (d *Door) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := d.authorize(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	if err := d.admissible(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, stream)
}

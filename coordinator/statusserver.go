package coordinator

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// statusServer is the status by gRPC, where only administrators ask.
type statusServer struct {
	ddpmv1.UnimplementedStatusServer
	document *web.Document
	viewers  web.Viewers
}

// newStatusServer serves what there is to look at; over is closed when the coordinator
// has no more to say.
func newStatusServer(l looks, over <-chan struct{}) statusServer {
	return statusServer{document: web.NewDocument(l), viewers: web.NewViewers(over)}
}

// GetStatus implements ddpmv1.StatusServer.
func (s statusServer) GetStatus(_ context.Context, r *ddpmv1.GetStatusRequest) (*ddpmv1.GetStatusResponse, error) {
	document, err := s.now(r.GetPoints(), 0)
	if err != nil {
		return nil, err
	}
	return &ddpmv1.GetStatusResponse{Document: document}, nil
}

// WatchStatus implements ddpmv1.StatusServer.
func (s statusServer) WatchStatus(r *ddpmv1.WatchStatusRequest, stream grpc.ServerStreamingServer[ddpmv1.WatchStatusResponse]) error {
	err := s.viewers.Follow(stream.Context(), func(age time.Duration) error {
		document, err := s.now(r.GetPoints(), age)
		if err != nil {
			return err
		}
		return stream.Send(&ddpmv1.WatchStatusResponse{Document: document})
	})
	if errors.Is(err, web.ErrFull) {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return err
}

func (s statusServer) now(points uint32, age time.Duration) ([]byte, error) {
	if points > report.MaxPoints {
		return nil, status.Errorf(codes.InvalidArgument, "%d points: at most %d", points, report.MaxPoints)
	}
	document, err := s.document.Now(int(points), age)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "the status as JSON: %v", err)
	}
	return document, nil
}

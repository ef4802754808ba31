package allreduce

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	serviceName = "ddpm.v1.Ring"
	linkMethod  = "/" + serviceName + "/Link"
	// partnerMethod is the same between partners.
	partnerMethod = "/" + serviceName + "/Partner"
	// laneMethod is the same between hosts.
	laneMethod = "/" + serviceName + "/Lane"
	// groupMethod is the same within a group.
	groupMethod = "/" + serviceName + "/Group"
	// holdEarly is how long a link of a generation that this worker has not been
	// told of is held.
	holdEarly = 30 * time.Second
)

// Server receives the links of a worker's predecessors, one in each generation and, where
// it is in a lane, one between hosts, in a group one within that, and those of its partners.
// It belongs on a grpc.Server made with ServerOptions.
type Server struct {
	gate  *gate
	lane  *gate
	group *gate
	log   *slog.Logger

	mu sync.Mutex
	// partners are the gates of the ranks that have been partners, or wanted to be;
	// closed is for those to come.
	partners map[int]*gate
	closed   bool
}

// NewServer returns a server for one worker. Refused links are logged.
func NewServer(log *slog.Logger) *Server {
	return &Server{gate: newGate(holdEarly), lane: newGate(holdEarly), group: newGate(holdEarly), log: log, partners: map[int]*gate{}}
}

// partner is the gate of a rank.
func (s *Server) partner(rank int) *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.partners[rank]
	if g == nil {
		g = newGate(holdEarly)
		s.partners[rank] = g
		if s.closed {
			g.close()
		}
	}
	return g
}

// Register adds the service ddpm.v1.Ring. Its methods are streams both ways, from the
// predecessor, from a partner, and from the one before in a lane or in a group: that one
// sends its handshake and then segments; the worker answers with its own handshake once it
// has taken the link, and ends the stream.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	service := &grpc.ServiceDesc{ServiceName: serviceName, HandlerType: (*any)(nil)}
	for _, m := range []struct {
		name   string
		gateOf func(rank int) *gate
	}{
		{"Link", only(s.gate)}, {"Partner", s.partner}, {"Lane", only(s.lane)}, {"Group", only(s.group)},
	} {
		service.Streams = append(service.Streams, grpc.StreamDesc{
			StreamName:    m.name,
			Handler:       func(_ any, stream grpc.ServerStream) error { return s.serve(stream, m.gateOf) },
			ServerStreams: true,
			ClientStreams: true,
		})
	}
	r.RegisterService(service, s)
}

// only is the gate of all ranks.
func only(g *gate) func(rank int) *gate { return func(int) *gate { return g } }

// Close ends all links and refuses further ones. Call it before the grpc.Server's
// Stop.
func (s *Server) Close() {
	s.gate.close()
	s.lane.close()
	s.group.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, rank := range slices.Sorted(maps.Keys(s.partners)) {
		s.partners[rank].close()
	}
}

// serve is the life of one stream, which comes by the gate of its rank.
func (s *Server) serve(stream grpc.ServerStream, gateOf func(rank int) *gate) error {
	from, err := receiveHandshake(stream.RecvMsg)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	in := newInbound(stream, from)
	gate := gateOf(from.Rank)
	if err := gate.admit(stream.Context(), from, in); err != nil {
		s.log.Warn("ring link refused", "from", from.String(), "reason", err.Error())
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	// The stream is the link's now. It lasts as long as this function.
	if err := stream.SendMsg(message(appendHandshake(nil, in.to))); err != nil {
		in.close(fmt.Errorf("answer the handshake: %w", err))
	}
	select {
	case <-in.done:
	case <-stream.Context().Done():
		in.close(in.lost())
	case <-gate.done:
		in.close(errServerClosed)
	}
	if in.cause != nil {
		return status.Error(codes.Aborted, in.cause.Error())
	}
	return nil
}

// inbound is the predecessor's end of a link, or a partner's.
type inbound struct {
	from, to Member
	stream   grpc.ServerStream
	once     sync.Once
	done     chan struct{} // closed when the end is
	cause    error         // set before done is closed; nil when all is well
}

func newInbound(stream grpc.ServerStream, from Member) *inbound {
	return &inbound{from: from, stream: stream, done: make(chan struct{})}
}

// close ends the stream, and a wait in recv with it.
func (in *inbound) close(cause error) {
	in.once.Do(func() {
		in.cause = cause
		close(in.done)
	})
}

// recv waits for the next segment.
func (in *inbound) recv() (*Segment, error) {
	s := new(Segment)
	err := in.stream.RecvMsg(s)
	if err == nil {
		return s, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("rank %d closed the link", in.from.Rank)
	}
	select {
	case <-in.done:
		if in.cause == nil {
			return nil, ErrClosed
		}
		return nil, in.cause
	default:
	}
	if status.Code(err) == codes.Canceled {
		return nil, in.lost()
	}
	return nil, err
}

// lost is the error of a stream that its sender has ended, or whose connection
// has: grpc does not tell them apart.
func (in *inbound) lost() error {
	return fmt.Errorf("rank %d broke the link or is gone", in.from.Rank)
}

package membership

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

const (
	// hold is how long a worker that may become a member waits for this one to hear
	// of it: the coordinator tells one first.
	hold = 30 * time.Second
	// handshakeLimit bounds a TLS handshake.
	handshakeLimit = 5 * time.Second
	// maxStreams bounds the streams of one neighbour, maxHeaders their headers.
	maxStreams = 64
	maxHeaders = 16 << 10
)

// Member is a worker that the coordinator has let in. All methods may be called on
// nil, the worker without TLS.
type Member struct {
	source *pki.Source
	// hold is how long a caller waits to be a member.
	hold time.Duration

	mu sync.Mutex
	// peers are the names of the generation's members.
	peers map[string]bool
	// changed is closed and replaced when peers are.
	changed chan struct{}
}

func newMember(s *pki.Source) *Member {
	return &Member{source: s, hold: hold, changed: make(chan struct{})}
}

// Coordinator are the credentials for dialing the coordinator.
func (m *Member) Coordinator() credentials.TransportCredentials {
	if m == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(m.source.Client(pki.Coordinator, ""))
}

// Worker are the credentials for dialing the worker of a name, and nobody else.
func (m *Member) Worker(name string) credentials.TransportCredentials {
	if m == nil {
		return insecure.NewCredentials()
	}
	return allreduce.Gathered(credentials.NewTLS(m.source.Client(pki.Worker, name)))
}

// Admit says who the members of the worker's generation are: they may call.
func (m *Member) Admit(names []string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peers = make(map[string]bool, len(names))
	for _, n := range names {
		m.peers[n] = true
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Profiles is TLS for a port that administrators alone reach.
func (m *Member) Profiles(l net.Listener) net.Listener {
	if m == nil {
		return l
	}
	return tls.NewListener(l, m.source.Server(false, pki.Admin))
}

// ServerOptions make a server that the members of the generation reach.
func (m *Member) ServerOptions() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaders), grpc.ConnectionTimeout(handshakeLimit),
	}
	if m == nil {
		return options
	}
	return append(options,
		grpc.Creds(credentials.NewTLS(m.source.Server(false, pki.Worker))),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := m.check(ctx); err != nil {
				return nil, err
			}
			return next(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := m.check(stream.Context()); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	)
}

// check waits until the caller is a member of this worker's generation.
func (m *Member) check(ctx context.Context) error {
	id, err := pki.PeerFrom(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	timer := time.NewTimer(m.hold)
	defer timer.Stop()
	for {
		m.mu.Lock()
		member, changed := m.peers[id.Name], m.changed
		m.mu.Unlock()
		if member {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return status.Errorf(codes.PermissionDenied, "%s is no member of this worker's generation", id.Name)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

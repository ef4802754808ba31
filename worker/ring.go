package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"

	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// ringServer is where the worker's predecessor in the ring reaches it.
type ringServer struct {
	// address is HOST:PORT as the other workers dial it.
	address string
	links   *allreduce.Server
	server  *grpc.Server
	group   sync.WaitGroup
}

// listen opens the ring's server on any free port of the host. If advertise is set,
// the other workers are told that host instead; it may be one that only they know,
// such as an address that is translated on the way.
func listen(host, advertise string, peer ddpmv1.PeerServer, security []grpc.ServerOption, log *slog.Logger) (*ringServer, error) {
	if advertise != "" {
		host = advertise
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	var unknown *net.DNSError
	if advertise != "" && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.As(err, &unknown)) {
		l, err = net.Listen("tcp", ":0")
	}
	if err != nil {
		return nil, fmt.Errorf("open a port for the other workers: %w; give an address of this machine by --advertise", err)
	}
	r := &ringServer{
		address: net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)),
		links:   allreduce.NewServer(log),
		server:  grpc.NewServer(append(allreduce.ServerOptions(), security...)...),
	}
	r.links.Register(r.server)
	ddpmv1.RegisterPeerServer(r.server, peer)
	r.group.Go(func() {
		// It ends by close; a listener that breaks before shows as links that fail.
		if err := r.server.Serve(l); err != nil {
			log.Error("the ring's server ended", "error", err)
		}
	})
	return r, nil
}

func (r *ringServer) close() {
	r.links.Close()
	r.server.Stop()
	r.group.Wait()
}

package worker

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/ddpm-cluster/ddpm-cluster/internal/profiling"
	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
)

// serveProfiles serves profiles at an address, "" nowhere, until stop is called. Without
// TLS it must be a loopback address, as all of an insecure worker's are.
func serveProfiles(address string, member *membership.Member, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w; choose another port", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); member == nil && (!ok || !a.IP.IsLoopback()) {
		_ = l.Close() // nobody has been told of it
		return nil, fmt.Errorf("--pprof %s: with --insecure only an address of this machine, such as 127.0.0.1:6060", address)
	}
	log.Info("profiles, to administrators", "at", l.Addr().String())
	return profiling.Serve(member.Profiles(l)), nil
}

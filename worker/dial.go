package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
)

// keepaliveTime and keepaliveTimeout find a coordinator whose machine is gone, or
// that hangs: a connection on which nothing came for the first is asked for a sign
// of life within the second. Sooner a session finds that out where workers are few
// (office.silence); where they are many, what all of them ask is the coordinator's work, and
// members train on without one.
const (
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// dialer connects to the coordinator and remembers how it went.
type dialer struct {
	mu      sync.Mutex
	local   string // this end's host of the last connection made
	tried   bool   // an attempt has ended
	lastErr error  // of the last attempt, nil if it connected
	plain   bool   // without TLS
}

// dial connects to the coordinator at an address, trying again for patience if
// nobody answers. It returns this machine's host as the coordinator sees it.
func dial(ctx context.Context, address string, security credentials.TransportCredentials, patience time.Duration, log *slog.Logger) (*grpc.ClientConn, string, error) {
	d := &dialer{}
	conn, err := d.client(address, security)
	if err != nil {
		return nil, "", err
	}
	if err := d.await(ctx, conn, address, patience, log); err != nil {
		return nil, "", errors.Join(err, conn.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return conn, d.local, nil
}

// dialAny connects to the first coordinator that answers. Standbys answer only when
// they lead.
func dialAny(ctx context.Context, addresses []string, security credentials.TransportCredentials, patience time.Duration, log *slog.Logger) (conn *grpc.ClientConn, host, address string, err error) {
	if len(addresses) == 1 {
		conn, host, err = dial(ctx, addresses[0], security, patience, log)
		return conn, host, addresses[0], err
	}
	for until := time.Now().Add(membership.Limit(patience, true)); ; {
		var errs []error
		for _, address := range addresses {
			conn, host, err := dial(ctx, address, security, time.Second, slog.New(slog.DiscardHandler))
			if err == nil || errors.Is(err, errInterrupted) {
				return conn, host, address, err
			}
			errs = append(errs, err)
		}
		if time.Now().After(until) {
			return nil, "", "", errors.Join(errs...)
		}
	}
}

// redial makes one short attempt.
func redial(ctx context.Context, address string, security credentials.TransportCredentials, patience time.Duration) (*grpc.ClientConn, error) {
	d := &dialer{}
	conn, err := d.client(address, security)
	if err != nil {
		return nil, err
	}
	if err := d.awaitFor(ctx, conn, address, patience, slog.New(slog.DiscardHandler)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w (%w)", address, err, d.reason()), conn.Close())
	}
	return conn, nil
}

// client is a connection that is yet to be made.
func (d *dialer) client(address string, security credentials.TransportCredentials) (*grpc.ClientConn, error) {
	d.plain = security.Info().SecurityProtocol == insecure.NewCredentials().Info().SecurityProtocol
	// The passthrough resolver leaves names to the dialer, so that a name that is
	// not known yet is tried again too.
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(security),
		grpc.WithContextDialer(d.dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

func (d *dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried, d.lastErr = true, err
	if err == nil {
		d.local, _, err = net.SplitHostPort(c.LocalAddr().String())
	}
	return c, err
}

// await waits until the connection stands.
func (d *dialer) await(ctx context.Context, conn *grpc.ClientConn, address string, patience time.Duration, log *slog.Logger) error {
	err := d.awaitFor(ctx, conn, address, patience, log)
	if errors.Is(err, errNoAnswer) && d.taken() {
		more := membership.Limit(patience, true) - patience
		log.Info("waiting for the coordinator to answer", "address", address, "for", more, "reason", d.reason().Error())
		err = d.awaitFor(ctx, conn, address, more, log)
		patience += more
	}
	if errors.Is(err, errNoAnswer) {
		return fmt.Errorf("no coordinator answers at %s for %v (%w); check the address and that the coordinator runs, then start this worker again", address, patience, d.reason())
	}
	return err
}

var errNoAnswer = errors.New("no answer")

// awaitFor waits so long, and then gives errNoAnswer.
func (d *dialer) awaitFor(ctx context.Context, conn *grpc.ClientConn, address string, patience time.Duration, log *slog.Logger) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	told := false
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Idle:
			conn.Connect()
		case connectivity.TransientFailure:
			if !told {
				log.Info("waiting for the coordinator", "address", address, "for", patience)
				told = true
			}
		}
		if conn.WaitForStateChange(limited, state) {
			continue
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		return errNoAnswer
	}
}

// taken says that the last attempt made a connection.
func (d *dialer) taken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lastErr == nil && d.local != ""
}

// errUntried is a network, or a machine, that takes longer than there was patience.
var errUntried = errors.New("no attempt to connect has ended yet")

// What a connection that is taken and stays silent may come from. A coordinator with TLS hangs up
// on who comes without, and says no word.
var (
	errSilent      = errors.New("the connection is taken, but nobody speaks: the coordinator is still starting, or something else listens there")
	errSilentPlain = errors.New("the connection is taken, but nobody speaks: the coordinator is still starting, it wants TLS (then leave --insecure out, and give --token and --ca-hash), or something else listens there")
)

// nameless says that an attempt failed because the address' host has no name, as when
// whoever runs the cluster has taken it down.
func nameless(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// reason is how the last attempt went.
func (d *dialer) reason() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.tried:
		return errUntried
	case d.lastErr != nil:
		return d.lastErr
	case d.plain:
		return errSilentPlain
	}
	return errSilent
}

package allreduce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

const (
	// silentTries attempts to connect, silentWait apart, without any answer from the
	// kernel at the other end say that it can't be reached. However busy a machine
	// is, or what its processes do, its kernel answers, if only by a refusal.
	silentTries = 4
	silentWait  = 200 * time.Millisecond
)

// patientDialer dials for one link. Where nothing answers it gives up the link by
// silent, with ErrUnreachable.
type patientDialer struct {
	silent context.CancelCauseFunc
	// took, where set, becomes the round trip of the last connection.
	took *atomic.Int64
}

// Reach dials for a connection that nobody waits for longer than for a ring's.
func Reach() grpc.DialOption {
	return grpc.WithContextDialer(patientDialer{silent: func(error) {}}.dial)
}

// dialed is how an attempt went.
type dialed struct {
	conn net.Conn
	err  error
}

// dial makes the next attempt beside those before: a packet that was lost is told
// from silence sooner than the kernel sends it again. The attempts are counted, not
// timed, so that a process that stood still blames nobody for that.
func (p patientDialer) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	results := make(chan dialed)
	for range silentTries {
		group.Go(func() {
			began := time.Now()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err == nil && p.took != nil {
				p.took.Store(int64(roundTrip(conn, time.Since(began))))
			}
			if errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
				return // it is this machine that says so, or one on the way
			}
			select {
			case results <- dialed{conn, err}:
			case <-ctx.Done():
				if conn != nil {
					_ = conn.Close() // another one was first
				}
			}
		})
		select {
		case d := <-results:
			return d.conn, d.err
		case <-time.After(silentWait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	err := fmt.Errorf("%w: nothing answers at %s for %v", ErrUnreachable, addr, silentTries*silentWait)
	p.silent(err)
	return nil, err
}

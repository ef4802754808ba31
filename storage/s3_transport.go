package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// stallLimit is how long a server may neither take nor give a byte. A slow server
// is waited for; one that hangs is not.
const stallLimit = 2 * time.Minute

// newTransport is minio-go's own, on connections that break when they stall.
func newTransport(secure bool, stall time.Duration) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &movingConn{Conn: c, stall: stall}, nil
	}
	return t, nil
}

// movingConn is a connection whose deadlines move on with every byte either way: a
// request's answer is awaited while the request is still being sent. Once it has
// stalled, all its errors say so: the transport closes it when the first of its two
// directions fails, and the other would only report a closed connection.
type movingConn struct {
	net.Conn
	stall   time.Duration
	stalled atomic.Bool
}

func (c *movingConn) Read(p []byte) (int, error) {
	if err := c.move(); err != nil {
		return 0, c.explain(err)
	}
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

func (c *movingConn) Write(p []byte) (int, error) {
	if err := c.move(); err != nil {
		return 0, c.explain(err)
	}
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}

func (c *movingConn) move() error { return c.SetDeadline(time.Now().Add(c.stall)) }

func (c *movingConn) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.stalled.Store(true)
		return err
	case c.stalled.Load():
		return fmt.Errorf("%s took and gave nothing for %v: %w", c.RemoteAddr(), c.stall, os.ErrDeadlineExceeded)
	}
	return err
}

package storage

import (
	"context"
	"net"
	"net/http"
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
// request's answer is awaited while the request is still being sent.
type movingConn struct {
	net.Conn
	stall time.Duration
}

func (c *movingConn) Read(p []byte) (int, error) {
	if err := c.move(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *movingConn) Write(p []byte) (int, error) {
	if err := c.move(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *movingConn) move() error { return c.SetDeadline(time.Now().Add(c.stall)) }

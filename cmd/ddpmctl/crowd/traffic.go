package crowd

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
)

// Traffic counts the bytes of all connections, TLS included, TCP's own headers not.
type Traffic struct{ In, Out atomic.Int64 }

// counted is a connection whose bytes count.
type counted struct {
	net.Conn
	traffic *Traffic
}

// Read implements net.Conn.
func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.traffic.In.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.traffic.Out.Add(int64(n))
	return n, err
}

// hostSize is how many workers share a loopback address.
const hostSize = 20

// dialer connects as from the machine of a worker.
func (t *Traffic) dialer(number int) func(context.Context, string) (net.Conn, error) {
	host := number / hostSize
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(host/250), byte(1+host%250))}
	return func(ctx context.Context, address string) (net.Conn, error) {
		c, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		return counted{c, t}, nil
	}
}

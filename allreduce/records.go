package allreduce

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// gatherBytes is how many bytes of records leave at once, at most: some packets of the
// largest size that a kernel gives its network (64 KiB), and no more than stays in a
// processor's cache.
const gatherBytes = 128 << 10

// Gathered returns credentials like c, of TLS, whose calls hand the kernel what grpc writes
// at once in few pieces. By itself crypto/tls hands it every record, of 16 KiB (RFC 8446,
// section 5.1), by a system call of its own, and each then crosses the network's code alone.
func Gathered(c credentials.TransportCredentials) credentials.TransportCredentials {
	return gatheredCredentials{c}
}

type gatheredCredentials struct {
	credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (c gatheredCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	records := &recordConn{Conn: raw}
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, records)
	if err != nil {
		return nil, nil, err
	}
	return &gatheredConn{conn, records}, info, nil
}

// Clone implements credentials.TransportCredentials.
func (c gatheredCredentials) Clone() credentials.TransportCredentials {
	return gatheredCredentials{c.TransportCredentials.Clone()}
}

// gatheredConn is a connection above TLS.
type gatheredConn struct {
	net.Conn
	records *recordConn
}

// Write returns when the kernel has all of b. As with any connection, it is called by one
// goroutine at a time.
func (c *gatheredConn) Write(b []byte) (int, error) {
	c.records.begin()
	n, err := c.Conn.Write(b)
	if lost := c.records.end(); lost != nil {
		return 0, lost
	}
	return n, err
}

// recordConn is the same connection below TLS, which writes a record at a time: of its own
// accord too, an alert say, and then it leaves at once.
type recordConn struct {
	net.Conn

	mu        sync.Mutex
	gathering bool
	buf       []byte
}

// begin has records gathered, until end.
func (c *recordConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering = true
	if c.buf == nil {
		c.buf = make([]byte, 0, gatherBytes)
	}
}

// end sends what there is.
func (c *recordConn) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering = false
	return c.send()
}

// Write takes a record.
func (c *recordConn) Write(record []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gathering {
		return c.Conn.Write(record)
	}
	if len(c.buf)+len(record) > cap(c.buf) {
		if err := c.send(); err != nil {
			return 0, err
		}
	}
	c.buf = append(c.buf, record...)
	return len(record), nil
}

func (c *recordConn) send() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

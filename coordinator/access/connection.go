package access

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// connection is one whose handshake is made.
type connection struct {
	*tls.Conn
	once    sync.Once
	release func() // nil: nothing to give back
}

// Close implements net.Conn.
func (c *connection) Close() error {
	if c.release != nil {
		c.once.Do(c.release)
	}
	return c.Conn.Close()
}

// shaken are transport credentials for connections of a guard.
type shaken struct{}

var errUnguarded = errors.New("access: a connection that did not come by the door")

// ServerHandshake implements credentials.TransportCredentials.
func (shaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t, ok := c.(*connection)
	if !ok {
		return nil, nil, errUnguarded
	}
	info := credentials.TLSInfo{State: t.ConnectionState()}
	info.SecurityLevel = credentials.PrivacyAndIntegrity
	return t, info, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (shaken) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errUnguarded
}

// Info implements credentials.TransportCredentials.
func (shaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (s shaken) Clone() credentials.TransportCredentials { return s }

// OverrideServerName implements credentials.TransportCredentials.
func (shaken) OverrideServerName(string) error { return nil }

package allreduce

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/credentials"
)

// countedConn counts what is written, and fails when it is to.
type countedConn struct {
	net.Conn
	writes atomic.Int64
	broken atomic.Bool
}

var errCounted = errors.New("a test broke it")

func (c *countedConn) Write(b []byte) (int, error) {
	if c.broken.Load() {
		return 0, errCounted
	}
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// gatheredPair is a connection by Gathered, what lies below it, and the server's end.
func gatheredPair(t *testing.T) (client net.Conn, raw *countedConn, server net.Conn) {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	t.Cleanup(certified.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw = &countedConn{Conn: dialed}
	server = tls.Server(accepted, &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}})
	shaken := make(chan error, 1)
	go func() { shaken <- server.(*tls.Conn).HandshakeContext(t.Context()) }()
	c := Gathered(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com"})).Clone()
	client, _, err = c.ClientHandshake(t.Context(), "example.com", raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(); _ = client.Close() })
	return client, raw, server
}

// What is written at once arrives as it is and leaves in few pieces, nothing is kept back,
// and the end is told.
func TestGatheredRecords(t *testing.T) {
	client, raw, server := gatheredPair(t)
	for _, n := range []int{1, 9, 16 << 10, 16<<10 + 1, 64 << 10, gatherBytes, 1 << 20} {
		sent := bytes.Repeat([]byte{byte(n), byte(n >> 8), 3, 5, 7}, n/5+1)[:n]
		before := raw.writes.Load()
		done := make(chan error, 1)
		go func() {
			got, err := client.Write(sent)
			if err == nil && got != n {
				err = io.ErrShortWrite
			}
			done <- err
		}()
		got := make([]byte, n)
		if _, err := io.ReadFull(server, got); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes arrive as others", n)
		}
		// A first few records are small, whatever is written.
		if writes, most := raw.writes.Load()-before, int64(n/(gatherBytes/2)+2); writes > most {
			t.Errorf("%d bytes left in %d pieces, want %d at most", n, writes, most)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the end is read as %v, want the alert that ends a connection in peace", err)
	}
}

// A connection that fails says so, and what could not be sent is not sent later.
func TestGatheredRecordsFail(t *testing.T) {
	client, raw, _ := gatheredPair(t)
	raw.broken.Store(true)
	for _, n := range []int{100, 1 << 20} {
		if got, err := client.Write(make([]byte, n)); !errors.Is(err, errCounted) || got == n {
			t.Errorf("%d bytes on a broken connection: %d written, %v", n, got, err)
		}
	}
}

// Who does not speak TLS is refused as before.
func TestGatheredHandshakeFails(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		_, _ = there.Read(make([]byte, 4096)) // all of the first message
		_, _ = there.Write([]byte("no TLS at all"))
		_ = there.Close()
	}()
	defer here.Close()
	c := Gathered(credentials.NewTLS(&tls.Config{ServerName: "example.com"}))
	if _, _, err := c.ClientHandshake(context.Background(), "example.com", here); err == nil {
		t.Error("a handshake with no server")
	}
	if got := c.Info().SecurityProtocol; got != "tls" {
		t.Errorf("the protocol is %q", got)
	}
}

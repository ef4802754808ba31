package access

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// handshakeLimit bounds a TLS handshake, handshakes how many there are at once. Who
	// comes when there is no place is cut off, and tries again: in the listener's queue it
	// would stand behind those who say nothing.
	handshakeLimit = 5 * time.Second
	handshakes     = 128
	// strangers is how many connections without a certificate stand at once.
	strangers = 256
)

// Config is what a Door needs.
type Config struct {
	CA *pki.CA
	// Self is the coordinator's own credential.
	Self *pki.Source
	// Tokens are the cluster's.
	Tokens Tokens
	// Life is how long a worker's certificate is valid; 0 is WorkerLife.
	Life time.Duration
	// Look is how often the default token is looked at; 0 is a quarter of an hour.
	Look time.Duration
	Log  *slog.Logger
}

// WorkerLife is how long a worker's certificate is valid.
const WorkerLife = 24 * time.Hour

// Door lets members in to the coordinator's services.
type Door struct {
	config Config
	tls    *tls.Config
	joins  *limiter
	local  token.Token
	count  counts
	// complaints bound what is logged of those who are not let in.
	complaints *rate.Limiter
}

// New makes a door.
func New(c Config) *Door {
	if c.Life == 0 {
		c.Life = WorkerLife
	}
	if c.Look == 0 {
		c.Look = lookEvery
	}
	config := c.Self.Server(true, pki.Worker, pki.Admin)
	config.NextProtos = []string{"h2"}
	return &Door{
		config: c, tls: config, joins: newLimiter(), local: token.NewFor(localID),
		complaints: rate.NewLimiter(1, 10),
	}
}

// Options make a grpc.Server that serves the members who come by Guard, each what
// its role allows.
func (d *Door) Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(shaken{}), grpc.ChainUnaryInterceptor(d.unary), grpc.ChainStreamInterceptor(d.stream),
		grpc.MaxHeaderListSize(maxHeaders), grpc.ConnectionTimeout(handshakeLimit),
	}
}

// Register adds the door's own services for members.
func (d *Door) Register(g grpc.ServiceRegistrar) {
	ddpmv1.RegisterRenewalServer(g, renewal{d: d})
	ddpmv1.RegisterTokensServer(g, tokensServer{d: d})
	healthv1.RegisterHealthServer(g, health.NewServer())
}

// Guard gives the connections of members. Strangers are served beside it, until the
// guarded listener is closed.
func (d *Door) Guard(l net.Listener) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	g := &guard{
		Listener: l, door: d, ctx: ctx, cancel: cancel,
		members: make(chan net.Conn), unknown: make(chan net.Conn),
		slots: newShares(handshakes), places: newShares(strangers),
	}
	g.strangers = d.strangersServer()
	g.all.Go(func() { _ = g.strangers.Serve(queue{g, g.unknown}) }) // it ends by Close
	g.all.Go(g.accept)
	return g
}

// guard is a listener whose connections have shown a certificate.
type guard struct {
	net.Listener
	door             *Door
	ctx              context.Context // the listener's life
	cancel           context.CancelFunc
	members, unknown chan net.Conn
	slots, places    *shares
	strangers        *grpc.Server
	all              sync.WaitGroup
	once             sync.Once
	broken           error // why accept ended; written before cancel
}

// queue is the strangers' listener.
type queue struct {
	*guard
	conns <-chan net.Conn
}

// Accept implements net.Listener.
func (g *guard) Accept() (net.Conn, error) { return g.next(g.members) }

// Accept implements net.Listener.
func (q queue) Accept() (net.Conn, error) { return q.next(q.conns) }

// Close implements net.Listener. The guard closes the one below.
func (q queue) Close() error { return nil }

func (g *guard) next(conns <-chan net.Conn) (net.Conn, error) {
	select {
	case c := <-conns:
		return c, nil
	case <-g.ctx.Done():
		if g.broken != nil {
			return nil, g.broken
		}
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: it ends the strangers' server too.
func (g *guard) Close() (err error) {
	g.once.Do(func() {
		g.cancel()
		err = g.Listener.Close()
		g.strangers.Stop()
		g.all.Wait()
	})
	return err
}

// accept takes connections until the listener is closed.
func (g *guard) accept() {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			if passing(err) && g.pause() {
				continue
			}
			if g.ctx.Err() == nil {
				g.broken = err
				g.cancel()
			}
			return
		}
		ctx, cancel := context.WithTimeout(g.ctx, handshakeLimit)
		leave := g.slots.take(c.RemoteAddr(), cancel)
		if leave == nil {
			cancel()
			g.full(c)
			continue
		}
		g.all.Go(func() {
			defer cancel()
			defer leave()
			g.receive(ctx, c)
		})
	}
}

// full cuts off somebody whose host has its share.
func (g *guard) full(c net.Conn) {
	g.door.count.limited.Add(1)
	_ = c.Close()
}

// passing says that accepting may go well later.
func passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ENOBUFS)
}

func (g *guard) pause() bool {
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-g.ctx.Done():
		return false
	}
}

// receive makes the handshake and sends the connection where it belongs.
func (g *guard) receive(ctx context.Context, c net.Conn) {
	t := tls.Server(c, g.door.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		g.door.refusedHandshake(c, err)
		return
	}
	to := g.members
	conn := &connection{Conn: t}
	if len(t.ConnectionState().PeerCertificates) == 0 {
		to = g.unknown
		if conn.release = g.places.take(c.RemoteAddr(), func() { _ = c.Close() }); conn.release == nil {
			g.full(c)
			return
		}
	}
	select {
	case to <- conn:
	case <-g.ctx.Done():
		_ = conn.Close()
	}
}

// refusedHandshake tells of a certificate that is not good; that somebody looked
// whether the port is open is no news.
func (d *Door) refusedHandshake(c net.Conn, err error) {
	d.count.refused.Add(1)
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, context.Canceled) {
		d.complain("refused a connection", "from", c.RemoteAddr(), "reason", err.Error())
	}
}

func (d *Door) complain(message string, args ...any) {
	if d.complaints.Allow() {
		d.config.Log.Warn(message, args...)
	}
}

package allreduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// firstRetry and lastRetry bound the wait between two attempts to reach a
	// neighbour that isn't there yet.
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
	// linger is how long a link that is closed in peace waits for the successor to
	// take what is on its way.
	linger = 2 * time.Second
)

var (
	// ErrUnreachable marks a link to a successor at whose address no ring server
	// answers. One that answers, and takes no link of this generation in time, is
	// reached.
	ErrUnreachable = errors.New("no answer")
	// ErrLost marks a link whose connection to the successor failed: nobody
	// acknowledges what is sent, or the successor's process is gone.
	ErrLost = errors.New("connection lost")
	// errPeace is the end of an outbound stream whose successor has all that it needs.
	errPeace = errors.New("it closed the link")
)

// notReached is the error of an attempt that found no ring server.
type notReached struct{ error }

// Unwrap gives what the attempt failed of.
func (e notReached) Unwrap() error { return e.error }

// Connect makes m's link: it dials the successor at addr, HOST:PORT, while server
// waits for the predecessor. Dialing goes on until ctx ends, since neighbours
// start when they start. opts must bring transport credentials, those of TLS best as
// Gathered. A ring of one member has no link: it is nil then.
func Connect(ctx context.Context, server *Server, m Member, addr string, opts ...grpc.DialOption) (Link, error) {
	return connectNext(ctx, server.gate, m, linkMethod, addr, opts)
}

// connectNext links a member up with its neighbours, by a method and a gate.
func connectNext(ctx context.Context, gate *gate, m Member, method, addr string, opts []grpc.DialOption) (Link, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("connect %v: %w", m, err)
	}
	if m.World == 1 {
		return nil, nil
	}
	c := ringCall(m)
	c.method = method
	l, err := connect(ctx, gate, c, m.Predecessor(), addr, opts)
	if err != nil {
		return nil, fmt.Errorf("connect %v: %w", m, err)
	}
	return l, nil
}

// call is whom a member calls, and by which method.
type call struct {
	from, to Member
	method   string
}

// ringCall is a member's to its successor.
func ringCall(m Member) call { return call{m, m.Successor(), linkMethod} }

// connect makes the link of a call and of the one that comes by a gate.
func connect(ctx context.Context, gate *gate, c call, from Member, addr string, opts []grpc.DialOption) (*grpcLink, error) {
	l := &grpcLink{linger: linger}
	var dialed, accepted error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		l.out, dialed = c.dial(gctx, addr, opts)
		return dialed
	})
	g.Go(func() error {
		if l.in, accepted = gate.acceptFrom(gctx, c.from, from); accepted != nil {
			accepted = fmt.Errorf("wait for the link from rank %d: %w", from.Rank, accepted)
		}
		return accepted
	})
	err := g.Wait()
	if err == nil {
		l.watch()
		return l, nil
	}
	if ctx.Err() != nil && dialed != nil && accepted != nil {
		err = fmt.Errorf("%w; %w", dialed, accepted) // each says how far it came
	}
	if l.in != nil {
		l.in.close(err)
	}
	if l.out != nil {
		l.out.abort(err)
	}
	return nil, err
}

// outbound is the successor's end of a link, or a partner's.
type outbound struct {
	to     Member
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	cancel context.CancelCauseFunc
	// ended is closed when the stream has ended, for the reason err: errPeace where
	// the successor has all that it needs.
	ended chan struct{}
	err   error
	// roundTrip is the connection's, when it was new.
	roundTrip time.Duration
}

// dial opens the stream and waits until it is taken.
func (c call) dial(ctx context.Context, addr string, opts []grpc.DialOption) (*outbound, error) {
	fail := func(err error) (*outbound, error) {
		return nil, fmt.Errorf("link to rank %d at %s: %w", c.to.Rank, addr, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var took atomic.Int64
	patient := patientDialer{silent: cancel, took: &took}
	conn, err := grpc.NewClient(addr, append(append(DialOptions(), grpc.WithContextDialer(patient.dial)), opts...)...)
	if err != nil {
		return fail(err)
	}
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		out, err := c.open(ctx, conn)
		if err == nil {
			out.roundTrip = time.Duration(took.Load())
			return out, nil
		}
		var away notReached
		if errors.As(err, &away) {
			err = away.error
		}
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			_ = conn.Close()
			err = plain(ctx, err)
			if away.error != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return fail(err)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
	}
}

// open makes one attempt.
func (c call) open(ctx context.Context, conn *grpc.ClientConn) (*outbound, error) {
	// The stream outlives ctx, but ctx ends the attempt.
	sctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	out, err := c.handshake(sctx, conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	out.cancel = cancel
	go out.watch() // until abort, which waits for it
	return out, nil
}

// watch waits for the stream's end. The successor says nothing before.
func (o *outbound) watch() {
	defer close(o.ended)
	err := o.stream.RecvMsg(new(Segment))
	switch {
	case err == nil:
		o.err = fmt.Errorf("%w ring message: a segment against the ring's direction", ErrMalformed)
	case errors.Is(err, io.EOF):
		o.err = errPeace
	case status.Code(err) == codes.Aborted:
		o.err = fmt.Errorf("it broke the link: %s", status.Convert(err).Message())
	case status.Code(err) == codes.Unavailable:
		o.err = fmt.Errorf("%w: %s", ErrLost, status.Convert(err).Message())
	default:
		o.err = err
	}
}

// handshake opens a stream, says who is there and checks who answers.
func (c call) handshake(ctx context.Context, conn *grpc.ClientConn) (*outbound, error) {
	desc := &grpc.StreamDesc{StreamName: "Link", ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, desc, c.method, grpc.WaitForReady(true))
	if err != nil {
		return nil, notReached{err}
	}
	// An error of SendMsg is told by receiving.
	if err := stream.SendMsg(message(appendHandshake(nil, c.from))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	peer, err := receiveHandshake(stream.RecvMsg)
	if err != nil {
		return nil, err
	}
	if peer != c.to {
		return nil, fmt.Errorf("%w: %v answers, want %v", ErrFenced, peer, c.to)
	}
	return &outbound{to: c.to, conn: conn, stream: stream, ended: make(chan struct{})}, nil
}

// RoundTrip is how long the way there and back took when a link's kernels connected; 0
// where that is not known.
func RoundTrip(l Link) time.Duration {
	if l, ok := l.(*grpcLink); ok {
		return l.out.roundTrip
	}
	return 0
}

// plain puts a status from the other end, or the end of ctx, in plain words.
func plain(ctx context.Context, err error) error {
	s, ok := status.FromError(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%s)", context.Cause(ctx), s.Message())
	case ok && s.Code() == codes.FailedPrecondition:
		return fmt.Errorf("%w by it: %s", ErrFenced, strings.TrimPrefix(s.Message(), ErrFenced.Error()+": "))
	}
	return err
}

// abort ends the stream and the connection at once.
func (o *outbound) abort(cause error) {
	o.cancel(cause)
	_ = o.conn.Close() // only fails when it is closed
	<-o.ended
}

// drain says that no more comes and waits, for a limited time, until the successor
// has taken all.
func (o *outbound) drain(linger time.Duration) error {
	defer o.abort(nil)
	if err := o.stream.CloseSend(); err != nil {
		return fmt.Errorf("close the link to the successor: %w", err)
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-o.ended: // an error is no news: the successor may have left before
	case <-timer.C:
	}
	return nil
}

// grpcLink is a Link of two streams on two connections.
type grpcLink struct {
	in     *inbound
	out    *outbound
	once   sync.Once
	group  sync.WaitGroup // watch
	linger time.Duration
}

// watch breaks the predecessor's end when the successor's breaks, so that whoever
// waits there ends, and the predecessor hears of it.
func (l *grpcLink) watch() {
	l.group.Go(func() {
		<-l.out.ended
		if !errors.Is(l.out.err, errPeace) {
			l.in.close(fmt.Errorf("the link to rank %d: %w", l.out.to.Rank, l.out.err))
		}
	})
}

func (l *grpcLink) Send(ctx context.Context, s *Segment) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close(context.Cause(ctx)) })
	defer stop()
	err := l.out.stream.SendMsg(s)
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) { // the reason is how the stream ended
		<-l.out.ended
		err = l.out.err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *grpcLink) Recv(ctx context.Context) (*Segment, error) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close(context.Cause(ctx)) })
	defer stop()
	s, err := l.in.recv()
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s, err
}

func (l *grpcLink) Broken() <-chan struct{} { return l.in.done }

func (l *grpcLink) Cause() error {
	select {
	case <-l.in.done:
		return l.in.cause
	default:
		return nil
	}
}

func (l *grpcLink) Close(cause error) (err error) {
	l.once.Do(func() {
		defer l.group.Wait()
		l.in.close(cause)
		if cause != nil {
			l.out.abort(cause)
			return
		}
		err = l.out.drain(l.linger)
	})
	return err
}

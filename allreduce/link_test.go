package allreduce

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// dialer is how a connection reaches its address.
func dialer(dial func(ctx context.Context, addr string) (net.Conn, error)) grpc.DialOption {
	return grpc.WithContextDialer(dial)
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func TestLinkIsRefusedWithAReason(t *testing.T) {
	c := newCluster(t, 3)
	newRings(t, Config{}, c.connect(t, 7, insecureCredentials()))
	other := c.member(7, 0)
	other.Run = NewRunTag("other", "1")
	for _, tt := range []struct {
		name string
		from Member
		says string
	}{
		{"older generation", c.member(6, 0), "link to rank 1 at " + c.addresses[1] + ": fenced off by it: a link of generation 6 to a worker in generation 7"},
		{"other run", other, "run " + testRun.String()},
		{"wrong rank", c.member(7, 2), "waits for rank 0"},
		{"same generation again", c.member(7, 0), "already has"},
	} {
		_, err := ringCall(tt.from).dial(testContext(t), c.addresses[1], []grpc.DialOption{insecureCredentials()})
		if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

// A successor that answers as somebody else is not this rank's successor.
func TestLinkRefusesAWrongAnswer(t *testing.T) {
	c := newCluster(t, 3)
	m := c.member(7, 0)
	ctx := testContext(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		in, err := c.servers[1].gate.accept(ctx, c.member(7, 1))
		if err != nil {
			t.Error(err)
			return
		}
		in.close(nil)
	})
	impostor := grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := streamer(ctx, desc, conn, method, opts...)
		return answering{s, c.member(7, 2)}, err
	})
	_, err := ringCall(m).dial(ctx, c.addresses[1], []grpc.DialOption{insecureCredentials(), impostor})
	if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "rank 2 of 3 in generation 7") {
		t.Errorf("%v", err)
	}
}

// answering replaces what a stream receives by a handshake.
type answering struct {
	grpc.ClientStream
	as Member
}

func (a answering) RecvMsg(m any) error {
	err := a.ClientStream.RecvMsg(m)
	*m.(*Segment) = *message(appendHandshake(nil, a.as))
	return err
}

func TestConnectWaitsForASuccessorThatIsNotThereYet(t *testing.T) {
	c := newCluster(t, 2)
	var mu sync.Mutex
	attempts := map[string]int{}
	links := c.connect(t, 7, insecureCredentials(), dialer(func(ctx context.Context, addr string) (net.Conn, error) {
		mu.Lock()
		attempts[addr]++
		n := attempts[addr]
		mu.Unlock()
		if n < 3 {
			return nil, errors.New("nobody there")
		}
		return dialTCP(ctx, addr)
	}))
	reduceAll(t, newRings(t, Config{}, links), 0, randomVectors(newRand(t), 2, 10, 1))
}

// A server that goes away in the middle of a handshake may come back.
func TestConnectTriesAgain(t *testing.T) {
	var attempts atomic.Int64
	restarting := grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if attempts.Add(1) <= 3 {
			return nil, status.Error(codes.Unavailable, "the server is restarting")
		}
		return streamer(ctx, desc, conn, method, opts...)
	})
	links := newCluster(t, 2).connect(t, 7, insecureCredentials(), restarting)
	reduceAll(t, newRings(t, Config{}, links), 0, randomVectors(newRand(t), 2, 10, 1))
}

func TestConnectEndsWithItsContext(t *testing.T) {
	c := newCluster(t, 2)
	ctx, cancel := context.WithCancelCause(testContext(t))
	told := errors.New("told to stop")
	var attempts atomic.Int64
	_, err := Connect(ctx, c.servers[0], c.member(7, 0), c.addresses[1], insecureCredentials(),
		dialer(func(context.Context, string) (net.Conn, error) {
			if attempts.Add(1) == 2 { // the first one is over, and known
				cancel(told)
			}
			return nil, errors.New("nobody there")
		}))
	if !errors.Is(err, told) || !strings.Contains(err.Error(), "nobody there") || !strings.Contains(err.Error(), "wait for the link from rank 1") {
		t.Errorf("%v", err)
	}
	if _, err := Connect(testContext(t), c.servers[0], c.member(7, 0), c.addresses[1], insecureCredentials()); !errors.Is(err, ErrFenced) {
		t.Errorf("a generation that was given up begins again: %v", err)
	}
}

func TestConnectRefusesAtOnce(t *testing.T) {
	bare := grpc.NewServer()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := bare.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		bare.Stop()
		wg.Wait()
	})
	c := newCluster(t, 2)
	_, err = Connect(testContext(t), c.servers[0], c.member(7, 0), listener.Addr().String(), insecureCredentials())
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("a server without rings: %v", err)
	}
	if _, err := Connect(testContext(t), c.servers[0], c.member(7, 5), c.addresses[1], insecureCredentials()); err == nil {
		t.Error("rank 5 of 2 connects")
	}
	if link, err := Connect(testContext(t), c.servers[0], Member{Run: testRun, Generation: 9, World: 1}, "nowhere"); link != nil || err != nil {
		t.Errorf("a ring of one has a link: %v, %v", link, err)
	}
}

// A link that is closed in peace first delivers what was sent.
func TestCloseInPeaceDelivers(t *testing.T) {
	c := newCluster(t, 2)
	links := c.connect(t, 7, insecureCredentials())
	ctx := testContext(t)
	const n, size = 30, 100_000
	pool := new(bufferPool)
	for i := range n {
		s := newSegment(pool, headerBytes+size)
		for j := range s.payload() {
			s.payload()[j] = byte(i)
		}
		s.seal(Header{Phase: AllGather, Segment: uint32(i)})
		if err := links[0].Send(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := links[0].Close(nil); err != nil {
			t.Error(err)
		}
	})
	for i := range n {
		s, err := links[1].Recv(ctx)
		if err != nil {
			t.Fatalf("segment %d: %v", i, err)
		}
		h, err := s.Header()
		if err == nil {
			err = s.verify(h)
		}
		if err != nil || h.Segment != uint32(i) {
			t.Errorf("segment %d arrives as %+v (%v)", i, h, err)
		}
		s.Release()
	}
	if s, err := links[1].Recv(ctx); err == nil || !strings.Contains(err.Error(), "rank 0 closed the link") {
		t.Errorf("after the last comes %v, %v", s, err)
	}
	if err := links[1].Close(nil); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// A successor that takes nothing does not hold up a link that is closed in peace.
func TestCloseInPeaceDoesNotWaitForever(t *testing.T) {
	links := newCluster(t, 2).connect(t, 7, insecureCredentials())
	links[0].(*grpcLink).linger = time.Millisecond
	if err := links[0].Close(nil); err != nil {
		t.Error(err)
	}
	if _, err := links[1].Recv(testContext(t)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the successor hears %v", err)
	}
	if err := links[1].Close(nil); err != nil {
		t.Error(err)
	}
}

// Sending to a successor that has closed its link fails, and says so.
func TestSendAfterTheSuccessorClosed(t *testing.T) {
	links := newCluster(t, 2).connect(t, 7, insecureCredentials())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := links[1].Close(nil); err != nil {
			t.Error(err)
		}
	})
	pool := new(bufferPool)
	var err error
	for err == nil { // the news takes a moment
		s := newSegment(pool, headerBytes)
		s.seal(Header{Phase: AllGather})
		err = links[0].Send(testContext(t), s)
	}
	if err.Error() != "it closed the link" {
		t.Error(err)
	}
	if err := links[0].Close(nil); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// When the wire goes, both ends notice, and so does everyone else.
func TestLostConnectionEndsTheStepOnEveryRank(t *testing.T) {
	const world = 3
	c := newCluster(t, world)
	var mu sync.Mutex
	var conns []net.Conn
	links := c.connect(t, 7, insecureCredentials(), dialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := dialTCP(ctx, addr)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}))
	links[1] = &faultyLink{Link: links[1], fault: func(n int, _ *Segment) error {
		if n == 5 {
			return conns[0].Close()
		}
		return nil
	}}
	r := newRand(t)
	failAll(t, newRings(t, Config{SegmentElems: 50}, links), 0, randomVectors(r, world, 5000, 1))
	reduceAll(t, newRings(t, Config{}, c.connect(t, 8, insecureCredentials())), 0, randomVectors(r, world, 10, 1))
}

// A member's server that closes ends its ring.
func TestServerCloseEndsTheStep(t *testing.T) {
	c := newCluster(t, 2)
	links := c.connect(t, 7, insecureCredentials())
	links[0] = &faultyLink{Link: links[0], fault: func(n int, _ *Segment) error {
		if n == 3 {
			c.servers[1].Close()
		}
		return nil
	}}
	failAll(t, newRings(t, Config{SegmentElems: 10}, links), 0, randomVectors(newRand(t), 2, 1000, 0))
}

// More than the windows of the transport can hold, from everyone at once.
func TestChunksLargerThanTheWindows(t *testing.T) {
	r := newRand(t)
	n := 2 * (connectionWindow + streamWindow) / 8
	vs := randomVectors(r, 2, n, 0)
	for rank := range vs {
		for i := range vs[rank].Sum {
			vs[rank].Sum[i] = int64(r.Uint64()) >> 2
		}
	}
	rings := newRings(t, Config{}, newCluster(t, 2).connect(t, 7, insecureCredentials()))
	reduceAll(t, rings, 0, vs)
}

// Protobuf services go on working on a server with ServerOptions, for clients with
// and without DialOptions.
func TestServerStillSpeaksProtobuf(t *testing.T) {
	c := newCluster(t, 1)
	for name, opts := range map[string][]grpc.DialOption{"plain": nil, "ring": DialOptions()} {
		conn, err := grpc.NewClient(c.addresses[0], append(opts, insecureCredentials())...)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := healthpb.NewHealthClient(conn).Check(testContext(t), new(healthpb.HealthCheckRequest))
		if err != nil || reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%s client: %v (%v)", name, reply, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestServerRefusesGarbage(t *testing.T) {
	c := newCluster(t, 1)
	conn, err := grpc.NewClient(c.addresses[0], append(DialOptions(), insecureCredentials())...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.NewStream(testContext(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, linkMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(message([]byte("GET / HTTP/1.1"))); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(Segment)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
}

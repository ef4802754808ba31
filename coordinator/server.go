package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// maxMessage bounds what a worker says at once: a part's previews are the
	// largest, 4 images of 256x256x3 from one worker.
	maxMessage = 16 << 20
	// maxHello bounds what is kept of a worker, in etcd too.
	maxHello = 4 << 10
	// outbox is how many directives may wait for a worker that does not read.
	outbox = 16
)

// session is one worker's stream as the loop sees it.
type session struct {
	// id is the name in the worker's certificate, or the loop's to give.
	id    string
	hello *ddpmv1.Hello
	out   chan *ddpmv1.CoordinatorMessage
	// beats is ready when a Heartbeat is to be answered. One that was asked for is not, and
	// lies in sign until the loop looks.
	beats chan struct{}
	sign  atomic.Pointer[ddpmv1.Heartbeat]
	// refused holds the reason why the worker is sent away, before out is closed.
	refused error
}

// sessionEvent is what a session tells the loop. message nil and err nil: the
// worker asks to join.
type sessionEvent struct {
	from    *session
	message *ddpmv1.WorkerMessage
	err     error
}

// server is the gRPC side of the workers' sessions.
type server struct {
	ddpmv1.UnimplementedCoordinatorServer
	// events goes to the loop; done is closed when the loop takes no more.
	events chan<- sessionEvent
	done   <-chan struct{}
	// helloLimit bounds how long a stream may stay without introducing itself.
	helloLimit time.Duration
	// why says why a worker's stream broke, as far as somebody else knows.
	why func(hello *ddpmv1.Hello, err error) error
	// readers are the goroutines that read streams. A stream is readable until its
	// Session returns, so they end after it.
	readers sync.WaitGroup
}

// Session implements ddpmv1.CoordinatorServer.
func (s *server) Session(stream ddpmv1.Coordinator_SessionServer) error {
	hello, err := s.hello(stream)
	if err != nil {
		return err
	}
	me := &session{
		id:    certified(stream.Context()),
		hello: hello,
		out:   make(chan *ddpmv1.CoordinatorMessage, outbox),
		beats: make(chan struct{}, 1),
	}
	if !s.tell(sessionEvent{from: me}) {
		return status.Error(codes.Unavailable, "the run has ended")
	}
	s.readers.Go(func() { s.receive(stream, me) })
	var term uint64 // that the worker was last told
	for {
		select {
		case m, ok := <-me.out:
			if !ok {
				return me.refused
			}
			if err := stream.Send(m); err != nil {
				return err
			}
			term = m.GetTerm()
		case <-me.beats: // answered here, so that a loop that waits for etcd is no silence
			if term == 0 {
				continue // Welcome is first
			}
			if err := stream.Send(&ddpmv1.CoordinatorMessage{Term: term}); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// hello waits for the first message.
func (s *server) hello(stream ddpmv1.Coordinator_SessionServer) (*ddpmv1.Hello, error) {
	type first struct {
		m   *ddpmv1.WorkerMessage
		err error
	}
	got := make(chan first, 1)
	s.readers.Go(func() {
		m, err := stream.Recv()
		got <- first{m, err}
	})
	timer := time.NewTimer(s.helloLimit)
	defer timer.Stop()
	select {
	case f := <-got:
		if f.err != nil {
			return nil, f.err
		}
		hello := f.m.GetHello()
		if size := proto.Size(hello); size > maxHello {
			return nil, status.Errorf(codes.InvalidArgument, "a Hello of %d bytes; %d are enough", size, maxHello)
		}
		if _, _, err := net.SplitHostPort(hello.GetRingAddress()); err != nil {
			return nil, status.Error(codes.InvalidArgument, "a session begins with a Hello whose ring address is HOST:PORT")
		}
		return hello, nil
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "no Hello for %s", s.helloLimit)
	case <-s.done:
		return nil, status.Error(codes.Unavailable, "the run has ended")
	}
}

// receive passes on what the worker says until its stream ends.
func (s *server) receive(stream ddpmv1.Coordinator_SessionServer, me *session) {
	for {
		m, err := stream.Recv()
		if err != nil {
			s.tell(sessionEvent{from: me, err: s.why(me.hello, broken(err))})
			return
		}
		if h := m.GetHeartbeat(); h.GetAsked() {
			me.sign.Store(h)
			continue
		} else if h != nil {
			select {
			case me.beats <- struct{}{}:
			default:
			}
		}
		if !s.tell(sessionEvent{from: me, message: m}) {
			return
		}
	}
}

// broken says how a stream ended, as part of a sentence.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return errors.New("its session ended")
	}
	return fmt.Errorf("its session broke: %s", status.Convert(err).Message())
}

func (s *server) tell(e sessionEvent) bool {
	select {
	case s.events <- e:
		return true
	case <-s.done:
		return false
	}
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// errFormer ends a session with a coordinator that leads no more, and does not know.
var errFormer = errors.New("it is a former leader")

// session is the worker's membership: one stream to the coordinator.
type session struct {
	address string
	log     *slog.Logger
	conn    *grpc.ClientConn
	stream  ddpmv1.Coordinator_SessionClient
	cancel  context.CancelFunc
	group   sync.WaitGroup

	// inbox holds the directives that came, those of a lower term left out. It is
	// closed when the stream ends.
	inbox chan *ddpmv1.CoordinatorMessage
	// err is why the stream ended. Invariant: written before inbox is closed, read
	// after.
	err error
	// outbox is what is yet to be sent.
	outbox outbox
	// asked is ready when the coordinator has asked for a sign of life.
	asked chan struct{}

	opened time.Time
	// heard is when something last came, in nanoseconds since opened, and silence how
	// long nothing may come before the coordinator counts as silent.
	heard   atomic.Int64
	silence time.Duration
}

// openSession says Hello on a connection, which the session owns. It lives until
// close, whatever becomes of ctx's cancellation, so that an interrupted worker can
// still say goodbye. term is the highest leader term that was seen.
func openSession(ctx context.Context, conn *grpc.ClientConn, address string, hello *ddpmv1.Hello, term *atomic.Uint64, log *slog.Logger) (*session, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stream, err := ddpmv1.NewCoordinatorClient(conn).Session(ctx)
	s := &session{
		address: address, log: log, conn: conn, stream: stream, cancel: cancel,
		inbox:  make(chan *ddpmv1.CoordinatorMessage, 16),
		asked:  make(chan struct{}, 1),
		outbox: newOutbox(), opened: time.Now(),
	}
	if err != nil {
		s.err = err
		s.close()
		return nil, s.lost()
	}
	s.group.Go(func() { s.receive(ctx, term) })
	s.group.Go(s.transmit)
	s.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Hello{Hello: hello}})
	return s, nil
}

// welcome waits for the coordinator's answer to Hello.
func (s *session) welcome(ctx context.Context, patience time.Duration) (*ddpmv1.Welcome, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m, ok := <-s.inbox:
		if !ok {
			return nil, s.lost()
		}
		switch body := m.Body.(type) {
		case *ddpmv1.CoordinatorMessage_Welcome:
			return body.Welcome, nil
		case *ddpmv1.CoordinatorMessage_Dismiss:
			return nil, s.refused(body.Dismiss.GetReason())
		}
		return nil, fmt.Errorf("the coordinator at %s answers a Hello with %T; use the same version on both sides", s.address, m.Body)
	case <-timer.C:
		return nil, fmt.Errorf("the coordinator at %s does not answer a Hello for %v; look at its log, then start this worker again", s.address, patience)
	case <-ctx.Done():
		return nil, errInterrupted
	}
}

// receive reads the stream until it ends.
func (s *session) receive(ctx context.Context, term *atomic.Uint64) {
	defer close(s.inbox)
	for {
		m, err := s.stream.Recv()
		if err != nil {
			s.err = err
			return
		}
		if highest := raise(term, m.GetTerm()); m.GetTerm() < highest {
			s.log.Warn("refused a directive of a former leader", "term", m.GetTerm(), "leader", highest)
			if m.GetWelcome() != nil {
				s.err = errFormer
				return
			}
			continue
		}
		s.heard.Store(int64(time.Since(s.opened)))
		if m.Body == nil {
			continue // the answer to a Heartbeat
		}
		if m.GetAsk() != nil {
			select {
			case s.asked <- struct{}{}:
			default:
			}
			continue
		}
		select {
		case s.inbox <- m:
		case <-ctx.Done():
			s.err = ctx.Err()
			return
		}
	}
}

// raise gives the highest term that was seen, this one included. Two sessions may be
// open, where one coordinator is silent and another is found.
func raise(highest *atomic.Uint64, term uint64) uint64 {
	for {
		seen := highest.Load()
		if term <= seen || highest.CompareAndSwap(seen, term) {
			return max(term, seen)
		}
	}
}

// silent says that nothing has come for too long. Who speaks again is silent no more.
func (s *session) silent() bool {
	return time.Since(s.opened)-time.Duration(s.heard.Load()) > s.silence
}

// send says a message to the coordinator, after those before it, and waits for
// nobody: a coordinator that hangs must not hold up a step. It may be called
// concurrently. Where it does not get through the inbox ends too.
func (s *session) send(m *ddpmv1.WorkerMessage) {
	if !s.outbox.put(m) {
		s.log.Warn("the coordinator does not take what it is told; leaving it", "address", s.address, "messages", outboxLimit)
		s.cancel()
	}
}

// transmit sends what is in the outbox until the stream ends, which receive hears.
func (s *session) transmit() {
	for {
		select {
		case <-s.outbox.filled:
		case <-s.stream.Context().Done():
			return
		}
		for m := s.outbox.first(); m != nil; m = s.outbox.next() {
			if s.stream.Send(m) != nil {
				return
			}
		}
	}
}

// beat says where the worker is whenever it is asked, and when it is not for an interval,
// until the session ends. What waits to be sent is a sign of life itself.
func (s *session) beat(interval time.Duration, position func() *ddpmv1.Heartbeat) {
	s.group.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			asked := false
			select {
			case <-ticker.C:
			case <-s.asked:
				asked = true
				ticker.Reset(interval)
			case <-s.stream.Context().Done():
				return
			}
			if s.outbox.first() == nil {
				h := position()
				h.Asked = asked
				s.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: h}})
			}
		}
	})
}

// dismissed waits, patience at most, for the coordinator to end the session after
// a Failure, and returns its reason, or that the session is lost.
func (s *session) dismissed(patience time.Duration) (reason string, lost error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case m, ok := <-s.inbox:
			if !ok {
				return "", s.lost()
			}
			if d := m.GetDismiss(); d != nil {
				return d.GetReason(), nil
			}
		case <-timer.C:
			return "it did not answer in time", nil
		}
	}
}

// lost says why the stream ended. Only after inbox is closed.
func (s *session) lost() error {
	switch st := status.Convert(s.err); st.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.PermissionDenied,
		codes.AlreadyExists, codes.ResourceExhausted, codes.Unauthenticated:
		return s.refused(st.Message())
	case codes.Unimplemented:
		return fmt.Errorf("%s is not a coordinator (%s); check the address", s.address, st.Message())
	}
	reason := s.err
	if errors.Is(reason, io.EOF) {
		reason = errors.New("it ended the session")
	}
	return goneError{fmt.Errorf("the coordinator at %s is gone (%w)", s.address, reason)}
}

// goneError says that a coordinator is gone, or does not lead. A new worker asks again, one that trains
// looks for another coordinator and must not be started anew.
type goneError struct{ error }

// refusedError says that a coordinator does not want this worker.
type refusedError struct{ error }

func (s *session) refused(reason string) error {
	return refusedError{fmt.Errorf("the coordinator at %s refuses this worker: %s", s.address, reason)}
}

// close ends the session and its goroutines.
func (s *session) close() {
	s.cancel()
	_ = s.conn.Close() // only fails when it is closed
	s.group.Wait()
}

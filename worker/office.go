package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// office is the worker's side of whoever coordinates: one session that is spoken on at
// a time, or none for a while.
type office struct {
	mu      sync.Mutex
	session *session // nil while there is none
	// term is the highest leader term that was seen: directives of lower ones are
	// refused.
	term atomic.Uint64
	// silence is how long a coordinator may say nothing.
	silence time.Duration
}

// ask opens a session on a connection, which the session owns, and waits for its
// Welcome.
func (o *office) ask(ctx context.Context, conn *grpc.ClientConn, address string, hello *ddpmv1.Hello, patience time.Duration, log *slog.Logger) (*session, *ddpmv1.Welcome, error) {
	s, err := openSession(ctx, conn, address, hello, &o.term, log)
	if err != nil {
		return nil, nil, err
	}
	w, err := s.welcome(ctx, patience)
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return s, w, nil
}

// use makes a session the one that is spoken on, and beats on it. Who had another one
// before closes that.
func (o *office) use(s *session, w *ddpmv1.Welcome, position func() *ddpmv1.Heartbeat) {
	interval := max(time.Millisecond, time.Duration(w.GetHeartbeatMilliseconds())*time.Millisecond)
	often := interval // how often the coordinator has reason to say something
	if ask := time.Duration(w.GetAskMilliseconds()) * time.Millisecond; ask > 0 {
		often = ask / 4 // it answers what is said unasked, which is after 3/2 of it
	}
	s.silence = max(o.silence, 8*often)
	o.mu.Lock()
	o.session = s
	o.mu.Unlock()
	s.beat(interval, position)
}

func (o *office) get() *session {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.session
}

// inbox is the session's, or one that nothing comes to.
func (o *office) inbox() <-chan *ddpmv1.CoordinatorMessage {
	if s := o.get(); s != nil {
		return s.inbox
	}
	return nil
}

// send says something to the coordinator. Where there is none, or it goes away, it
// is lost: what matters is told again to the next one.
func (o *office) send(m *ddpmv1.WorkerMessage) {
	if s := o.get(); s != nil {
		s.send(m)
	}
}

// dismissed waits for the answer to a Failure.
func (o *office) dismissed(patience time.Duration) string {
	s := o.get()
	if s == nil {
		return ""
	}
	reason, _ := s.dismissed(patience) // the worker ends either way
	return reason
}

// leave closes the session and returns why it ended.
func (o *office) leave() error {
	o.mu.Lock()
	s := o.session
	o.session = nil
	o.mu.Unlock()
	if s == nil {
		return nil
	}
	s.close()
	return s.lost()
}

func (o *office) close() { _ = o.leave() }

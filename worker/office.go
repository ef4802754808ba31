package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// office is the worker's side of whoever coordinates: one session at a time, or
// none for a while.
type office struct {
	mu      sync.Mutex
	session *session // nil while there is none
	// term is the highest leader term that was seen: directives of lower ones are
	// refused.
	term atomic.Uint64
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

// use makes a session the one that is spoken on, and beats on it.
func (o *office) use(s *session, w *ddpmv1.Welcome, position func() *ddpmv1.Heartbeat) {
	o.mu.Lock()
	o.session = s
	o.mu.Unlock()
	s.beat(max(time.Millisecond, time.Duration(w.GetHeartbeatMilliseconds())*time.Millisecond), position)
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
		_ = s.send(m) // when it can't be sent, the inbox ends too
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

// returned is how an attempt to join again went.
type returned struct {
	session *session
	welcome *ddpmv1.Welcome
	err     error
	// hello is what the worker said of itself.
	hello *ddpmv1.Hello
}

// search is how a worker looks for a coordinator again: one attempt is under way at
// most.
type search struct {
	ctx   context.Context
	stop  context.CancelFunc
	group sync.WaitGroup
	back  chan returned
	// nowhere is since when no address has had a name, nil where one had at the last try.
	nowhere atomic.Pointer[time.Time]
}

// newSearch returns a search that goes on when ctx ends: an interrupted worker has
// to say that it leaves.
func newSearch(ctx context.Context) *search {
	s := &search{back: make(chan returned, 1)}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// gone says that no address has had a name for so long.
func (s *search) gone(long time.Duration) bool {
	since := s.nowhere.Load()
	return since != nil && time.Since(*since) > long
}

// tried takes in how a round over all addresses went: whether none of them has a name.
func (s *search) tried(nowhere bool) {
	if !nowhere {
		s.nowhere.Store(nil)
	} else if s.nowhere.Load() == nil {
		now := time.Now()
		s.nowhere.Store(&now)
	}
}

// close ends the search, and the session that nobody took.
func (s *search) close() {
	s.stop()
	s.group.Wait()
	select {
	case r := <-s.back:
		if r.session != nil {
			r.session.close()
		}
	default:
	}
}

// away goes on without a coordinator, and looks for one beside.
func (l *life) away(ctx context.Context, looking *search) error {
	lost := l.office.leave()
	if errors.As(lost, new(refusedError)) {
		return lost
	}
	if l.current == nil && ctx.Err() != nil {
		return errInterrupted
	}
	l.log.Warn("no coordinator; training goes on, and this worker looks for one", "reason", lost.Error(), "for", l.config.Away)
	looking.group.Go(func() { looking.back <- l.rejoin(looking, time.Now().Add(l.config.Away)) })
	return nil
}

// rejoin tries all addresses in turn until one takes this worker in.
func (l *life) rejoin(looking *search, until time.Time) returned {
	ctx := looking.ctx
	const firstWait, lastWait = 50 * time.Millisecond, time.Second
	wait := firstWait
	for {
		var last error
		nowhere := true
		for _, address := range l.config.Join {
			r := l.attempt(ctx, address)
			nowhere = nowhere && nameless(r.err)
			if r.err == nil || errors.As(r.err, new(refusedError)) || ctx.Err() != nil {
				looking.tried(false)
				return r
			}
			last = r.err
		}
		looking.tried(nowhere)
		if time.Now().After(until) {
			return returned{err: fmt.Errorf("no coordinator for %v (%w); start it again and this worker anew: the run resumes from its newest checkpoint", l.config.Away, last)}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastWait)
	}
}

// attempt tries one address once.
func (l *life) attempt(ctx context.Context, address string) returned {
	const short = 2 * time.Second
	conn, err := redial(ctx, address, l.member.Coordinator(), short)
	if err != nil {
		return returned{err: err}
	}
	hello := l.hello()
	s, w, err := l.office.ask(ctx, conn, address, hello, l.patience, l.log)
	return returned{s, w, err, hello}
}

// welcomed takes up the work with a coordinator that was found again.
func (l *life) welcomed(r returned) error {
	if r.err != nil {
		return r.err
	}
	w := r.welcome
	if w.GetRunId() != l.runID {
		r.session.close()
		return fmt.Errorf("the coordinator has another run now, %s; start this worker anew to join it", w.GetRun())
	}
	l.log.Info("a coordinator is there again", "worker", w.GetWorkerId())
	l.id = w.GetWorkerId()
	if l.trainer == nil {
		l.office.use(r.session, w, l.heartbeat)
		return nil // it says so when it is available
	}
	resumed := r.hello.GetResume()
	l.trainer.speakTo(func() { l.office.use(r.session, w, l.heartbeat) }, resumed.GetPosition().GetTraining())
	if resumed == nil { // it has opened the run since
		l.office.send(available())
	}
	l.trainer.saver.tellAgain()
	l.catchUpReports(w.GetReportedStep())
	if l.leaving {
		l.office.send(leavingMessage())
	}
	return nil
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// defaultSilence is how long a coordinator may say nothing before its worker asks at
// the other addresses whether somebody leads there. It is less than a leader's lease in
// etcd, so that all members knock when a standby opens its door.
const defaultSilence = 3 * time.Second

// errSpeaks ends an attempt that the coordinator which was silent made needless.
var errSpeaks = errors.New("the coordinator speaks again")

// returned is how a search ended. Neither session nor err: the coordinator that was
// silent speaks again.
type returned struct {
	session *session
	welcome *ddpmv1.Welcome
	err     error
	// hello is what the worker said of itself.
	hello *ddpmv1.Hello
}

// search is how a worker looks for another coordinator, its own being gone or silent:
// once at a time.
type search struct {
	ctx   context.Context
	stop  context.CancelFunc
	group sync.WaitGroup
	back  chan returned
	// begun says that it is under way, or that nobody has taken yet what came of it.
	begun bool
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

// begin looks, unless that is being done.
func (s *search) begin(look func(*search) returned) {
	if !s.begun {
		s.begun = true
		s.group.Go(func() { s.back <- look(s) })
	}
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

// away goes on without a coordinator, and looks for one beside. A worker that was given up
// for lost is to come again: its coordinator is there.
func (l *life) away(ctx context.Context, looking *search, again bool) error {
	lost := l.office.leave()
	if errors.As(lost, new(refusedError)) {
		return lost
	}
	if l.current == nil && ctx.Err() != nil {
		return errInterrupted
	}
	if !again {
		l.log.Warn("no coordinator; training goes on, and this worker looks for one", "reason", lost.Error(), "for", l.config.Away)
	}
	looking.begin(l.look)
	return nil
}

// doubt looks for another coordinator where this one is silent: its process may be
// halted, or its machine gone, and a standby may lead. The session stays meanwhile, for
// it may also just be busy.
func (l *life) doubt(looking *search) {
	s := l.office.get()
	if s == nil || !s.silent() || looking.begun || len(l.config.Join) < 2 {
		return
	}
	l.log.Warn("the coordinator is silent; training goes on, and this worker asks whether another leads", "address", s.address)
	looking.begin(l.look)
}

// look tries all addresses in turn until one takes this worker in; while the session
// with a silent coordinator lasts, all but that one's, and until it speaks again.
func (l *life) look(looking *search) returned {
	ctx := looking.ctx
	const firstWait, lastWait = 50 * time.Millisecond, time.Second
	var until time.Time // which a worker does without a coordinator
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		here := l.office.get()
		switch {
		case here == nil && until.IsZero():
			until = time.Now().Add(l.config.Away)
		case here != nil && !here.silent():
			return returned{}
		}
		var last error
		nowhere := here == nil
		for _, address := range l.config.Join {
			if here != nil && address == here.address {
				continue
			}
			r := l.attempt(ctx, address, here)
			nowhere = nowhere && nameless(r.err)
			if r.err == nil || ctx.Err() != nil || here == nil && errors.As(r.err, new(refusedError)) {
				looking.tried(false)
				return r
			}
			last = r.err
		}
		looking.tried(nowhere)
		if here == nil && time.Now().After(until) {
			return returned{err: fmt.Errorf("no coordinator for %v (%w); start it again and this worker anew: the run resumes from its newest checkpoint", l.config.Away, last)}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// attempt tries one address once. A silent coordinator is given a last chance to speak
// when somebody answers there: it may be itself, by another name.
func (l *life) attempt(ctx context.Context, address string, silent *session) returned {
	const short, chance = 2 * time.Second, 300 * time.Millisecond
	conn, err := redial(ctx, address, l.member.Coordinator(), short)
	if err != nil {
		return returned{err: err}
	}
	if silent != nil {
		select {
		case <-time.After(chance):
		case <-ctx.Done():
		}
		if !silent.silent() {
			return returned{err: errors.Join(errSpeaks, conn.Close())}
		}
	}
	hello := l.hello()
	s, w, err := l.office.ask(ctx, conn, address, hello, l.patience, l.log)
	return returned{s, w, err, hello}
}

// found takes up what came of a search.
func (l *life) found(r returned, looking *search) error {
	looking.begun = false
	switch {
	case r.err != nil:
		return r.err
	case r.session != nil:
		return l.welcomed(r)
	case l.office.get() == nil: // it spoke, and is gone since
		looking.begin(l.look)
	default:
		l.log.Info("the coordinator speaks again")
	}
	return nil
}

// sameRun makes sure that what this worker trains is what the coordinator trains now. A
// config that was changed under the run's name would be mixed with the former one.
func (l *life) sameRun(w *ddpmv1.Welcome) error {
	if w.GetRunId() != l.runID {
		return fmt.Errorf("the coordinator has another run now, %s; start this worker anew to join it", w.GetRun())
	}
	here, err := ddpm.DecodeSpec(l.spec)
	if err != nil {
		return fmt.Errorf("the run's config: %w", err)
	}
	there, err := ddpm.DecodeSpec(w.GetSpec())
	if err != nil {
		return fmt.Errorf("the coordinator's %w; use the same version on both sides", err)
	}
	if d := there.Differences(here); len(d) > 0 {
		return fmt.Errorf("the coordinator trains run %s with another config now (%s); start this worker anew to join it", w.GetRun(), strings.Join(d, ", "))
	}
	return nil
}

// welcomed takes up the work with a coordinator that was found.
func (l *life) welcomed(r returned) error {
	w := r.welcome
	if err := l.sameRun(w); err != nil {
		r.session.close()
		return err
	}
	l.log.Info("a coordinator is there again", "worker", w.GetWorkerId(), "address", r.session.address)
	l.id = w.GetWorkerId()
	if former := l.office.get(); former != nil {
		defer former.close()
	}
	if l.trainer == nil {
		l.office.use(r.session, w, l.heartbeat)
		return nil // it says so when it is available
	}
	resumed := r.hello.GetResume()
	use := func() { l.office.use(r.session, w, l.heartbeat) }
	l.catchUpReports(func() { l.trainer.speakTo(use, resumed.GetPosition().GetTraining()) }, w.GetReportedStep())
	if resumed == nil { // it has opened the run since
		l.office.send(available())
	}
	l.trainer.saver.tellAgain()
	if l.leaving {
		l.office.send(leavingMessage())
	}
	return nil
}

package coordinator

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// fakeEtcd keeps a leadership's records, fails as a test wants, and loses the
// leadership when it is told to.
type fakeEtcd struct {
	deposed atomic.Bool
	term    atomic.Uint64
	regain  chan error // how regaining the leadership goes

	mu          sync.Mutex
	failures    int    // of the next writes of a generation with members
	late        uint64 // the generation that fails until a newer one is stored
	attempts    int
	generations []core.Generation
	workers     map[string]bool
	lost        chan struct{}
}

func newFakeEtcd() *fakeEtcd {
	e := &fakeEtcd{regain: make(chan error), workers: map[string]bool{}, lost: make(chan struct{})}
	e.term.Store(7)
	return e
}

func (e *fakeEtcd) Term() uint64 { return e.term.Load() }

func (e *fakeEtcd) Lost() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

// lose ends the leadership.
func (e *fakeEtcd) lose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.lost)
}

func (e *fakeEtcd) Regain(ctx context.Context) error {
	select {
	case err := <-e.regain:
		if err == nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.lost = make(chan struct{})
			e.term.Add(1)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *fakeEtcd) Check(context.Context) error {
	if e.deposed.Load() {
		return registry.ErrDeposed
	}
	return nil
}

func (e *fakeEtcd) PutGeneration(_ context.Context, number uint64, value any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.attempts++
	g := value.(core.Generation)
	if e.failures > 0 && len(g.Members) > 0 {
		e.failures--
		return errors.New("etcd does not answer")
	}
	newer := len(e.generations) > 0 && e.generations[len(e.generations)-1].Number > number
	if number == e.late && !newer {
		return errors.New("etcd's leader changed")
	}
	if newer {
		return registry.ErrSuperseded
	}
	e.generations = append(e.generations, g)
	return nil
}

func (e *fakeEtcd) Generation(_ context.Context, value any) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.generations) == 0 {
		return false, nil
	}
	*value.(*core.Generation) = e.generations[len(e.generations)-1]
	return true, nil
}

// fail lets the next writes of a generation fail.
func (e *fakeEtcd) fail(writes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = writes
}

func (e *fakeEtcd) PutWorker(_ context.Context, id string, _ any, _ time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.workers[id] = true
	return nil
}

func (e *fakeEtcd) KeepWorker(context.Context, string) error { return nil }

func (e *fakeEtcd) DropWorker(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.workers, id)
	return nil
}

// led is a loop of one worker that runs with a fake etcd.
type led struct {
	t          *testing.T
	etcd       *fakeEtcd
	loop       *loop
	log        *locked
	events     chan sessionEvent
	interrupts chan os.Signal
	worker     *session
	end        core.End
	err        error
	ended      chan struct{}
}

// lead runs a loop, whose first worker joins. bend may change the etcd before.
func lead(t *testing.T, bend func(*fakeEtcd)) *led {
	t.Helper()
	return leadFor(t, defaultLimits().alone, func(x *led, _ storage.Store) {
		if bend != nil {
			bend(x.etcd)
		}
	})
}

// leadFor does so with a loop that lets its workers go when it is alone for so long. bend may
// also change the loop.
func leadFor(t *testing.T, alone time.Duration, bend func(*led, storage.Store)) *led {
	t.Helper()
	l, store := publishing(t)
	close(store.let)
	l.end = nil
	x := &led{
		t: t, etcd: l.registry.(*fakeEtcd), loop: l, log: &locked{},
		events: make(chan sessionEvent), interrupts: make(chan os.Signal, 2), ended: make(chan struct{}),
	}
	l.log = slog.New(slog.NewTextHandler(x.log, nil))
	l.config = core.Config{Workers: 1, MinWorkers: 1, Shards: 4, Steps: 9, Silence: core.Silence{Min: 2 * wait, Max: 2 * wait}}
	l.machine = core.New(l.config)
	l.config.Adopt, l.config.AdoptPatience = true, wait // for those that come after it
	l.plan.runID = "run"
	l.limits.retry, l.limits.alone = time.Millisecond, alone
	l.persisted = make(chan stored)
	l.progress = newProgress(newConsole(new(bytes.Buffer)), l.log, 0, 9)
	bend(x, store)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(x.ended)
		x.end, x.err = l.run(ctx, x.events, x.interrupts)
		if x.err != nil {
			cancel()
		}
		l.settle(ctx)
		cancel()
	}()
	t.Cleanup(func() {
		cancel()
		within(t, func() { <-x.ended })
	})
	x.worker = x.join("host")
	return x
}

// knock lets a worker ask to join, as one that comes back where it says from what.
func (x *led) knock(name string, from *ddpmv1.Resume) *session {
	x.t.Helper()
	s := &session{hello: hello(name), out: make(chan *ddpmv1.CoordinatorMessage, outbox)}
	s.hello.Version, s.hello.Build, s.hello.Resume = "", "", from
	x.tell(sessionEvent{from: s})
	return s
}

// join lets a worker join, and take its welcome.
func (x *led) join(name string) *session {
	x.t.Helper()
	s := x.knock(name, nil)
	if m := x.hear(s); m.GetWelcome() == nil {
		x.t.Fatalf("it hears %v", m)
	}
	x.tell(sessionEvent{from: s, message: &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Available{}}})
	return s
}

func (x *led) tell(e sessionEvent) {
	x.t.Helper()
	within(x.t, func() { x.events <- e })
}

func (x *led) hear(s *session) *ddpmv1.CoordinatorMessage {
	x.t.Helper()
	var m *ddpmv1.CoordinatorMessage // nil when it is closed
	within(x.t, func() { m = <-s.out })
	return m
}

// An etcd that fails for a while is tried again; what is in it counts.
func TestEtcdFailsForAWhile(t *testing.T) {
	t.Parallel()
	x := lead(t, func(e *fakeEtcd) { e.failures = 3 })
	if a := x.hear(x.worker).GetAssignment(); a.GetGeneration().GetNumber() != 1 {
		t.Errorf("it is assigned %v", a)
	}
	x.etcd.mu.Lock()
	if x.etcd.attempts != 4 || len(x.etcd.generations) != 1 || !x.etcd.workers["w1"] {
		t.Errorf("%d attempts, generations %v, workers %v", x.etcd.attempts, x.etcd.generations, x.etcd.workers)
	}
	x.etcd.mu.Unlock()
	if n := strings.Count(x.log.String(), "can't store a generation"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, x.log)
	}
}

// A generation that etcd did not take at once must not replace the one that followed it.
func TestAGenerationIsStoredLate(t *testing.T) {
	t.Parallel()
	x := lead(t, func(e *fakeEtcd) { e.late = 1 })
	next := x.join("another")
	x.tell(sessionEvent{from: x.worker, err: errors.New("its session broke")})
	number := x.hear(next).GetAssignment().GetGeneration().GetNumber()
	x.interrupts <- os.Interrupt
	x.interrupts <- os.Interrupt
	within(t, func() { <-x.ended })
	x.etcd.mu.Lock()
	defer x.etcd.mu.Unlock()
	for _, g := range x.etcd.generations {
		if g.Number < number {
			t.Errorf("etcd holds %v, and generation %d is at work", x.etcd.generations, number)
		}
	}
}

// A leadership that is lost and regained changes nothing but the term: workers are
// heard meanwhile.
func TestLeadershipRegained(t *testing.T) {
	t.Parallel()
	x := lead(t, nil)
	x.hear(x.worker)
	x.etcd.lose()
	x.join("another") // it is welcome while nobody leads
	within(t, func() { x.etcd.regain <- nil })
	x.tell(sessionEvent{from: x.worker, message: &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: 1}}}})
	m := x.hear(x.worker)
	if m.GetYield() == nil || m.GetTerm() != 8 {
		t.Errorf("it hears %v", m)
	}
	select {
	case <-x.ended:
		t.Errorf("it ends: %v", x.err)
	default:
	}
}

// Where another coordinator leads, this one ends, and leaves the workers to it.
func TestDeposed(t *testing.T) {
	t.Parallel()
	x := lead(t, nil)
	x.hear(x.worker)
	x.etcd.lose()
	within(t, func() { x.etcd.regain <- registry.ErrDeposed })
	within(t, func() { <-x.ended })
	if !errors.Is(x.err, registry.ErrDeposed) {
		t.Errorf("it ends with %v", x.err)
	}
	if then := x.loop.resume(); then != "" {
		t.Errorf("it says of the other's run: %s", then)
	}
	if m, ok := <-x.worker.out; ok || x.worker.refused == nil {
		t.Errorf("the worker hears %v, and then %v", m, x.worker.refused)
	}
}

// A generation that can't be stored has not the last word: etcd hears at the end that
// nobody is there.
func TestGenerationAtTheEnd(t *testing.T) {
	t.Parallel()
	x := lead(t, func(e *fakeEtcd) { e.failures = 1 << 30 })
	x.tell(sessionEvent{from: x.worker, message: &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{}}})
	x.interrupts <- os.Interrupt
	x.tell(sessionEvent{from: x.worker, err: errors.New("its session broke")})
	within(t, func() { <-x.ended })
	if x.err != nil || x.end.OK {
		t.Errorf("it ends with %+v, %v", x.end, x.err)
	}
	x.etcd.mu.Lock()
	defer x.etcd.mu.Unlock()
	if n := len(x.etcd.generations); n == 0 || len(x.etcd.generations[n-1].Members) > 0 {
		t.Errorf("at the end etcd holds %v", x.etcd.generations)
	}
}

// An etcd that never answers holds up neither a stop nor the end.
func TestEtcdNeverAnswers(t *testing.T) {
	t.Parallel()
	x := lead(t, func(e *fakeEtcd) { e.failures = 1 << 30 })
	x.interrupts <- os.Interrupt
	x.interrupts <- os.Interrupt
	within(t, func() { <-x.ended })
	if !errors.Is(x.err, ErrInterrupted) {
		t.Errorf("it ends with %v", x.err)
	}
}

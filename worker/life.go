package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// Config is how a worker is started.
type Config struct {
	// Join is the coordinator's HOST:PORT.
	Join string
	// Advertise is this machine's host as other workers reach it; "" is the address
	// from which the coordinator is reached.
	Advertise string
	// Threads to compute with; 0 leaves it to the coordinator, and to the number of
	// CPUs if it doesn't mind.
	Threads int
	Log     *slog.Logger
}

// defaultPatience bounds each wait for somebody else's answer.
const defaultPatience = 15 * time.Second

// errInterrupted ends a worker that was asked to end before it trained.
var errInterrupted = errors.New("interrupted before training began; nothing is lost")

// Run is a worker's life, told in the package's documentation. It returns nil when
// the coordinator dismissed the worker as it should. The end of ctx asks for a
// polite end: while the worker trains, all members end after the same step, with a
// checkpoint.
func Run(ctx context.Context, c Config) error {
	return newLife(c).live(ctx)
}

// life is one worker, from dialling to its end.
type life struct {
	config   Config
	log      *slog.Logger
	patience time.Duration
	device   deviceMaker

	session *session
	ring    *ringServer
	// id and tag are the coordinator's names for this worker and for the run.
	id  string
	tag allreduce.RunTag
	// opened is closed when run has been opened.
	opened chan struct{}
	run    *run
	// stop asks the training loop to vote for the end.
	stop atomic.Bool
	// position is where the worker is, for heartbeats.
	position position
	// generation is the one that the worker is in, nil before the first.
	generation *generation
}

func newLife(c Config) *life {
	return &life{config: c, log: c.Log, patience: defaultPatience, device: newCPU, opened: make(chan struct{})}
}

func (l *life) live(ctx context.Context) error {
	conn, host, err := dial(ctx, l.config.Join, l.patience, l.log)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it only fails when it is closed
	if l.ring, err = listen(host, l.config.Advertise, l.log); err != nil {
		return err
	}
	defer l.ring.close()
	if l.session, err = openSession(ctx, conn, l.config.Join, l.hello(), l.log); err != nil {
		return err
	}
	defer l.session.close()
	welcome, err := l.session.welcome(ctx, l.patience)
	if err != nil {
		return err
	}
	l.id, l.tag = welcome.GetWorkerId(), allreduce.NewRunTag(welcome.GetRun(), welcome.GetRunId())
	l.log.Info("joined", "run", welcome.GetRun(), "worker", l.id, "ring", l.ring.address)
	l.session.beat(max(time.Millisecond, time.Duration(welcome.GetHeartbeatMilliseconds())*time.Millisecond), l.position.heartbeat)
	return l.open(ctx, welcome)
}

// open opens the run beside serving, since that may take longer than others should
// have to wait for this worker's answers.
func (l *life) open(ctx context.Context, w *ddpmv1.Welcome) error {
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	var group sync.WaitGroup
	group.Go(func() {
		run, err := openRun(ctx, w, l.config.Threads, l.device)
		if err != nil {
			failed <- err
			return
		}
		l.run = run
		close(l.opened)
	})
	err := l.serve(ctx, failed)
	l.endGeneration()
	cancel()
	group.Wait()
	if l.run != nil {
		l.run.close()
	}
	return err
}

func (l *life) hello() *ddpmv1.Hello {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	return &ddpmv1.Hello{
		Version:     ddpmcluster.Version(),
		Build:       ddpmcluster.Fingerprint(),
		RingAddress: l.ring.address,
		Threads:     uint32(threads(l.config.Threads, 0)),
		CpuLevel:    string(cpulevel.Active()),
		Hostname:    hostname,
		Pid:         uint32(os.Getpid()),
	}
}

// serve follows directives until the session ends. failed says that the run can't
// be opened.
func (l *life) serve(ctx context.Context, failed <-chan error) error {
	interrupted := ctx.Done()
	var unanswered <-chan time.Time
	for {
		select {
		case m, ok := <-l.session.inbox:
			if !ok {
				return l.lost()
			}
			before := l.generation
			if end, err := l.obey(ctx, m); end {
				return err
			}
			if l.generation != before {
				unanswered = nil
			}
		case err := <-failed:
			if ctx.Err() != nil {
				err = errInterrupted
			}
			return l.fail(err)
		case err := <-l.generation.ended():
			switch {
			case err == nil:
				l.log.Info("trained to the end; waiting to be dismissed")
			case errors.As(err, new(ringError)):
				// The coordinator decides: the end, or a generation without whoever is lost.
				l.log.Warn("the ring broke; waiting for the coordinator", "reason", err.Error())
				unanswered = time.After(l.patience)
			case !errors.Is(err, errStream): // of which the inbox knows more
				return l.leave(err)
			}
		case <-unanswered:
			return l.failure()
		case <-interrupted:
			interrupted = nil
			if !l.generation.training() {
				return l.fail(errInterrupted)
			}
			l.log.Info("interrupted: all workers end after a step, with a checkpoint; interrupt again to end at once")
			l.stop.Store(true)
		}
	}
}

// obey follows one directive. It says whether the worker's life ends with it, and
// with which error.
func (l *life) obey(ctx context.Context, m *ddpmv1.CoordinatorMessage) (end bool, err error) {
	switch body := m.Body.(type) {
	case *ddpmv1.CoordinatorMessage_Assignment:
		if err := l.assign(ctx, body.Assignment); err != nil {
			return true, l.fail(err)
		}
	case *ddpmv1.CoordinatorMessage_Begin:
		if n := body.Begin.GetGeneration(); !l.generation.start(n) {
			l.log.Warn("refused to begin another generation than the one assigned", "generation", n)
		}
	case *ddpmv1.CoordinatorMessage_Stop:
		l.log.Info("stopping after a step", "reason", body.Stop.GetReason())
		l.stop.Store(true)
	case *ddpmv1.CoordinatorMessage_Dismiss:
		if !body.Dismiss.GetOk() {
			if err := l.failure(); err != nil {
				l.log.Info("dismissed", "reason", body.Dismiss.GetReason())
				return true, err
			}
			return true, fmt.Errorf("the coordinator ended the run: %s", body.Dismiss.GetReason())
		}
		l.log.Info("dismissed", "reason", body.Dismiss.GetReason())
		return true, nil
	default:
		l.log.Warn("ignored a directive that this version does not know", "type", fmt.Sprintf("%T", m.Body))
	}
	return false, nil
}

// assign leaves the current generation, if any, for the assigned one.
func (l *life) assign(ctx context.Context, a *ddpmv1.Assignment) error {
	number := a.GetGeneration().GetNumber()
	if l.generation != nil && number <= l.generation.number {
		l.log.Warn("refused a generation that is not newer", "generation", number, "current", l.generation.number)
		return nil
	}
	l.endGeneration()
	g, err := newGeneration(l, a)
	if err != nil {
		return err
	}
	l.log.Info("assigned", "generation", number, "rank", g.rank, "of", g.size, "shards", g.self.GetShards(), "step", a.GetGeneration().GetStartStep())
	l.generation = g
	// An interruption is a vote to stop, not the end of the generation.
	g.run(context.WithoutCancel(ctx))
	return nil
}

func (l *life) endGeneration() {
	if l.generation != nil {
		l.generation.end()
	}
}

// failure gives the generation up and returns what it has failed of by itself,
// nil if it has not.
func (l *life) failure() error {
	l.endGeneration()
	if l.generation == nil || l.generation.failure == nil {
		return nil
	}
	return advised(l.generation.failure)
}

// advised adds what to do about a broken ring, which says nothing of it.
func advised(err error) error {
	if errors.As(err, new(ringError)) {
		return fmt.Errorf("%w; start the coordinator again: the run resumes from its newest checkpoint", err)
	}
	return err
}

// lost says that the coordinator is gone, and what had failed before.
func (l *life) lost() error {
	lost := l.session.lost()
	if err := l.failure(); err != nil && !errors.Is(err, errStream) {
		return fmt.Errorf("%w; also, %w", err, lost)
	}
	return lost
}

// fail ends the worker for a reason that the coordinator has not been told.
func (l *life) fail(err error) error {
	l.endGeneration()
	l.tell(err)
	return l.leave(err)
}

// tell tells the coordinator why the worker can't go on. It may be called beside
// the serving goroutine.
func (l *life) tell(err error) {
	at := l.position.heartbeat()
	failure := &ddpmv1.Failure{
		Generation: at.GetGeneration(), Step: at.GetStep(), Reason: err.Error(),
		Consequence: errors.As(err, new(ringError)),
	}
	// When it can't be sent, the inbox ends too.
	_ = l.session.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: failure}})
}

// leave waits a bounded time for the coordinator's answer to what it was told, and
// returns err, with the loss of the coordinator if it is gone too.
func (l *life) leave(err error) error {
	l.endGeneration()
	reason, lost := l.session.dismissed(l.patience)
	if lost != nil {
		return fmt.Errorf("%w; also, %w", err, lost)
	}
	l.log.Info("dismissed", "reason", reason)
	return err
}

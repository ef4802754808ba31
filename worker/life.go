package worker

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
)

// Config is how a worker is started.
type Config struct {
	// Join are the coordinators' HOST:PORT: the one that leads, and those that may
	// come after it.
	Join []string
	// Advertise is this machine's host as other workers reach it; "" is the address
	// from which the coordinator is reached.
	Advertise string
	// Threads to compute with; 0 leaves it to the coordinator, and to the number of
	// CPUs if it doesn't mind.
	Threads int
	// CacheSize bounds what this machine keeps of datasets that lie in S3, in bytes; 0
	// keeps nothing.
	CacheSize int64
	// Wait is how long a worker that starts tries to find a coordinator.
	Wait time.Duration
	// Grace is how long a worker that is asked to end waits for a step boundary.
	Grace time.Duration
	// Away is how long a worker trains on without a coordinator.
	Away time.Duration
	// Private keeps the worker from sharing memory with others on its machine.
	Private bool
	// Pulse beats as long as the worker's loop turns; nil is that nobody looks.
	Pulse *health.Pulse
	// Security is how the coordinator lets the worker in.
	Security membership.Settings
	Log      *slog.Logger
	// Where is told where the worker is, for the lines of Log; nil is for nobody.
	Where *logging.Where
	// Pprof is HOST:PORT for profiles, to administrators; "" is nowhere.
	Pprof string
}

// defaultPatience bounds each wait for somebody else's answer.
const defaultPatience = 15 * time.Second

// defaultAbsence is how long no coordinator's host may have a name before a worker that was
// asked to end does so without one.
const defaultAbsence = 10 * time.Second

// The defaults of a Config.
const (
	DefaultWait  = defaultPatience
	DefaultGrace = 5 * time.Minute
	DefaultAway  = 30 * time.Minute
)

var (
	// errInterrupted ends a worker that was asked to end before it trained.
	errInterrupted = errors.New("interrupted before training began; nothing is lost")
	// errGone ends one whose coordinator does not come back.
	errGone = errors.New("asked to end, and there is no coordinator to let this worker go, nor a host of --join's name: whoever ran the cluster has taken it down; the run resumes from its newest checkpoint")
	// errGrace ends a worker that did not come to a boundary in time.
	errGrace = errors.New("asked to end, and no step boundary came in time; the others compute this worker's shards anew (--grace says how long it waits)")
)

// Run is a worker's life, told in the package's documentation. It returns nil when
// the coordinator dismissed the worker as it should. The end of ctx asks for a
// polite end: the worker leaves at the next step boundary.
func Run(ctx context.Context, c Config) error {
	return newLife(c).live(ctx)
}

// life is one worker, from dialling to its end.
type life struct {
	config   Config
	log      *slog.Logger
	patience time.Duration
	absence  time.Duration
	store    storeOpener
	device   deviceMaker
	// bucketElems is as in allreduce.Config: 0, but for tests.
	bucketElems int
	// corePeak is what a core makes at most, in floating-point operations a second.
	corePeak float64

	// tracer is nil without a collector.
	tracer *tracing.Tracer
	// member is nil with --insecure.
	member *membership.Member
	ring   *ringServer
	office office
	// id and tag are the coordinator's names for this worker and for the run.
	id    string
	runID string
	// spec is the run's config, as the coordinator gave it first.
	spec []byte
	tag  allreduce.RunTag

	// trainer is there once the run has been opened.
	trainer *trainer
	served  atomic.Pointer[trainer] // the same, for peers and heartbeats
	// generations are the goroutines that make and close links.
	generations sync.WaitGroup
	// current is the newest generation, nil before the first.
	current *generation
	leaving bool
}

func newLife(c Config) *life {
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Away == 0 {
		c.Away = DefaultAway
	}
	return &life{
		config: c, log: c.Log, patience: defaultPatience, absence: defaultAbsence, office: office{silence: defaultSilence},
		store: openStore, device: newCPU,
	}
}

func (l *life) live(ctx context.Context) error {
	l.corePeak = corePeak()
	var err error
	if l.member, err = membership.Join(ctx, l.config.Security, l.config.Join, l.config.Wait, l.log); err != nil {
		return err
	}
	defer l.member.Keep(ctx, l.config.Join, l.log)()
	stop, err := serveProfiles(l.config.Pprof, l.member, l.log)
	if err != nil {
		return err
	}
	defer stop()
	conn, host, address, err := dialAny(ctx, l.config.Join, l.member.Coordinator(), l.config.Wait, l.log)
	if err != nil {
		return err
	}
	if l.ring, err = listen(host, l.config.Advertise, &peerServer{trainer: l.served.Load}, l.member.ServerOptions(), l.log); err != nil {
		return errors.Join(err, conn.Close())
	}
	defer l.ring.close()
	defer l.office.close()
	session, welcome, err := l.admission(ctx, conn, address)
	if err != nil {
		return err
	}
	l.id, l.runID, l.spec = welcome.GetWorkerId(), welcome.GetRunId(), welcome.GetSpec()
	l.config.Where.Name(welcome.GetRun(), l.id)
	l.tag = allreduce.NewRunTag(welcome.GetRun(), welcome.GetRunId())
	l.log.Info("joined", "run", welcome.GetRun(), "worker", l.id, "ring", l.ring.address)
	l.tracer = tracing.Open(ctx, tracing.Process{Service: "ddpm-worker", Version: ddpmcluster.Version(), Run: welcome.GetRun(), Worker: l.id}, l.log)
	defer l.tracer.Close()
	l.office.use(session, welcome, l.heartbeat)
	return l.work(ctx, welcome)
}

// work opens the run and trains, beside serving: both may take longer than others
// should have to wait for this worker's answers.
func (l *life) work(ctx context.Context, w *ddpmv1.Welcome) error {
	ctx, cancel := context.WithCancel(ctx)
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	opened, failed := make(chan *trainer, 1), make(chan error, 1)
	var group sync.WaitGroup
	var made *trainer
	group.Go(func() {
		run, err := openRun(ctx, w, l.config, l.store, l.device)
		if err != nil {
			failed <- err
			return
		}
		defer run.close()
		t := newTrainer(run, l.log, l.office.send, w.GetCompareEvery(), l.config.Private)
		made = t
		t.where = l.config.Where
		t.tracer, t.saver.tracer = l.tracer, l.tracer
		opened <- t
		if err := t.live(inner); err != nil {
			failed <- err
		}
	})
	err := l.serve(ctx, opened, failed)
	cancel()
	if g := l.current; g != nil {
		l.trainer.leave(g, departure{cause: errLeft, broke: errLeft.Error(), unreachable: -1})
	}
	stop()
	group.Wait()
	l.generations.Wait()
	if made != nil {
		made.freeSums() // an all-reduce may have outlived the trainer's loop, and read them
	}
	return err
}

func (l *life) hello() *ddpmv1.Hello {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	h := &ddpmv1.Hello{
		Version:     ddpmcluster.Version(),
		Build:       ddpmcluster.Fingerprint(),
		RingAddress: l.ring.address,
		Threads:     uint32(threads(l.config.Threads, 0)),
		CpuLevel:    string(cpulevel.Active()),

		CoreFlopsPerSecond: l.corePeak,
		Hostname:           hostname,
		Pid:                uint32(os.Getpid()),
	}
	if t := l.served.Load(); t != nil {
		h.Resume = &ddpmv1.Resume{WorkerId: l.id, RunId: l.runID, Position: t.position()}
	}
	return h
}

func (l *life) heartbeat() *ddpmv1.Heartbeat {
	if t := l.served.Load(); t != nil {
		return t.heartbeat()
	}
	return &ddpmv1.Heartbeat{}
}

// serve follows directives until the worker's life ends.
func (l *life) serve(ctx context.Context, opened <-chan *trainer, failed <-chan error) error {
	interrupted := ctx.Done()
	var grace <-chan time.Time
	looking := newSearch(ctx)
	defer looking.close()
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	defer l.config.Pulse.Rest()
	for {
		select {
		case <-beat.C:
			_ = l.heartbeat() // which waits for the trainer's lock: one that is stuck shows
			l.config.Pulse.Beat()
			l.doubt(looking)
			if l.leaving && looking.gone(l.absence) {
				return errGone
			}
		case m, ok := <-l.office.inbox():
			again := false
			if ok {
				end, err := l.obey(ctx, m)
				if end {
					return err
				}
				again = m.GetDismiss().GetAgain()
			}
			if ok && !again {
				continue
			}
			if err := l.away(ctx, looking, again); err != nil {
				return err
			}
		case r := <-looking.back:
			if err := l.found(r, looking); err != nil {
				return err
			}
		case t := <-opened:
			l.trainer = t // before anybody can ask for it
			l.served.Store(t)
			l.office.send(available())
		case err := <-failed:
			if ctx.Err() != nil && l.trainer == nil {
				err = errInterrupted
			}
			return l.fail(err)
		case <-interrupted:
			interrupted = nil
			if l.current == nil {
				return l.fail(errInterrupted)
			}
			l.leaving = true
			grace = time.After(l.config.Grace)
			l.log.Info("interrupted: leaving at the next step boundary; interrupt again to end at once", "within", l.config.Grace)
			l.office.send(leavingMessage())
		case <-grace:
			return errGrace
		}
	}
}

func available() *ddpmv1.WorkerMessage {
	return &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Available{Available: &ddpmv1.Available{}}}
}

func leavingMessage() *ddpmv1.WorkerMessage {
	return &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Leaving{Leaving: &ddpmv1.Leaving{Reason: "it was told to end"}}}
}

// fail ends the worker for a reason of its own, which it tells the coordinator.
func (l *life) fail(err error) error {
	failure := &ddpmv1.Failure{Reason: err.Error()}
	if u := (unreadable{}); errors.As(err, &u) {
		failure.Checkpoint = &u.step
	}
	at := l.heartbeat()
	failure.Generation, failure.Step = at.GetGeneration(), at.GetStep()
	l.office.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: failure}})
	if reason := l.office.dismissed(l.patience); reason != "" {
		l.log.Info("dismissed", "reason", reason)
	}
	return err
}

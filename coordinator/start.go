package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/initial"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/metrics"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// UsageError is a mistake in the settings.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap gives the mistake itself.
func (e UsageError) Unwrap() error { return e.Err }

// Options are what a coordinator gets from its process.
type Options struct {
	Config *config.Config
	// Worker is the command that starts a local worker: the program and its first
	// arguments.
	Worker         []string
	Stdout, Stderr io.Writer
	// Interrupts are the user's: the first asks for a checkpoint and the end, the
	// second ends at once.
	Interrupts <-chan os.Signal

	limits limits
}

// limits bound what a run waits for.
type limits struct {
	// heartbeat is how often a worker gives a sign of life, silence how long it may
	// give none.
	heartbeat time.Duration
	silence   core.Silence
	// adopt is how long a new leader waits for the members of the last generation.
	adopt time.Duration
	// bind is how long a standby that is to lead tries to open its ports.
	bind time.Duration
	// alone is how long a leadership may be lost, and the run wait for etcd, before the workers are
	// let go to whoever leads; 0: for ever.
	alone time.Duration
	// retry is how long lies between two attempts to write to etcd.
	retry time.Duration
	// patience is how long a start with fewer than all workers waits for another.
	patience time.Duration
	// hello is how long a stream may stay without introducing itself.
	hello time.Duration
	// settle is how long what is under way at the end of a run may take.
	settle time.Duration
	// farewell is how long a complete run's metrics wait for whoever collects them.
	farewell time.Duration
	// look is how often the token for workers is looked at; 0 is access.Config's.
	look time.Duration
}

func defaultLimits() limits {
	return limits{
		heartbeat: 250 * time.Millisecond, silence: core.Silence{Min: 2 * time.Second, Max: 20 * time.Second},
		bind:  5 * time.Second,
		alone: 20 * time.Second, // twice a leader's lease in etcd
		adopt: 10 * time.Second, retry: time.Second / 2, patience: 30 * time.Second,
		hello: 10 * time.Second, settle: 30 * time.Second,
		farewell: 70 * time.Second, // a Prometheus' usual interval is a minute
	}
}

// Run owns a run from its start to its end and prints the closing line.
func Run(ctx context.Context, o Options) error {
	c := o.Config
	if err := c.Validate(); err != nil {
		return UsageError{err}
	}
	if o.limits == (limits{}) {
		o.limits = defaultLimits()
	}
	if c.ServeSamples {
		return serveSamples(ctx, o)
	}
	plan, err := c.Resolve()
	if err != nil {
		return UsageError{err}
	}
	source, err := openInit(ctx, c, &plan)
	if err != nil {
		return err
	}
	if c.DryRun {
		return dryRun(ctx, c, plan, o.Stdout)
	}
	s := newStart(o)
	s.plan, s.source = plan, source
	s.where.Name(plan.Run, "")
	defer s.console.end()
	defer s.trace(ctx)()
	return s.interruptible(ctx)
}

func newStart(o Options) *start {
	console := newConsole(o.Stderr)
	level := slog.LevelInfo
	if o.Config.Verbose {
		level = slog.LevelDebug
	}
	format := logging.Resolve(o.Config.LogFormat, console.tty, os.Getenv)
	where := new(logging.Where)
	return &start{
		asked: metrics.NewStore(), outlet: newOutlet(), options: o, config: o.Config, console: console, format: format, where: where,
		log: where.Logger(logging.New(console, format, console.tty, level)),
	}
}

// start is a run on its way from the settings to the loop.
type start struct {
	options Options
	config  *config.Config
	plan    config.Plan
	source  *initial.Source // of --init, nil without
	console *console
	log     *slog.Logger
	// format is the log's, where what each of its lines says of the run.
	format string
	where  *logging.Where
	// tracer is nil without a collector.
	tracer *tracing.Tracer

	// security is nil with --insecure.
	security *security
	pool     *samplePool
	// asked counts what is asked of the store.
	asked    *metrics.Store
	store    storage.Store
	existing bool // the run has a run.json
	newest   checkpoint.Manifest
	resumes  bool // newest is there
	loss     float64
	// listener is for workers, nil until it is open; webs are for HTTP.
	listener net.Listener
	webs     []net.Listener
	// profiles is for --pprof, nil without.
	profiles net.Listener
	// outlet is the metrics, at the port of --metrics and those of --http; kept are these
	// once the run is over.
	outlet *outlet
	kept   []net.Listener
	// begun ends the watch over interrupts that goes before the loop's own.
	begun func()
}

// interruptible runs until the end or, before the loop has its own way with
// interrupts, the first of them.
func (s *start) interruptible(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.begun = onInterrupt(s.options.Interrupts, func() { cancel(errInterruptedEarly) })
	defer s.begun()
	err := s.run(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errInterruptedEarly) {
		return errInterruptedEarly // and not what broke by it
	}
	return err
}

func (s *start) run(ctx context.Context) error {
	defer s.close()
	stop, err := s.openOutlet()
	if err != nil {
		return err
	}
	defer stop()
	if !s.config.Standby { // a standby answers when it leads
		if err := s.listen(); err != nil {
			return err
		}
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := s.openDataset(ctx); err != nil {
		return err
	}
	if s.resumes && s.newest.Step >= s.plan.Steps {
		s.log.Info("the run is complete already; train it further with a higher --steps, or choose another --run", "run", s.plan.Run, "step", s.newest.Step)
		if !s.mayHaveMembers() {
			s.outlet.complete()
			return s.closing(ctx, s.newest.Step, s.loss, s.newest.Digest)
		}
	}
	end, err := s.own(ctx)
	if err != nil {
		return err
	}
	switch {
	case end.Stopped:
		return stoppedError{end.Reason}
	case !end.OK:
		return errors.New(end.Reason)
	}
	s.console.end()
	s.log.Info(end.Reason)
	if end.Digest == "" { // another coordinator published it
		end.Digest, end.Loss = s.newest.Digest, s.loss
	}
	return s.closing(ctx, end.Step, end.Loss, end.Digest)
}

// mayHaveMembers says that workers of the run may be waiting for a coordinator: the
// last one may have died before it could dismiss them.
func (s *start) mayHaveMembers() bool {
	_, err := os.Stat(filepath.Join(s.config.DataDir, "etcd"))
	return !s.config.Local && (len(s.config.Etcd) > 0 || err == nil)
}

// own holds etcd and the leadership for as long as the run takes.
func (s *start) own(ctx context.Context) (end core.End, err error) {
	etcd, err := s.openEtcd(ctx)
	if err != nil {
		return end, err
	}
	defer func() {
		if err != nil && !s.existing {
			err = errors.Join(err, etcd.Discard())
		} else {
			err = errors.Join(err, etcd.Close())
		}
	}()
	var leader *registry.Leader
	if s.config.Standby {
		leader, err = s.standBy(ctx, etcd)
	} else {
		leader, err = registry.Lead(ctx, etcd, s.plan.Run, who(s.config.Listen))
	}
	if err != nil {
		return end, err
	}
	defer func() {
		if cerr := leader.Close(); cerr != nil { // the run itself is as it is
			s.log.Warn("can't leave etcd as it should be", "err", cerr)
		}
	}()
	if err := s.lookAgain(ctx); err != nil {
		return end, err
	}
	if err := s.openSecurity(ctx, etcd, s.listener); err != nil {
		return end, err
	}
	defer s.security.close()
	s.pool = s.openPool(ctx, etcd)
	defer s.pool.close()
	return s.lead(ctx, leader)
}

// closing prints the run's last line.
func (s *start) closing(ctx context.Context, step uint64, loss float64, digest string) error {
	_, err := fmt.Fprintf(s.options.Stdout, "run %s: step %d loss %.6f digest %s\n", s.plan.Run, step, loss, digest)
	if step >= s.plan.Steps {
		s.farewell(ctx)
	}
	return err
}

// OneLine puts an error on one line, as a command prints it.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

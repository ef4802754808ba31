package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	"github.com/ddpm-cluster/ddpm-cluster/internal/reference"
	"github.com/ddpm-cluster/ddpm-cluster/worker/membership"
)

// Exit codes.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell has it for SIGINT
)

// What a worker does.
const (
	roleTrain  = "train"
	roleSample = "sample"
)

// maxThreads bounds --threads against slips of the finger.
const maxThreads = 4096

// usageError is a mistake in how the command was called.
type usageError struct{ error }

// Main runs the command line of ddpm-worker and returns the exit code. The first
// SIGINT or SIGTERM ends the worker politely, the second at once.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	// With the handler gone, a second signal kills the process.
	defer context.AfterFunc(ctx, restore)()

	c := command(stderr)
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SetArgs(args)
	err := cpulevel.Check()
	if err == nil {
		err = c.ExecuteContext(ctx)
	}
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "ddpm-worker: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.Is(err, errInterrupted) || errors.Is(err, membership.ErrInterrupted):
		return exitInterrupted
	}
	return exitFailure
}

func command(stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "ddpm-worker --join HOST:PORT --token ID.SECRET --ca-hash sha256:HEX",
		Short: "Train in a cluster as one of its workers, or sample in its pool",
		Long: "Joins the coordinator's run, computes its share of every step, and ends when the run does.\n" +
			"The coordinator sends the run's config; it prints the line that starts a worker.\n" +
			"With --role sample it draws images instead, for the jobs of ddpmctl sample, until it is asked to end.",
		Example: "  ddpm-worker --join 192.0.2.10:7600 --token-file token --ca-hash sha256:…\n" +
			"  ddpm-worker --join 192.0.2.10:7600 --token-file token --ca-hash sha256:… --role sample\n" +
			"  DDPM_TOKEN=… DDPM_CA_HASH=… ddpm-worker --join trainer:7600 --threads 8 --advertise 192.0.2.11",
		Version:       ddpmcluster.Describe(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q; see ddpm-worker --help", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.validate(os.Getenv); err != nil {
				return usageError{err}
			}
			return f.live(c.Context(), f.config(stderr))
		},
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see ddpm-worker --help", err)}
	})
	reference.Add(c, ddpmcluster.Version(), func(err error) error { return usageError{err} })
	c.Flags().SortFlags = false
	c.Flags().StringSliceVar(&f.join, "join", nil, "the coordinator's `HOST:PORT` (needed); with standbys all of theirs, separated by commas")
	f.security.Flags(c.Flags())
	c.Flags().StringVar(&f.role, "role", roleTrain, "what this worker does, its `ROLE`: "+roleTrain+", or "+roleSample+" for the sampling pool")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{roleTrain, roleSample}, cobra.ShellCompDirectiveNoFileComp)) // there is such a flag
	c.Flags().IntVar(&f.threads, "threads", 0, "`threads` to compute with (default: what the coordinator asks for, else all CPUs)")
	c.Flags().StringVar(&f.cache, "cache-size", "", "the most that this machine keeps of datasets in S3, a `SIZE` such as 500MB or 20GiB, 0 for nothing (default: $"+CacheVariable+", else 10GiB)")
	c.Flags().StringVar(&f.advertise, "advertise", "", "this machine's `HOST` as other workers reach it (default: the address that reaches the coordinator)")
	c.Flags().DurationVar(&f.wait, "wait", DefaultWait, "at start: how long to try where no coordinator answers")
	c.Flags().DurationVar(&f.grace, "grace", DefaultGrace, "when asked to end: how long to wait for the next step boundary")
	c.Flags().DurationVar(&f.away, "away", DefaultAway, "how long to go on without a coordinator")
	c.Flags().BoolVar(&f.sharedMemory, "shared-memory", true, "reduce through memory that is shared with the other workers of this machine; false: always over the network")
	c.Flags().StringVar(&f.health, "health", "", "`HOST:PORT` that answers GET /healthz while this worker's loop turns, for a probe (default: off)")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "log every step")
	c.Flags().StringVar(&f.logFormat, "log-format", logging.Auto, logging.Usage)
	c.Flags().StringVar(&f.pprof, "pprof", "", "`HOST:PORT` that serves Go's profiles under /debug/pprof/, to administrators' certificates alone (default: off)")
	return c
}

// flags are the command line's.
type flags struct {
	join         []string
	role         string
	advertise    string
	health       string
	threads      int
	sharedMemory bool
	cache        string
	cacheSize    int64 // bytes, once validated
	grace, away  time.Duration
	wait         time.Duration // for a coordinator, at start
	verbose      bool
	logFormat    string
	pprof        string
	security     membership.Settings
}

func (f *flags) validate(getenv func(string) string) error {
	if len(f.join) == 0 {
		return errors.New("--join is missing; give the coordinator's HOST:PORT, as it prints it")
	}
	for _, join := range f.join {
		host, port, err := net.SplitHostPort(join)
		if n, perr := strconv.Atoi(port); err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
			return fmt.Errorf("--join %q is not HOST:PORT; give the coordinator's address, such as trainer:7600", join)
		}
	}
	if f.role != roleTrain && f.role != roleSample {
		return fmt.Errorf("--role %q: must be %s or %s", f.role, roleTrain, roleSample)
	}
	if f.wait <= 0 || f.grace <= 0 || f.away <= 0 {
		return errors.New("--wait, --grace and --away: must be longer than 0, such as 30s or 10m")
	}
	if f.threads < 0 || f.threads > maxThreads {
		return fmt.Errorf("--threads %d: must be 1 to %d, or 0 for the default", f.threads, maxThreads)
	}
	var err error
	if f.cacheSize, err = cacheSize(f.cache, getenv); err != nil {
		return err
	}
	if strings.ContainsAny(f.advertise, "/ []") || strings.Contains(f.advertise, ":") && net.ParseIP(f.advertise) == nil {
		return fmt.Errorf("--advertise %q is not a host; give a name or an address without a port", f.advertise)
	}
	if !logging.Valid(f.logFormat) {
		return fmt.Errorf("--log-format %s: must be one of %s", f.logFormat, strings.Join(logging.Formats(), ", "))
	}
	if f.pprof != "" {
		if _, _, err := net.SplitHostPort(f.pprof); err != nil {
			return fmt.Errorf("--pprof %q: must be HOST:PORT", f.pprof)
		}
	}
	if _, port, err := net.SplitHostPort(f.health); f.health != "" && (err != nil || port == "") {
		return fmt.Errorf("--health %q is not HOST:PORT; give an address of this machine, such as 0.0.0.0:7602", f.health)
	}
	hosts := slices.Clone(f.join)
	if f.advertise != "" {
		hosts = append(hosts, f.advertise)
	}
	return f.security.Resolve(getenv, hosts...)
}

// live leads the life of the role, and says to whoever asks whether it goes on.
func (f flags) live(ctx context.Context, c Config) error {
	if f.health != "" {
		l, err := net.Listen("tcp", f.health)
		if err != nil {
			return fmt.Errorf("--health %s: %w; choose another port", f.health, err)
		}
		c.Pulse = health.NewPulse("the worker's loop")
		defer health.Serve(l, c.Log, c.Pulse.Check)()
	}
	if f.role == roleSample {
		return Sample(ctx, c)
	}
	return Run(ctx, c)
}

func (f flags) config(stderr io.Writer) Config {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	tty := logging.Terminal(stderr)
	where := new(logging.Where)
	return Config{
		Join: f.join, Advertise: f.advertise, Threads: f.threads, CacheSize: f.cacheSize, Wait: f.wait, Grace: f.grace, Away: f.away, Security: f.security, Private: !f.sharedMemory,
		Where: where, Pprof: f.pprof,
		Log: where.Logger(logging.New(stderr, logging.Resolve(f.logFormat, tty, os.Getenv), tty, level)),
	}
}

// threads settles how many threads to compute with: what the user says, else what
// the coordinator asks for, else as many as this process may run at once.
func threads(user int, coordinator uint32) int {
	switch {
	case user > 0:
		return user
	case coordinator > 0:
		return min(int(coordinator), maxThreads)
	}
	return runtime.GOMAXPROCS(0)
}

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
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
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
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailure
}

func command(stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "ddpm-worker --join HOST:PORT",
		Short: "Train in a cluster as one of its workers",
		Long: "Joins the coordinator's run, computes its share of every step, and ends when the run does.\n" +
			"The coordinator sends the run's config; it prints the line that starts a worker.",
		Example: "  ddpm-worker --join 192.0.2.10:7600\n" +
			"  ddpm-worker --join trainer:7600 --threads 8 --advertise 192.0.2.11",
		Version:       ddpmcluster.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q; see ddpm-worker --help", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return usageError{err}
			}
			return Run(c.Context(), f.config(stderr))
		},
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.Flags().SortFlags = false
	c.Flags().StringVar(&f.join, "join", "", "the coordinator's HOST:PORT (needed)")
	c.Flags().IntVar(&f.threads, "threads", 0, "threads to compute with (default: what the coordinator asks for, else all CPUs)")
	c.Flags().StringVar(&f.advertise, "advertise", "", "this machine's HOST as other workers reach it (default: the address that reaches the coordinator)")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "log every step")
	return c
}

// flags are the command line's.
type flags struct {
	join, advertise string
	threads         int
	verbose         bool
}

func (f flags) validate() error {
	if f.join == "" {
		return errors.New("--join is missing; give the coordinator's HOST:PORT, as it prints it")
	}
	host, port, err := net.SplitHostPort(f.join)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
		return fmt.Errorf("--join %q is not HOST:PORT; give the coordinator's address, such as trainer:7600", f.join)
	}
	if f.threads < 0 || f.threads > maxThreads {
		return fmt.Errorf("--threads %d: must be 1 to %d, or 0 for the default", f.threads, maxThreads)
	}
	if strings.ContainsAny(f.advertise, "/ []") || strings.Contains(f.advertise, ":") && net.ParseIP(f.advertise) == nil {
		return fmt.Errorf("--advertise %q is not a host; give a name or an address without a port", f.advertise)
	}
	return nil
}

func (f flags) config(stderr io.Writer) Config {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	return Config{
		Join: f.join, Advertise: f.advertise, Threads: f.threads,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
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

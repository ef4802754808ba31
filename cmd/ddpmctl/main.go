// Command ddpmctl looks at the runs of a Store, draws from them, and measures, with no
// cluster at all; and it asks a cluster's coordinator for tokens and sampling jobs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/reference"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// Exit codes.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell has it for SIGINT
)

// usageError is a mistake in how the command was called.
type usageError struct{ error }

// interruptedError says what an interrupt leaves behind.
type interruptedError struct{ error }

func main() {
	ctx, stop := interruptible(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interruptible is done at the first interrupt; the second kills the process, which may
// be waiting for something that knows of no end.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// run executes the command line and returns the exit code. The end of ctx, where it is no
// deadline's, is an interrupt.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	stderr = onScreen(stderr)
	root := command(stdout, stderr)
	root.SetArgs(args)
	err := cpulevel.Check()
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if s := screenOf(stderr); s != nil {
		s.end()
	}
	if err == nil {
		return 0
	}
	err = storage.Advised(err)
	interrupted := errors.Is(ctx.Err(), context.Canceled)
	if interrupted && !errors.As(err, &interruptedError{}) {
		err = errors.New("interrupted") // and not what broke by it
	}
	fmt.Fprintf(stderr, "ddpmctl: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	switch {
	case interrupted:
		return exitInterrupted
	case errors.As(err, &usageError{}):
		return exitUsage
	}
	return exitFailure
}

func command(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "ddpmctl",
		Short:         "Look at the runs of a Store, draw from them, and measure this machine",
		Example:       "  ddpmctl status\n  ddpmctl sample --run digits --n 16 --out samples.png",
		Version:       ddpmcluster.Describe(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          ownCommands,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(statusCommand(stdout, stderr), sampleCommand(stdout, stderr), evalCommand(stdout, stderr), digestCommand(stdout, stderr), checkpointsCommand(stdout, stderr), benchCommand(os.Stdin, stdout, stderr), dataCommand(stdout, stderr), tokenCommand(stdout), bucketCommand(stdout), jobsCommand(stdout, stderr), kubeSecretsCommand(stdout))
	reference.Add(root, ddpmcluster.Version(), func(err error) error { return usageError{err} })
	return root
}

// ownCommands refuses what is no command of a group's.
func ownCommands(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q%s; see %s --help", args[0], nearest(c, args[0]), c.CommandPath())}
	}
	return nil
}

// nearest asks whether one of a command's own was meant, where one is like it.
func nearest(c *cobra.Command, word string) string {
	c.SuggestionsMinimumDistance = 2
	if like := c.SuggestionsFor(word); len(like) > 0 {
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(like, ", or "))
	}
	return ""
}

// noArguments refuses what is not a flag.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q; see %s --help", args[0], c.CommandPath())}
	}
	return nil
}

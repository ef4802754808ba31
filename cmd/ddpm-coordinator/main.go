// Command ddpm-coordinator owns a training run: it admits workers, forms the ring,
// and publishes checkpoints. With --local it starts the workers too.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	ddpmcluster "github.com/ddpm-cluster/ddpm-cluster"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/reference"
	"github.com/ddpm-cluster/ddpm-cluster/worker"
)

// Exit codes.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell has it for SIGINT
)

// workerArgument makes this program a worker: --local starts itself that way, so
// that one binary is enough.
const workerArgument = "local-worker"

func main() {
	if len(os.Args) > 1 && os.Args[1] == workerArgument {
		os.Exit(worker.Main(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, listen()))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, interrupts <-chan os.Signal) int {
	c := command(stdout, stderr, interrupts)
	c.SetArgs(args)
	err := cpulevel.Check()
	if err == nil {
		err = c.ExecuteContext(ctx)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "ddpm-coordinator: %s\n", coordinator.OneLine(err))
	switch {
	case errors.As(err, new(coordinator.UsageError)):
		return exitUsage
	case errors.Is(err, coordinator.ErrInterrupted):
		return exitInterrupted
	}
	return exitFailure
}

// listen passes on two interrupts, which is what the coordinator understands; the
// third one kills this process, as if nobody listened.
func listen() <-chan os.Signal {
	signals, interrupts := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		interrupts <- <-signals
		interrupts <- <-signals
		signal.Stop(signals)
	}()
	return interrupts
}

func command(stdout, stderr io.Writer, interrupts <-chan os.Signal) *cobra.Command {
	var settings config.Config
	var file string
	c := &cobra.Command{
		Use:   "ddpm-coordinator --workers N",
		Short: "Own a training run: admit workers, form the ring, publish checkpoints",
		Long: "Trains a denoising diffusion model on N workers. The weights after a step depend on the config,\n" +
			"the seed and the dataset alone: never on how many workers or threads there are.\n" +
			"A run that exists is resumed from its newest checkpoint.",
		Example: "  ddpm-coordinator --workers 2 --local\n" +
			"  ddpm-coordinator --workers 8 --preset cifar10 --dataset /data/cifar-10-batches-bin --listen 192.0.2.10:7600\n" +
			"  ddpm-coordinator --config run.yaml --dry-run",
		Version:       ddpmcluster.Describe(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return coordinator.UsageError{Err: fmt.Errorf("unexpected argument %q; see ddpm-coordinator --help", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if file != "" {
				if err := settings.Load(file); err != nil {
					return coordinator.UsageError{Err: err}
				}
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program, to start workers: %w", err)
			}
			return coordinator.Run(c.Context(), coordinator.Options{
				Config: &settings, Worker: []string{self, workerArgument},
				Stdout: stdout, Stderr: stderr, Interrupts: interrupts,
			})
		},
	}
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return coordinator.UsageError{Err: fmt.Errorf("%w; see ddpm-coordinator --help", err)}
	})
	settings.Flags(c.Flags())
	c.AddCommand(&cobra.Command{
		Use: "configuration", Short: "Print the reference of all settings", Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error { return config.Reference(stdout) },
	})
	reference.Add(c, ddpmcluster.Version(), func(err error) error { return coordinator.UsageError{Err: err} })
	c.Flags().StringVar(&file, "config", "", "a YAML `FILE` with settings: keys are flag names, flags win")
	for flag, values := range config.Choices() {
		// It fails for a flag that is not there alone.
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return c
}

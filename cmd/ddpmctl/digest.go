package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

func digestCommand(stdout io.Writer) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "digest",
		Short: "Compute the SHA-256 of a checkpoint's state",
		Long: "Digest reads the whole state of a checkpoint (weights, Adam's moments, moving average, step),\n" +
			"checks every object, and prints the SHA-256 that names it. Two runs with equal digests have equal bits.",
		Example: "  ddpmctl digest --storage ddpm-data --run digits\n  ddpmctl digest --storage ddpm-data --run digits --step 500",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			st, _, m, err := t.open(ctx, c)
			if err != nil {
				return err
			}
			s := ddpm.EmptyState(int(m.Params))
			s.Step = m.Step
			if err := checkpoint.Load(ctx, st, m, checkpoint.State{Weights: s.Weights, M: s.M, V: s.V, EMA: s.EMA}); err != nil {
				return err
			}
			digest := s.Digest()
			if digest != m.Digest {
				return fmt.Errorf("run %s, step %d: the state has digest %s, but its manifest says %s; use another checkpoint by --step", t.run, m.Step, digest, m.Digest)
			}
			fmt.Fprintf(stdout, "run %s: step %d digest %s\n", t.run, m.Step, digest)
			return nil
		},
	}
	t.flags(c)
	return c
}

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

func digestCommand(stdout, stderr io.Writer) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "digest",
		Short: "Compute the SHA-256 of a checkpoint's state",
		Long: "Digest reads the whole state of a checkpoint (weights, Adam's moments, moving average, step),\n" +
			"checks every object, and prints the SHA-256 that names it. Two runs with equal digests have equal bits.",
		Example: "  ddpmctl digest --storage ddpm-data --run digits\n  ddpmctl digest --storage ddpm-data --run digits --step 500",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := t.find(c.Context(), c, func(f found) error { return showDigesting(c.Context(), f, stderr) })
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "run %s: step %d digest %s\n", t.run, f.manifest.Step, f.manifest.Digest)
			return nil
		},
	}
	t.flags(c)
	return c
}

// showDigesting is checkDigest with a bar.
func showDigesting(ctx context.Context, f found, stderr io.Writer) error {
	var end func()
	f.store, end = movingBar(stderr, f.store, fmt.Sprintf("reading step %d", f.manifest.Step), bytesOf(f.manifest, isState), false)
	defer end()
	return checkDigest(ctx, f)
}

// checkDigest loads the whole state and holds it against the manifest's digest.
func checkDigest(ctx context.Context, f found) error {
	m := f.manifest
	s := ddpm.EmptyState(int(m.Params))
	s.Step = m.Step
	if err := checkpoint.Load(ctx, f.store, m, checkpoint.State{Weights: s.Weights, M: s.M, V: s.V, EMA: s.EMA}); err != nil {
		return err
	}
	if digest := s.Digest(); digest != m.Digest {
		return fmt.Errorf("%sstate: %w: it has digest %s, but the manifest says %s", checkpoint.StepPrefix(m.Run, m.Step), checkpoint.ErrCorrupt, digest, m.Digest)
	}
	return nil
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// verified is what became of reading a checkpoint.
type verified struct {
	Step   uint64 `json:"step"`
	Whole  bool   `json:"whole"`
	Reason string `json:"reason,omitempty"` // why it is not
	Bytes  int64  `json:"bytes"`            // read
}

func verifyCommand(stdout, stderr io.Writer) *cobra.Command {
	var t target
	out := output{stdout: stdout}
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read checkpoints and check every hash",
		Long: "Verify reads every object of a run's checkpoints, or of one by --step, and checks its SHA-256,\n" +
			"and that the state has the digest that the manifest says. It fails where one is damaged or unfinished.",
		Example: "  ddpmctl checkpoints verify --storage ddpm-data --run digits",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := t.open(c.Context())
			if err != nil {
				return err
			}
			var all []verified
			if c.Flags().Changed("step") {
				all, err = verifyOne(c.Context(), f, t, stderr)
			} else {
				all, err = verifyAll(c.Context(), f, t.run, stderr)
			}
			if err != nil {
				return err
			}
			if err := out.print(all, func() { printVerified(stdout, all) }); err != nil {
				return err
			}
			damaged := 0
			for _, v := range all {
				if !v.Whole {
					damaged++
				}
			}
			if damaged > 0 {
				return fmt.Errorf("run %s: %d of %d checkpoints can't be used", t.run, damaged, len(all))
			}
			return nil
		},
	}
	t.runFlags(c)
	c.Flags().Uint64Var(&t.step, "step", 0, "the checkpoint's step (default: all of them)")
	out.flags(c)
	return c
}

func verifyOne(ctx context.Context, f found, t target, stderr io.Writer) ([]verified, error) {
	m, err := checkpoint.At(ctx, f.store, t.run, t.step)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Errorf("run %s has no checkpoint of step %d", t.run, t.step)
	case errors.Is(err, checkpoint.ErrCorrupt):
		return []verified{{Step: t.step, Reason: err.Error()}}, nil
	case err != nil:
		return nil, err
	}
	v, err := verify(ctx, f, m, stderr)
	return []verified{v}, err
}

func verifyAll(ctx context.Context, f found, run string, stderr io.Writer) ([]verified, error) {
	whole, skipped, err := checkpoint.List(ctx, f.store, run)
	if err != nil {
		return nil, err
	}
	all := []verified{}
	for _, s := range skipped {
		all = append(all, verified{Step: s.Step, Reason: s.Reason})
	}
	for _, m := range whole {
		v, err := verify(ctx, f, m, stderr)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b verified) int { return cmp.Compare(a.Step, b.Step) })
	return all, nil
}

// verify reads a checkpoint. What is wrong with it is in the result; the error is
// the Store's.
func verify(ctx context.Context, f found, m checkpoint.Manifest, stderr io.Writer) (verified, error) {
	v := verified{Step: m.Step, Whole: true, Bytes: listedOf(m).Bytes}
	f.manifest = m
	// The state is read twice: its bytes for the hashes, its values for the digest.
	total := v.Bytes + bytesOf(m, isState)
	var end func()
	f.store, end = movingBar(stderr, f.store, fmt.Sprintf("verifying step %d", m.Step), total, false)
	defer end()
	err := m.Fits(f.spec.Model.ParamCount())
	if err == nil {
		err = checkpoint.Verify(ctx, f.store, m)
	}
	if err == nil {
		err = checkDigest(ctx, f)
	}
	if errors.Is(err, checkpoint.ErrCorrupt) {
		v.Whole, v.Reason, err = false, err.Error(), nil
	}
	return v, err
}

func printVerified(stdout io.Writer, all []verified) {
	if len(all) == 0 {
		fmt.Fprintln(stdout, "there is no checkpoint")
	}
	for _, v := range all {
		if v.Whole {
			fmt.Fprintf(stdout, "step %d: whole, %s read\n", v.Step, size(v.Bytes))
		} else {
			fmt.Fprintf(stdout, "step %d: can't be used: %s\n", v.Step, why(v.Reason))
		}
	}
}

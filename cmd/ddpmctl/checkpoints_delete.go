package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

func deleteCommand(stdout, stderr io.Writer) *cobra.Command {
	var t target
	var force bool
	out := output{stdout: stdout}
	c := &cobra.Command{
		Use:     "delete",
		Short:   "Delete a checkpoint",
		Long:    "Delete removes one checkpoint, its manifest first. The newest one of a run only goes with\n--force, and so does the one that it would resume from where newer ones are damaged.",
		Example: "  ddpmctl checkpoints delete --storage ddpm-data --run digits --step 500",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("step") {
				return usageError{errors.New("--step is needed: the checkpoint to delete")}
			}
			ctx := c.Context()
			f, err := t.open(ctx)
			if err != nil {
				return err
			}
			infos, err := f.store.List(ctx, checkpoint.StepPrefix(t.run, t.step))
			if err != nil {
				return err
			}
			if len(infos) == 0 {
				return fmt.Errorf("run %s has no checkpoint of step %d", t.run, t.step)
			}
			if !force {
				if err := deletable(ctx, f, t, stderr); err != nil {
					return err
				}
			}
			deleting, end := movingBar(stderr, f.store, fmt.Sprintf("deleting step %d", t.step), int64(len(infos)), true)
			err = checkpoint.Delete(ctx, deleting, t.run, t.step)
			end()
			if err != nil {
				return err
			}
			deleted := struct {
				Run     string `json:"run"`
				Step    uint64 `json:"step"`
				Objects int    `json:"objects"`
			}{t.run, t.step, len(infos)}
			return out.print(deleted, func() {
				fmt.Fprintf(stdout, "run %s: deleted the checkpoint of step %d, %d objects\n", t.run, t.step, len(infos))
			})
		},
	}
	t.runFlags(c)
	c.Flags().Uint64Var(&t.step, "step", 0, "the checkpoint's `step` (needed)")
	c.Flags().BoolVar(&force, "force", false, "delete the checkpoint that the run resumes from too")
	out.flags(c)
	return c
}

// deletable refuses the checkpoint that the run resumes from: the newest or, where newer
// ones turn out to be damaged when a coordinator reads them, one that is older.
func deletable(ctx context.Context, f found, t target, stderr io.Writer) error {
	reading, end := movingBar(stderr, f.store, "reading the newest checkpoint", -1, false)
	defer end()
	newest := true
	guarded, _, err := checkpoint.NewestLoadable(ctx, reading, t.run, func(m checkpoint.Manifest) error {
		if newest && m.Step == t.step || m.Step < t.step {
			return nil // whatever is in it
		}
		newest = false
		if err := m.Fits(f.spec.Model.ParamCount()); err != nil {
			return err
		}
		return checkpoint.Verify(ctx, reading, m)
	})
	switch {
	case errors.Is(err, checkpoint.ErrNone): // what is deleted is no checkpoint
		return nil
	case err != nil:
		return err
	case guarded.Step != t.step:
		return nil
	case newest:
		return fmt.Errorf("step %d is the newest checkpoint of run %s, from which it resumes; --force deletes it nevertheless", t.step, t.run)
	}
	return fmt.Errorf("step %d is the newest whole checkpoint of run %s, from which it resumes, since those after it are damaged; --force deletes it nevertheless", t.step, t.run)
}

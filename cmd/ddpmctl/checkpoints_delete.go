package main

import (
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
		Long:    "Delete removes one checkpoint, its manifest first. The newest one of a run, from which it would\nresume, only goes with --force.",
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
			newest, _, err := checkpoint.Newest(ctx, f.store, t.run)
			switch {
			case errors.Is(err, checkpoint.ErrNone): // what is deleted is no checkpoint
			case err != nil:
				return err
			case newest.Step == t.step && !force:
				return fmt.Errorf("step %d is the newest checkpoint of run %s, from which it resumes; --force deletes it nevertheless", t.step, t.run)
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
	c.Flags().BoolVar(&force, "force", false, "delete the newest checkpoint too")
	out.flags(c)
	return c
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// target names a checkpoint of a run.
type target struct {
	storage string
	run     string
	step    uint64
	newest  bool // no step was asked for
}

func (t *target) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.storage, "storage", "ddpm-data", "where the runs are: a folder or s3://bucket/prefix?endpoint=HOST:PORT")
	c.Flags().StringVar(&t.run, "run", "", "the run's name (needed unless the Store has just one)")
	c.Flags().Uint64Var(&t.step, "step", 0, "the checkpoint's step (default: the newest)")
}

// open finds the run's config and the checkpoint.
func (t *target) open(ctx context.Context, c *cobra.Command) (storage.Store, ddpm.Spec, checkpoint.Manifest, error) {
	t.newest = !c.Flags().Changed("step")
	fail := func(err error) (storage.Store, ddpm.Spec, checkpoint.Manifest, error) {
		return nil, ddpm.Spec{}, checkpoint.Manifest{}, err
	}
	st, err := storage.Open(ctx, t.storage)
	if err != nil {
		return fail(err)
	}
	if err := t.chooseRun(ctx, st); err != nil {
		return fail(err)
	}
	text, err := checkpoint.ReadRun(ctx, st, t.run)
	if errors.Is(err, storage.ErrNotFound) {
		return fail(fmt.Errorf("run %q: there is no such run in %s; give its name by --run and its place by --storage", t.run, st))
	}
	if err != nil {
		return fail(err)
	}
	spec, err := ddpm.DecodeSpec(text)
	if err != nil {
		return fail(fmt.Errorf("run %s in %s: %w", t.run, st, err))
	}
	m, err := t.checkpoint(ctx, c, st, spec)
	if err != nil {
		return fail(err)
	}
	return st, spec, m, nil
}

// chooseRun takes the only run of the Store when none was named.
func (t *target) chooseRun(ctx context.Context, st storage.Store) error {
	if t.run != "" {
		if err := checkpoint.ValidRunName(t.run); err != nil {
			return usageError{err}
		}
		return nil
	}
	objects, err := st.List(ctx, "runs/")
	if err != nil {
		return err
	}
	var runs []string
	for _, o := range objects {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(o.Key, "runs/"), "/run.json"); ok && !strings.Contains(name, "/") {
			runs = append(runs, name)
		}
	}
	switch len(runs) {
	case 0:
		return fmt.Errorf("%s holds no run; train one, or say by --storage where it is", st)
	case 1:
		t.run = runs[0]
		return nil
	}
	return usageError{fmt.Errorf("%s holds %d runs; choose one by --run: %s", st, len(runs), strings.Join(runs, ", "))}
}

func (t *target) checkpoint(ctx context.Context, c *cobra.Command, st storage.Store, spec ddpm.Spec) (checkpoint.Manifest, error) {
	fits := func(m checkpoint.Manifest) error { return m.Fits(spec.Model.ParamCount()) }
	if !t.newest {
		m, err := checkpoint.At(ctx, st, t.run, t.step)
		if errors.Is(err, storage.ErrNotFound) {
			return m, fmt.Errorf("run %s has no checkpoint of step %d; leave --step out for the newest", t.run, t.step)
		}
		if err == nil {
			err = fits(m)
		}
		return m, err
	}
	m, skipped, err := checkpoint.NewestLoadable(ctx, st, t.run, fits)
	for _, s := range skipped {
		fmt.Fprintf(c.ErrOrStderr(), "skipping the checkpoint of step %d: %s\n", s.Step, s.Reason)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return m, fmt.Errorf("run %s has no checkpoint yet", t.run)
	}
	return m, err
}

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
	t.runFlags(c)
	c.Flags().Uint64Var(&t.step, "step", 0, "the checkpoint's `step` (default: the newest)")
}

// runFlags are flags without a step.
func (t *target) runFlags(c *cobra.Command) {
	c.Flags().StringVar(&t.storage, "storage", "ddpm-data", "where the runs are: a folder or `URI`, s3://bucket/prefix?endpoint=HOST:PORT")
	c.Flags().StringVar(&t.run, "run", "", "the run's `NAME` (needed unless the Store has just one)")
}

// storageGiven is the Store as this machine reaches it; "" where it is as the coordinator
// says.
func (t *target) storageGiven(c *cobra.Command) string {
	if c.Flags().Changed("storage") {
		return t.storage
	}
	return ""
}

// found is a checkpoint, with the config of its run.
type found struct {
	store    storage.Store
	spec     ddpm.Spec
	manifest checkpoint.Manifest
}

// find finds the run and loads the checkpoint that was asked for, or else the
// newest that load can load.
func (t *target) find(ctx context.Context, c *cobra.Command, load func(found) error) (f found, err error) {
	t.newest = !c.Flags().Changed("step")
	if f, err = t.open(ctx); err != nil {
		return f, err
	}
	f.manifest, err = t.checkpoint(ctx, c, f.store, func(m checkpoint.Manifest) error {
		if err := m.Fits(f.spec.Model.ParamCount()); err != nil {
			return err
		}
		return load(found{f.store, f.spec, m})
	})
	return f, err
}

// open finds the run.
func (t *target) open(ctx context.Context) (f found, err error) {
	if f.store, err = t.openStore(ctx); err != nil {
		return f, err
	}
	if err := t.chooseRun(ctx, f.store); err != nil {
		return f, err
	}
	text, err := checkpoint.ReadRun(ctx, f.store, t.run)
	if errors.Is(err, storage.ErrNotFound) {
		return f, fmt.Errorf("run %q: there is no such run in %s; give its name by --run and its place by --storage", t.run, f.store)
	}
	if err != nil {
		return f, err
	}
	if f.spec, err = ddpm.DecodeSpec(text); err != nil {
		return f, fmt.Errorf("run %s in %s: %w", t.run, f.store, err)
	}
	return f, nil
}

func (t *target) openStore(ctx context.Context) (storage.Store, error) {
	if _, err := storage.Canonical(t.storage); err != nil {
		return nil, usageError{fmt.Errorf("--storage: %w", err)}
	}
	return storage.Open(ctx, t.storage)
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

func (t *target) checkpoint(ctx context.Context, c *cobra.Command, st storage.Store, load func(checkpoint.Manifest) error) (checkpoint.Manifest, error) {
	if !t.newest {
		m, err := checkpoint.At(ctx, st, t.run, t.step)
		if err == nil {
			err = load(m)
		}
		switch {
		case errors.Is(err, storage.ErrNotFound):
			err = fmt.Errorf("run %s has no checkpoint of step %d; leave --step out for the newest", t.run, t.step)
		case errors.Is(err, checkpoint.ErrCorrupt):
			err = fmt.Errorf("%w; leave --step out for the newest that is whole", err)
		}
		return m, err
	}
	m, skipped, err := checkpoint.NewestLoadable(ctx, st, t.run, load)
	for _, s := range skipped {
		fmt.Fprintf(c.ErrOrStderr(), "skipping the checkpoint of step %d: %s\n", s.Step, s.Reason)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return m, fmt.Errorf("run %s has no checkpoint that can be used", t.run)
	}
	return m, err
}

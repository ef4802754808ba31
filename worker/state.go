package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// newState is room for a state.
func newState(spec ddpm.Spec) *ddpm.State {
	s := ddpm.EmptyState(spec.Model.ParamCount())
	s.Step = noStep
	return s
}

// load fills the state with that of a generation's start, where it does not come
// from members. The caller sets its step.
func (r *run) load(ctx context.Context, g *ddpmv1.Generation, state *ddpm.State) error {
	switch g.GetSource() {
	case ddpmv1.StateSource_STATE_SOURCE_INITIAL:
		if g.GetStartStep() != 0 {
			return fmt.Errorf("generation %d starts at step %d from the initial weights; use the same version on both sides", g.GetNumber(), g.GetStartStep())
		}
		if r.spec.Init != "" {
			return errors.New("the run begins with imported weights, which are in its checkpoint of step 0; start the coordinator again with the same --init")
		}
		state.Copy(ddpm.NewState(r.spec))
		state.Step = noStep
		return nil
	case ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT:
		return r.loadCheckpoint(ctx, g.GetStartStep(), state)
	}
	return fmt.Errorf("generation %d takes its state from %v, which this version does not know; use the same version on both sides", g.GetNumber(), g.GetSource())
}

// loadCheckpoint reads the state after step steps from the Store. Every part is
// held against the manifest, and the whole against the digest. A Store that fails
// meanwhile is tried again: all members resume at once, and a connection
// that breaks must not end those that it served.
func (r *run) loadCheckpoint(ctx context.Context, step uint64, s *ddpm.State) error {
	store := storage.Patient(r.store, storePatience, r.log)
	m, err := checkpoint.At(ctx, store, r.name, step)
	if errors.Is(err, storage.ErrNotFound) {
		err = fmt.Errorf("%w; this machine sees another storage than the coordinator, or the checkpoint was deleted", err)
	}
	if err != nil {
		return unreadableOr(step, err)
	}
	if err := checkpoint.Load(ctx, store, m, checkpoint.State{Weights: s.Weights, M: s.M, V: s.V, EMA: s.EMA}); err != nil {
		return unreadableOr(step, err)
	}
	loaded := *s
	loaded.Step = step
	if digest := loaded.Digest(); digest != m.Digest {
		return fmt.Errorf("%sstate: its digest is %s, the manifest's %s; delete the checkpoint's folder to resume from the one before",
			checkpoint.StepPrefix(r.name, step), digest, m.Digest)
	}
	return nil
}

// unreadable says that a checkpoint is damaged or gone, as far as this machine sees.
type unreadable struct {
	step uint64
	error
}

func (u unreadable) Unwrap() error { return u.error }

// unreadableOr is the error of reading the checkpoint of a step.
func unreadableOr(step uint64, err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, checkpoint.ErrCorrupt) {
		return unreadable{step, err}
	}
	return err
}

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// Retention says which checkpoints of a run stay.
type Retention struct {
	// Last is how many of the newest complete ones stay; 0 keeps all.
	Last int
	// Every keeps those of its multiples too; 0 keeps none by that.
	Every uint64
}

// Delete removes a checkpoint: its manifest first, so that at no time a checkpoint
// is listed that lacks objects, then everything in its folder. One that isn't there
// is no error.
func Delete(ctx context.Context, st storage.Store, run string, step uint64) error {
	if err := ValidRunName(run); err != nil {
		return err
	}
	prefix := StepPrefix(run, step)
	if err := st.Delete(ctx, prefix+ManifestKey); err != nil {
		return err
	}
	infos, err := st.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := st.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// Retain deletes the checkpoints of a run that r does not keep, and what broken off
// or damaged ones have left, oldest first, and returns the steps that are gone. What
// is newer than the newest good checkpoint stays, since it may be under way. So does
// the newest good one itself: before anything is deleted, every object of it is read
// and its hash compared; one that fails that does not count among the last.
func Retain(ctx context.Context, st storage.Store, run string, r Retention) ([]uint64, error) {
	if r.Last < 1 {
		return nil, nil
	}
	if err := ValidRunName(run); err != nil {
		return nil, err
	}
	found, err := listFolders(ctx, st, run, CheckpointsPrefix(run))
	if err != nil {
		return nil, err
	}
	excess, err := r.excess(ctx, st, run, found)
	if err != nil {
		return nil, err
	}
	var gone []uint64
	for _, step := range excess {
		if err := Delete(ctx, st, run, step); err != nil {
			return gone, fmt.Errorf("delete the checkpoint of step %d: %w", step, err)
		}
		gone = append(gone, step)
	}
	return gone, nil
}

// excess lists the steps that are to go, oldest first.
func (r Retention) excess(ctx context.Context, st storage.Store, run string, found folders) ([]uint64, error) {
	steps := slices.Sorted(maps.Keys(found))
	good := 0
	var excess []uint64
	for i, step := range slices.Backward(steps) {
		if good > 0 && good >= r.Last {
			if r.Every == 0 || step%r.Every != 0 {
				excess = append(excess, step)
			}
			continue
		}
		m, err := found.manifest(ctx, st, run, step)
		if err == nil && good == 0 && i > 0 { // of one that is the only one nothing depends
			err = Verify(ctx, st, m)
		}
		switch {
		case err == nil:
			good++
		case !errors.Is(err, ErrCorrupt):
			return nil, err
		case good > 0 && (r.Every == 0 || step%r.Every != 0):
			excess = append(excess, step)
		}
	}
	slices.Reverse(excess)
	return excess, nil
}

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// Skipped is a checkpoint that can't be used.
type Skipped struct {
	Step   uint64
	Reason string // one line for people
	// Unfinished says that it has no manifest: it may be under way yet, and is not damaged.
	Unfinished bool
}

// errUnfinished is an ErrCorrupt to those who need a whole checkpoint.
var errUnfinished error = unfinishedError{}

type unfinishedError struct{}

func (unfinishedError) Error() string { return "it has no manifest, so it is not finished" }

func (unfinishedError) Is(target error) bool { return target == ErrCorrupt }

// folders maps each step that has a folder to the sizes of the objects in it, by
// relative key.
type folders map[uint64]map[string]int64

func listFolders(ctx context.Context, st storage.Store, run, prefix string) (folders, error) {
	infos, err := st.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	found := folders{}
	for _, info := range infos {
		folder, rel, _ := strings.Cut(strings.TrimPrefix(info.Key, CheckpointsPrefix(run)), "/")
		step, ok := parseStep(folder)
		if !ok {
			continue // not ours
		}
		if found[step] == nil {
			found[step] = map[string]int64{}
		}
		found[step][rel] = info.Size
	}
	return found, nil
}

// manifest reads a step's manifest and holds it against what is in the folder.
// What is wrong with the checkpoint is ErrCorrupt.
func (f folders) manifest(ctx context.Context, st storage.Store, run string, step uint64) (Manifest, error) {
	if _, ok := f[step][ManifestKey]; !ok {
		return Manifest{}, errUnfinished
	}
	data, err := readAll(ctx, st, StepPrefix(run, step)+ManifestKey, maxManifest)
	if errors.Is(err, storage.ErrNotFound) {
		return Manifest{}, fmt.Errorf("%w: its manifest is gone", ErrCorrupt)
	}
	if err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if m.Run != run || m.Step != step {
		return Manifest{}, fmt.Errorf("%w: its manifest is that of step %d of run %s", ErrCorrupt, m.Step, m.Run)
	}
	if err := f.lack(m); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}

// lack says which of a manifest's objects is not in its folder, if any, going by
// presence and size.
func (f folders) lack(m Manifest) error {
	for _, o := range m.Objects {
		size, ok := f[m.Step][o.Key]
		if !ok {
			return fmt.Errorf("%s is missing", o.Key)
		}
		if size != o.Size {
			return fmt.Errorf("%s has %d bytes, not %d", o.Key, size, o.Size)
		}
	}
	return nil
}

// List returns a run's checkpoints that are complete, by the presence and the
// sizes of their objects, in ascending order of their steps, and those that are
// not.
func List(ctx context.Context, st storage.Store, run string) ([]Manifest, []Skipped, error) {
	var all []Manifest
	_, skipped, err := newest(ctx, st, run, func(m Manifest) (bool, error) {
		all = append(all, m)
		return false, nil
	})
	slices.Reverse(all)
	slices.Reverse(skipped)
	if !errors.Is(err, ErrNone) {
		return nil, skipped, err
	}
	return all, skipped, nil
}

// Newest returns a run's newest complete checkpoint, as List counts complete, and
// the newer ones that were skipped. ErrNone where there is none.
func Newest(ctx context.Context, st storage.Store, run string) (Manifest, []Skipped, error) {
	return NewestLoadable(ctx, st, run, func(Manifest) error { return nil })
}

// NewestLoadable calls load with a run's complete checkpoints, newest first, until
// load succeeds, and returns that one. A load that fails with ErrCorrupt, as those
// of this package do, skips the checkpoint; any other failure ends the search.
// Skipped checkpoints are returned newest first, also beside an error. ErrNone
// where nothing could be loaded.
func NewestLoadable(ctx context.Context, st storage.Store, run string, load func(Manifest) error) (Manifest, []Skipped, error) {
	return newest(ctx, st, run, func(m Manifest) (bool, error) { return true, load(m) })
}

// newest visits a run's complete checkpoints from the newest on, until visit says
// that it is the one. ErrNone where it never does.
func newest(ctx context.Context, st storage.Store, run string, visit func(Manifest) (bool, error)) (Manifest, []Skipped, error) {
	if err := ValidRunName(run); err != nil {
		return Manifest{}, nil, err
	}
	found, err := listFolders(ctx, st, run, CheckpointsPrefix(run))
	if err != nil {
		return Manifest{}, nil, err
	}
	var skipped []Skipped
	for _, step := range slices.Backward(slices.Sorted(maps.Keys(found))) {
		m, err := found.manifest(ctx, st, run, step)
		done := false
		if err == nil {
			done, err = visit(m)
		}
		switch {
		case errors.Is(err, ErrCorrupt):
			skipped = append(skipped, Skipped{Step: step, Reason: err.Error(), Unfinished: errors.Is(err, errUnfinished)})
		case err != nil:
			return Manifest{}, skipped, err
		case done:
			return m, skipped, nil
		}
	}
	return Manifest{}, skipped, fmt.Errorf("storage %s: run %s has %w", st, run, ErrNone)
}

// At returns the checkpoint after step steps. storage.ErrNotFound where the run
// has none, ErrCorrupt where it is not complete.
func At(ctx context.Context, st storage.Store, run string, step uint64) (Manifest, error) {
	if err := ValidRunName(run); err != nil {
		return Manifest{}, err
	}
	prefix := StepPrefix(run, step)
	found, err := listFolders(ctx, st, run, prefix)
	if err != nil {
		return Manifest{}, err
	}
	if len(found) == 0 {
		return Manifest{}, fmt.Errorf("storage %s: run %s has no checkpoint of step %d: %w", st, run, step, storage.ErrNotFound)
	}
	m, err := found.manifest(ctx, st, run, step)
	if err != nil {
		return Manifest{}, fmt.Errorf("checkpoint %s: %w", prefix, err)
	}
	return m, nil
}

package sampling

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
	"github.com/ddpm-cluster/ddpm-cluster/internal/machine"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// LoadWeights reads a checkpoint's averaged weights in the order of the flat
// parameter vector. checkpoint.ErrCorrupt where the checkpoint is to blame.
func LoadWeights(ctx context.Context, store storage.Store, spec ddpm.Spec, m checkpoint.Manifest) ([]float32, error) {
	tensors, err := checkpoint.LoadEMA(ctx, store, m)
	if err != nil {
		return nil, err
	}
	weights := hugepages.Make[float32](spec.Model.ParamCount())
	for _, p := range spec.Model.Params() {
		t, ok := tensors[p.Name]
		if !ok || len(t.Data) != p.Len() {
			return nil, fmt.Errorf("%s%s: %w: it has %d elements of %s, the run's config wants %d",
				checkpoint.StepPrefix(m.Run, m.Step), checkpoint.UNetWeightsKey, checkpoint.ErrCorrupt, len(t.Data), p.Name, p.Len())
		}
		copy(weights[p.Offset:], t.Data)
	}
	return weights, nil
}

// keepModels is how many checkpoints' weights stay in memory.
const keepModels = 2

// model is a checkpoint that was loaded.
type model struct {
	name  string
	spec  ddpm.Spec
	model sampler.Model
	// batch is how many evaluations of the network are made at once.
	batch int
}

// ref names a checkpoint: the digest is that of the state which it must hold.
type ref struct {
	run    string
	step   uint64
	digest string
}

// fault is a failure that is the task's own: another worker would fail too.
type fault struct{ error }

func (f fault) Unwrap() error { return f.error }

// model gives the checkpoint that a job is about, the weights of which are loaded once
// for all its tasks and those of other jobs.
func (w *worker) model(ctx context.Context, store storage.Store, r ref) (*model, error) {
	name := fmt.Sprintf("%s %s %d %s", store, r.run, r.step, r.digest)
	if i := slices.IndexFunc(w.models, func(m *model) bool { return m.name == name }); i >= 0 {
		m := w.models[i]
		w.models = append(slices.Delete(w.models, i, i+1), m)
		return m, nil
	}
	spec, err := readSpec(ctx, store, r.run)
	if err != nil {
		return nil, err
	}
	weights, err := w.weights(ctx, store, spec, r)
	if err != nil {
		return nil, err
	}
	batch := sampler.BatchFor(spec.Model, machine.AvailableMemory(), w.config.Threads)
	m := &model{name: name, spec: spec, model: sampler.NewModel(spec, weights, w.pool), batch: batch}
	if len(w.models) == keepModels {
		w.models = slices.Delete(w.models, 0, 1)
	}
	w.models = append(w.models, m)
	w.config.Log.Info("loaded weights", "run", r.run, "step", r.step, "parameters", len(weights), "batch", batch)
	return m, nil
}

func readSpec(ctx context.Context, store storage.Store, run string) (ddpm.Spec, error) {
	text, err := checkpoint.ReadRun(ctx, store, run)
	if errors.Is(err, storage.ErrNotFound) {
		return ddpm.Spec{}, fmt.Errorf("this machine does not see run %s at %s; give the coordinator an s3:// URI or a folder that all machines share", run, store)
	}
	if err != nil {
		return ddpm.Spec{}, err
	}
	spec, err := ddpm.DecodeSpec(text)
	if err != nil {
		return ddpm.Spec{}, fault{fmt.Errorf("run %s in %s: %w", run, store, err)}
	}
	return spec, nil
}

func (w *worker) weights(ctx context.Context, store storage.Store, spec ddpm.Spec, r ref) ([]float32, error) {
	m, err := checkpoint.At(ctx, store, r.run, r.step)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fault{fmt.Errorf("run %s has no checkpoint of step %d any more", r.run, r.step)}
	}
	if err == nil && m.Digest != r.digest {
		return nil, fault{fmt.Errorf("the checkpoint of step %d of run %s has digest %s, and the job was submitted for %s", r.step, r.run, m.Digest, r.digest)}
	}
	if err == nil {
		err = m.Fits(spec.Model.ParamCount())
	}
	var weights []float32
	if err == nil {
		weights, err = LoadWeights(ctx, store, spec, m)
	}
	if errors.Is(err, checkpoint.ErrCorrupt) {
		return nil, fault{err}
	}
	return weights, err
}

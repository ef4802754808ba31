package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// openStore makes sure that the Store can be written, and finds out what it
// knows about the run.
func (s *start) openStore(ctx context.Context) error {
	var err error
	if s.store, err = storage.Open(ctx, s.config.Storage); err != nil {
		return err
	}
	if err := storage.Probe(ctx, s.store, s.log); err != nil {
		return err
	}
	s.store = storage.Observed(s.store, s.asked)
	return s.look(ctx)
}

// patient is the Store for what is read before the run begins: once a probe has found it
// usable, its trouble is expected to pass.
func (s *start) patient() storage.Store { return storage.Patient(s.store, storePatience, s.log) }

// look finds the run's config and its newest checkpoint, if it has them.
func (s *start) look(ctx context.Context) error {
	store := s.patient()
	spec, err := readSpec(ctx, store, s.plan.Run)
	if errors.Is(err, storage.ErrNotFound) {
		return checkpoint.CheckNew(ctx, store, s.plan.Run)
	}
	if err != nil {
		return err
	}
	s.existing = true
	if s.plan, err = s.config.Continue(spec); err != nil {
		return UsageError{err}
	}
	if err := s.continueInit(spec); err != nil {
		return err
	}
	if err := s.findCheckpoint(ctx); err != nil {
		return err
	}
	if err := s.ofTheConfig(ctx); err != nil {
		return err
	}
	return s.trainable()
}

// ofTheConfig refuses to go on with another config than the checkpoint's, as of a run.json that
// somebody edited: the weights would be a function of neither.
func (s *start) ofTheConfig(ctx context.Context) error {
	config, err := checkpoint.ConfigHash(ctx, s.store, s.plan.Run)
	if err != nil || s.newest.Config == "" || s.newest.Config == config {
		return err
	}
	return fmt.Errorf("run %s in %s: %s is not the one that the checkpoint of step %d was made with (its SHA-256 was %s); put that one back, or choose another --run to train with this config",
		s.plan.Run, s.store, checkpoint.RunKey(s.plan.Run), s.newest.Step, s.newest.Config)
}

// lookAgain looks once more where somebody has led the run since: a coordinator that waits for
// the leadership must not go on from a checkpoint that the one before has followed by others,
// and perhaps deleted.
func (s *start) lookAgain(ctx context.Context) error {
	store := s.patient()
	m, _, err := checkpoint.Newest(ctx, store, s.plan.Run)
	if err != nil && !errors.Is(err, checkpoint.ErrNone) {
		return err
	}
	resumes := err == nil
	_, err = checkpoint.ReadRun(ctx, store, s.plan.Run)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if existing := err == nil; existing == s.existing && resumes == s.resumes && m.Step == s.newest.Step {
		return nil
	}
	found := s.plan.Spec // with the dataset as this machine has it
	s.existing, s.resumes, s.newest, s.loss = false, false, checkpoint.Manifest{}, 0
	if err := s.look(ctx); err != nil || !s.existing {
		return err
	}
	if err := config.Conflict(s.plan.Run, found, s.plan.Spec); err != nil {
		return UsageError{err}
	}
	s.plan.Spec = found
	return nil
}

// trainable refuses to take the preset's steps for the run's where the run has more
// already: how many it was to have is in no run.json.
func (s *start) trainable() error {
	if s.config.Given("steps") || s.newest.Step <= s.plan.Steps {
		return nil
	}
	return UsageError{fmt.Errorf("run %s: it was trained beyond the %d steps of preset %s, to step %d; say by --steps how many it is to have, as when it was started",
		s.plan.Run, s.plan.Steps, s.plan.Spec.Preset, s.newest.Step)}
}

// readSpec reads the config of a run; storage.ErrNotFound where there is none.
func readSpec(ctx context.Context, st storage.Store, run string) (ddpm.Spec, error) {
	text, err := checkpoint.ReadRun(ctx, st, run)
	if err != nil {
		return ddpm.Spec{}, err
	}
	spec, err := ddpm.DecodeSpec(text)
	if err != nil {
		return ddpm.Spec{}, fmt.Errorf("run %s in %s: %w; choose another --run", run, st, err)
	}
	return spec, nil
}

// findCheckpoint finds the newest checkpoint whose every object is whole.
func (s *start) findCheckpoint(ctx context.Context) error {
	store := s.patient()
	m, skipped, err := checkpoint.NewestLoadable(ctx, store, s.plan.Run, func(m checkpoint.Manifest) error {
		if err := m.Fits(s.plan.Spec.Model.ParamCount()); err != nil {
			return err
		}
		return checkpoint.Verify(ctx, store, m)
	})
	for _, k := range skipped {
		if k.Unfinished { // the workers may hold its parts yet, and it is published when they come
			s.log.Info("a checkpoint is not finished", "step", k.Step)
			continue
		}
		s.log.Warn("skipped a checkpoint", "step", k.Step, "reason", k.Reason)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	s.newest, s.resumes = m, true
	s.loss, err = lossAt(ctx, store, s.plan.Run, m.Step)
	return err
}

// openDataset checks that the data is there and is what the run was started
// with.
func (s *start) openDataset(ctx context.Context) error {
	spec := &s.plan.Spec
	uri := spec.Dataset
	if s.existing && s.config.Given("dataset") {
		uri = s.config.Dataset
	}
	data, err := s.dataset(ctx, uri)
	if err != nil {
		return err
	}
	if c, ok := data.(io.Closer); ok {
		defer c.Close()
	}
	found := *spec
	found.Dataset, found.DatasetDigest, found.DatasetLen = data.URI(), data.Digest(), data.Len()
	if found.LabelsDigest, err = ddpm.LabelsDigest(found, data); err != nil {
		return err
	}
	if s.existing {
		if err := config.Conflict(s.plan.Run, found, *spec); err != nil {
			return UsageError{err}
		}
	}
	*spec = found
	return nil
}

// lossAt reads the loss of a completed step from the run's metrics; 0 where they
// don't have it, or are damaged before it.
func lossAt(ctx context.Context, st storage.Store, run string, step uint64) (float64, error) {
	r, _, err := st.Get(ctx, checkpoint.MetricsKey(run))
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for d := json.NewDecoder(r); ; {
		var line report.Line
		if err := d.Decode(&line); damaged(err) {
			return 0, nil
		} else if err != nil {
			return 0, fmt.Errorf("metrics of run %s: %w", run, err)
		}
		if line.Step == step {
			return float64(line.Loss), nil
		}
	}
}

// damaged says that JSON ended or was none, where a failure to read is neither.
func damaged(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, new(*json.SyntaxError)) || errors.As(err, new(*json.UnmarshalTypeError))
}

func (s *start) openEtcd(ctx context.Context) (*registry.Etcd, error) {
	if len(s.config.Etcd) > 0 {
		secure, err := etcdTLS(s.config.Security)
		if err != nil {
			return nil, err
		}
		return registry.Dial(ctx, s.config.Etcd, secure)
	}
	return registry.Embed(ctx, filepath.Join(s.config.DataDir, "etcd"), s.log)
}

// who names this process to another coordinator that wants the same run.
func who(listen string) string {
	return fmt.Sprintf("the coordinator at %s on %s, pid %d", listen, hostname(), os.Getpid())
}
